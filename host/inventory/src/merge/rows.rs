//! The entries of the lists: what identifies them, and what each run says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crypto_tracer_output::document::inventory::{
    Certificate, HostFile, HostLibrary, HostProgram, HostUse, Id, IdKind, InventoryFile,
    InventoryLibrary, Modes, Program, Stale, StaleReason, Time, Use,
};

use crate::header::List;

/// An entry of a list.
pub(crate) trait Row: DeserializeOwned + Serialize {
    /// What identifies the entry; lists are sorted by it.
    type Key: Copy + Ord + std::fmt::Debug;
    /// What a run says of the entry.
    type Fact;

    const LIST: List;

    fn key(&self) -> Self::Key;
    /// Whether the ids are of the kind that belongs into the list.
    fn has_valid_kind(&self) -> bool;
    /// Returns what each run says. `alone`: the run of a document that was not merged.
    fn into_facts(self, alone: Option<Id>) -> Vec<(Id, Self::Fact)>;
    /// Combines what two equally late documents of one run say.
    fn join(known: &mut Self::Fact, other: Self::Fact);
    /// Builds the entry of a merged document. There is at least one fact.
    fn build(key: Self::Key, facts: BTreeMap<Id, Self::Fact>) -> Self;
}

/// Adds the items of `other`, sorted and distinct.
fn unite(known: &mut Vec<String>, other: Vec<String>) {
    known.extend(other);
    known.sort_unstable();
    known.dedup();
}

/// A time before the window (`None`) is the earliest.
type Seen = (Option<Time>, Option<Time>);

fn widen(known: &mut Seen, other: Seen) {
    known.0 = known.0.min(other.0);
    known.1 = known.1.max(other.1);
}

fn widest<'a>(mut all: impl Iterator<Item = &'a Seen>) -> Seen {
    let first = all.next().copied().unwrap_or_default();
    all.fold(first, |mut seen, other| {
        widen(&mut seen, *other);
        seen
    })
}

pub(crate) struct ProgramFact {
    exe: Option<String>,
    name: String,
    users: Vec<String>,
    containers: Vec<String>,
    processes: u64,
    seen: Seen,
}

/// Of several names, the one that is the executable's file name, else the first in the alphabet.
fn program_name<'a>(exe: Option<&str>, names: impl Iterator<Item = &'a String>) -> String {
    let file_name = exe.and_then(|exe| exe.rsplit('/').next());
    let best = names.min_by_key(|name| (Some(name.as_str()) != file_name, *name));
    best.cloned().unwrap_or_default()
}

impl Row for Program {
    type Key = Id;
    type Fact = ProgramFact;

    const LIST: List = List::Programs;

    fn key(&self) -> Id {
        self.id
    }

    fn has_valid_kind(&self) -> bool {
        self.id.kind() == IdKind::Program
    }

    fn into_facts(self, alone: Option<Id>) -> Vec<(Id, ProgramFact)> {
        let Program { exe, name, users, containers, processes, first_seen, last_seen, .. } = self;
        if let Some(id) = alone {
            let seen = (first_seen, last_seen);
            return vec![(id, ProgramFact { exe, name, users, containers, processes, seen })];
        }
        let facts = self.hosts.into_iter().map(|host| {
            let fact = ProgramFact {
                exe: exe.clone(),
                name: host.name.unwrap_or_else(|| name.clone()),
                users: host.users,
                containers: host.containers,
                processes: host.processes,
                seen: (host.first_seen, host.last_seen),
            };
            (host.host, fact)
        });
        facts.collect()
    }

    fn join(known: &mut ProgramFact, other: ProgramFact) {
        known.name = program_name(known.exe.as_deref(), [&known.name, &other.name].into_iter());
        unite(&mut known.users, other.users);
        unite(&mut known.containers, other.containers);
        known.processes = known.processes.max(other.processes);
        widen(&mut known.seen, other.seen);
    }

    fn build(id: Id, facts: BTreeMap<Id, ProgramFact>) -> Program {
        let exe = facts.values().map(|fact| &fact.exe).max().cloned().flatten();
        let name = program_name(exe.as_deref(), facts.values().map(|fact| &fact.name));
        let (mut users, mut containers) = (Vec::new(), Vec::new());
        let mut processes = 0_u64;
        for fact in facts.values() {
            unite(&mut users, fact.users.clone());
            unite(&mut containers, fact.containers.clone());
            processes = processes.saturating_add(fact.processes);
        }
        let (first_seen, last_seen) = widest(facts.values().map(|fact| &fact.seen));
        let hosts = facts.into_iter().map(|(host, fact)| HostProgram {
            host,
            name: Some(fact.name).filter(|own| *own != name),
            users: fact.users,
            containers: fact.containers,
            processes: fact.processes,
            first_seen: fact.seen.0,
            last_seen: fact.seen.1,
        });
        let hosts = hosts.collect();
        Program { id, exe, name, users, containers, processes, first_seen, last_seen, hosts }
    }
}

pub(crate) struct LibraryFact {
    name: String,
    path: String,
    version: Option<String>,
    seen: Seen,
}

impl Row for InventoryLibrary {
    type Key = Id;
    type Fact = LibraryFact;

    const LIST: List = List::Libraries;

    fn key(&self) -> Id {
        self.id
    }

    fn has_valid_kind(&self) -> bool {
        self.id.kind() == IdKind::Library
    }

    fn into_facts(self, alone: Option<Id>) -> Vec<(Id, LibraryFact)> {
        let InventoryLibrary { name, path, version, first_seen, last_seen, .. } = self;
        if let Some(id) = alone {
            return vec![(id, LibraryFact { name, path, version, seen: (first_seen, last_seen) })];
        }
        let facts = self.hosts.into_iter().map(|host| {
            let seen = (host.first_seen, host.last_seen);
            let (name, path) = (name.clone(), path.clone());
            (host.host, LibraryFact { name, path, version: host.version, seen })
        });
        facts.collect()
    }

    fn join(known: &mut LibraryFact, other: LibraryFact) {
        known.version = known.version.take().max(other.version);
        widen(&mut known.seen, other.seen);
    }

    /// The version of the entry is that of all machines, or null if they differ.
    fn build(id: Id, facts: BTreeMap<Id, LibraryFact>) -> InventoryLibrary {
        let name = facts.values().map(|fact| &fact.name).min().cloned().unwrap_or_default();
        let path = facts.values().map(|fact| &fact.path).min().cloned().unwrap_or_default();
        let versions: BTreeSet<_> = facts.values().map(|fact| &fact.version).collect();
        let version = if versions.len() == 1 { versions.first().cloned() } else { None };
        let version = version.cloned().flatten();
        let (first_seen, last_seen) = widest(facts.values().map(|fact| &fact.seen));
        let hosts = facts.into_iter().map(|(host, fact)| HostLibrary {
            host,
            version: fact.version,
            first_seen: fact.seen.0,
            last_seen: fact.seen.1,
        });
        let hosts = hosts.collect();
        InventoryLibrary { id, name, path, version, first_seen, last_seen, hosts }
    }
}

type Labels = BTreeMap<String, String>;

pub(crate) struct FileFact {
    path: String,
    r#type: String,
    labels: Labels,
    certificates: Vec<Arc<Certificate>>,
    seen: Seen,
}

/// Unites certificates by their hash.
fn unite_certificates<'a>(
    all: impl Iterator<Item = &'a Arc<Certificate>>,
) -> BTreeMap<&'a str, &'a Arc<Certificate>> {
    let mut found: BTreeMap<&str, &Arc<Certificate>> = BTreeMap::new();
    for certificate in all {
        let known = found.entry(&certificate.sha256).or_insert(certificate);
        // Two inspectors may describe it differently.
        *known = (*known).max(certificate);
    }
    found
}

fn unite_labels(known: &mut Labels, other: &Labels) {
    for (name, value) in other {
        let slot = known.entry(name.clone()).or_default();
        if *slot < *value {
            slot.clone_from(value);
        }
    }
}

/// Of several types, one that is known, else the first in the alphabet.
fn file_type<'a>(types: impl Iterator<Item = &'a String>) -> String {
    types.min_by_key(|it| (it.as_str() == "unknown", *it)).cloned().unwrap_or_default()
}

impl Row for InventoryFile {
    type Key = Id;
    type Fact = FileFact;

    const LIST: List = List::Files;

    fn key(&self) -> Id {
        self.id
    }

    fn has_valid_kind(&self) -> bool {
        self.id.kind() == IdKind::File
    }

    fn into_facts(self, alone: Option<Id>) -> Vec<(Id, FileFact)> {
        let InventoryFile { path, r#type, labels, certificates, first_seen, last_seen, .. } = self;
        if let Some(id) = alone {
            let seen = (first_seen, last_seen);
            return vec![(id, FileFact { path, r#type, labels, certificates, seen })];
        }
        let facts = self.hosts.into_iter().map(|host| {
            let own = match host.certificates {
                None => certificates.clone(),
                Some(own) => {
                    let is_own = |it: &&Arc<Certificate>| own.contains(&it.sha256);
                    certificates.iter().filter(is_own).cloned().collect()
                }
            };
            let fact = FileFact {
                path: path.clone(),
                r#type: host.r#type.unwrap_or_else(|| r#type.clone()),
                labels: host.labels.unwrap_or_else(|| labels.clone()),
                certificates: own,
                seen: (host.first_seen, host.last_seen),
            };
            (host.host, fact)
        });
        facts.collect()
    }

    fn join(known: &mut FileFact, other: FileFact) {
        known.r#type = file_type([&known.r#type, &other.r#type].into_iter());
        unite_labels(&mut known.labels, &other.labels);
        let all = known.certificates.iter().chain(&other.certificates);
        let united = unite_certificates(all).into_values().cloned().collect();
        known.certificates = united;
        widen(&mut known.seen, other.seen);
    }

    fn build(id: Id, facts: BTreeMap<Id, FileFact>) -> InventoryFile {
        let path = facts.values().map(|fact| &fact.path).min().cloned().unwrap_or_default();
        let r#type = file_type(facts.values().map(|fact| &fact.r#type));
        let mut labels = Labels::new();
        facts.values().for_each(|fact| unite_labels(&mut labels, &fact.labels));
        let all = facts.values().flat_map(|fact| &fact.certificates);
        let united: Vec<_> = unite_certificates(all).into_values().cloned().collect();
        let (first_seen, last_seen) = widest(facts.values().map(|fact| &fact.seen));
        let hosts = facts.iter().map(|(&host, fact)| {
            let own: BTreeSet<_> = fact.certificates.iter().map(|it| &it.sha256).collect();
            let differs = own.len() != united.len();
            HostFile {
                host,
                r#type: Some(&fact.r#type).filter(|own| **own != r#type).cloned(),
                labels: Some(&fact.labels).filter(|own| **own != labels).cloned(),
                certificates: differs.then(|| own.into_iter().cloned().collect()),
                first_seen: fact.seen.0,
                last_seen: fact.seen.1,
            }
        });
        let hosts = hosts.collect();
        let certificates = united;
        InventoryFile { id, path, r#type, labels, certificates, first_seen, last_seen, hosts }
    }
}

impl Row for Use {
    type Key = (Id, Id);
    type Fact = HostUse;

    const LIST: List = List::Uses;

    fn key(&self) -> (Id, Id) {
        (self.program, self.target)
    }

    fn has_valid_kind(&self) -> bool {
        self.program.kind() == IdKind::Program
            && matches!(self.target.kind(), IdKind::Library | IdKind::File)
    }

    fn into_facts(self, alone: Option<Id>) -> Vec<(Id, HostUse)> {
        let Use { count, modes, first, last, stale, hosts, .. } = self;
        match alone {
            Some(host) => vec![(host, HostUse { host, count, modes, first, last, stale })],
            None => hosts.into_iter().map(|fact| (fact.host, fact)).collect(),
        }
    }

    fn join(known: &mut HostUse, other: HostUse) {
        known.count = known.count.max(other.count);
        known.modes = known.modes.union(other.modes);
        known.first = known.first.min(other.first);
        known.last = known.last.max(other.last);
        known.stale = worse(known.stale, other.stale);
    }

    fn build((program, target): (Id, Id), facts: BTreeMap<Id, HostUse>) -> Use {
        let mut all = facts.values();
        let (mut count, mut modes, mut stale) = (0_u64, Modes::default(), None);
        let (mut first, mut last) = all.next().map_or((None, None), |fact| (fact.first, fact.last));
        for fact in facts.values() {
            count = count.saturating_add(fact.count);
            modes = modes.union(fact.modes);
            stale = worse(stale, fact.stale);
            first = first.min(fact.first);
            last = last.max(fact.last);
        }
        let hosts = facts.into_values().collect();
        Use { program, target, count, modes, first, last, stale, hosts }
    }
}

/// Certainly stale is worse than perhaps stale, and longer is worse.
fn worse(one: Option<Stale>, other: Option<Stale>) -> Option<Stale> {
    let rank = |stale: &Stale| {
        let known = stale.reason != StaleReason::Unknown;
        (
            known,
            std::cmp::Reverse(stale.since.map_or((true, Time::default()), |it| (false, it))),
            stale.reason,
        )
    };
    match (one, other) {
        (Some(one), Some(other)) => Some(if rank(&one) < rank(&other) { other } else { one }),
        (one, other) => one.or(other),
    }
}
