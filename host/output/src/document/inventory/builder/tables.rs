//! The entries of a builder's tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::read::is_sha256;
use super::super::{Certificate, Id, InventoryFile, InventoryLibrary, Modes, Program, Time};
use super::{MAX_CERTIFICATE_ENTRIES, MAX_CERTIFICATES, MAX_LABELS, first_of_each};
use crate::document::overflow::Overflow;
use crypto_tracer_event::{FileType, RedactedAsset, RedactedText, Timestamp};

/// The kind of an asset that is a certificate.
const CERTIFICATE: &str = "certificate";
/// Length of a process name, as the kernel keeps it.
const COMM_BYTES: usize = 15;

/// A table whose entries have an id and a number.
#[derive(Debug)]
pub(super) struct Interned<T> {
    numbers: HashMap<Id, u32>,
    entries: Vec<(Id, T)>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned { numbers: HashMap::new(), entries: Vec::new() }
    }
}

impl<T> Interned<T> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn index(&self, id: Id) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    /// Adds an entry whose id the table does not have.
    pub(super) fn add(&mut self, id: Id, entry: T) -> u32 {
        let index = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.numbers.insert(id, index);
        self.entries.push((id, entry));
        index
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize).map(|(_, entry)| entry)
    }

    pub(super) fn id(&self, index: u32) -> Option<Id> {
        self.entries.get(index as usize).map(|(id, _)| *id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }
}

/// When something was used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    before: bool,
    times: Option<(Timestamp, Timestamp)>,
}

impl Seen {
    /// `None`: before the window.
    pub(super) fn add(&mut self, at: Option<Timestamp>) {
        let Some(at) = at else {
            self.before = true;
            return;
        };
        // Events of two threads may arrive slightly out of order.
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
    }

    pub(super) fn first(self) -> Option<Time> {
        self.times.filter(|_| !self.before).map(|(first, _)| Time(first))
    }

    pub(super) fn last(self) -> Option<Time> {
        self.times.map(|(_, last)| Time(last))
    }
}

#[derive(Debug, Default)]
pub(super) struct UseEntry {
    pub(super) seen: Seen,
    pub(super) count: u64,
    pub(super) modes: Modes,
}

#[derive(Debug)]
pub(super) struct ProgramEntry {
    exe: Option<Box<str>>,
    name: Box<str>,
    uids: BTreeSet<u32>,
    containers: BTreeSet<Box<str>>,
    pub(super) processes: u64,
    pub(super) seen: Seen,
}

impl ProgramEntry {
    pub(super) fn new(exe: Option<&str>, name: &str) -> ProgramEntry {
        ProgramEntry {
            exe: exe.map(Into::into),
            name: name.into(),
            uids: BTreeSet::new(),
            containers: BTreeSet::new(),
            processes: 0,
            seen: Seen::default(),
        }
    }

    /// Keeps the name that is the executable's file name, otherwise the first in the alphabet: which of several
    /// processes comes first is chance.
    pub(super) fn add_name(&mut self, name: &str) {
        if *self.name == *name {
            return;
        }
        let file_name = self.exe.as_deref().and_then(|exe| exe.rsplit('/').next()).unwrap_or("");
        let file_name = file_name.get(..COMM_BYTES).unwrap_or(file_name);
        let rank = |name: &str| name != file_name;
        if (rank(name), name) < (rank(&self.name), &self.name) {
            self.name = name.into();
        }
    }

    /// Number of these that the program does not have yet.
    pub(super) fn unknown(&self, uid: Option<u32>, container: Option<&str>) -> usize {
        usize::from(uid.is_some_and(|uid| !self.uids.contains(&uid)))
            + usize::from(container.is_some_and(|container| !self.containers.contains(container)))
    }

    pub(super) fn add_user_and_container(&mut self, uid: Option<u32>, container: Option<&str>) {
        self.uids.extend(uid);
        self.containers.extend(container.map(Box::from));
    }

    pub(super) fn listed(&self, id: Id, user: &dyn Fn(u32) -> String) -> Program {
        // Two users may have one placeholder.
        let users: BTreeSet<String> = self.uids.iter().map(|&uid| user(uid)).collect();
        Program {
            id,
            exe: self.exe.as_deref().map(str::to_owned),
            name: self.name.to_string(),
            users: users.into_iter().collect(),
            containers: self.containers.iter().map(ToString::to_string).collect(),
            processes: self.processes,
            first_seen: self.seen.first(),
            last_seen: self.seen.last(),
            hosts: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct TargetEntry {
    pub(super) path: Box<str>,
    pub(super) seen: Seen,
    pub(super) facts: TargetFacts,
}

#[derive(Debug)]
pub(super) enum TargetFacts {
    Library { name: Box<str>, version: Option<Box<str>> },
    File(FileFacts),
}

#[derive(Debug, Default)]
pub(super) struct FileFacts {
    file_type: Option<Box<str>>,
    labels: BTreeMap<Box<str>, Box<str>>,
    /// Sorted by their hash.
    certificates: Vec<Arc<Certificate>>,
}

impl FileFacts {
    /// A file that was deleted or truncated since keeps its earlier type.
    pub(super) fn add_type(&mut self, file_type: &str) {
        if file_type != FileType::Unknown.as_str() && self.file_type.as_deref() != Some(file_type) {
            self.file_type = Some(file_type.into());
        }
    }

    /// A later value replaces an earlier one.
    pub(super) fn add_labels(&mut self, labels: &[(&str, &str)]) {
        for (name, value) in first_of_each(labels) {
            let is_full = self.labels.len() >= MAX_LABELS;
            match self.labels.get_mut(name) {
                Some(known) if **known == *value => {}
                Some(known) => *known = value.into(),
                None if is_full => {}
                None => {
                    self.labels.insert(name.into(), value.into());
                }
            }
        }
    }
}

impl TargetEntry {
    pub(super) fn library(&self, id: Id) -> Option<InventoryLibrary> {
        let TargetFacts::Library { name, version } = &self.facts else { return None };
        Some(InventoryLibrary {
            id,
            name: name.to_string(),
            path: self.path.to_string(),
            version: version.as_deref().map(str::to_owned),
            first_seen: self.seen.first(),
            last_seen: self.seen.last(),
            hosts: Vec::new(),
        })
    }

    pub(super) fn file(&self, id: Id) -> Option<InventoryFile> {
        let TargetFacts::File(facts) = &self.facts else { return None };
        let labels = facts.labels.iter();
        Some(InventoryFile {
            id,
            path: self.path.to_string(),
            r#type: facts.file_type.as_deref().unwrap_or(FileType::Unknown.as_str()).to_owned(),
            labels: labels.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            certificates: facts.certificates.clone(),
            first_seen: self.seen.first(),
            last_seen: self.seen.last(),
            hosts: Vec::new(),
        })
    }
}

/// The distinct certificates.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    known: HashMap<String, Arc<Certificate>>,
    /// Number of certificates of all files.
    entries: usize,
}

impl Certificates {
    /// Adds the asset to the file, if it is a certificate that the file does not have yet.
    pub(super) fn add(&mut self, asset: &RedactedAsset, file: &mut FileFacts, not: &mut Overflow) {
        let hash = asset.fact("sha256").map(RedactedText::as_str);
        let Some(hash) = hash.filter(|hash| *asset.kind == *CERTIFICATE && is_sha256(hash)) else {
            return;
        };
        let place = file.certificates.binary_search_by(|it| it.sha256.as_str().cmp(hash));
        let Err(place) = place else { return };
        let is_known = self.known.contains_key(hash);
        if self.entries >= MAX_CERTIFICATE_ENTRIES
            || !is_known && self.known.len() >= MAX_CERTIFICATES
        {
            not.add(hash);
            return;
        }
        let certificate =
            self.known.entry(hash.to_owned()).or_insert_with(|| Arc::new(certificate(asset, hash)));
        file.certificates.insert(place, certificate.clone());
        self.entries += 1;
    }
}

fn certificate(asset: &RedactedAsset, sha256: &str) -> Certificate {
    let text = |name| asset.fact(name).map(RedactedText::as_str);
    let owned = |name| text(name).map(str::to_owned);
    let flag = |name| match text(name)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    Certificate {
        sha256: sha256.to_owned(),
        subject: owned("subject"),
        issuer: owned("issuer"),
        serial: owned("serial"),
        not_before: owned("not_before"),
        not_after: owned("not_after"),
        public_key: owned("public_key"),
        bits: text("bits").and_then(|bits| bits.parse().ok()),
        signature: owned("signature"),
        ca: flag("ca"),
        self_signed: flag("self_signed"),
    }
}
