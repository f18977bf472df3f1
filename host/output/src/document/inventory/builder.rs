//! Builds an [`Inventory`] from events.

mod tables;

use std::collections::{BTreeMap, HashMap};

use hashlink::LinkedHashMap;

use self::tables::{FileFacts, Interned, ProgramEntry, Seen, TargetEntry, TargetFacts, UseEntry};
use super::{
    Coverage, Host, INVENTORY_VERSION, Id, Inventory, Modes, NotListed, Stale, Time, Use, Window,
};
use crate::document::overflow::Overflow;
use crypto_tracer_event::{
    RedactedAsset, RedactedEvent, RedactedFacts, RedactedText, RedactedWhat, Timestamp,
};

/// Maximum number of programs, of libraries, and of files.
const MAX_LISTED: usize = 10_000;
/// Maximum number of uses.
const MAX_USES: usize = 100_000;
/// Maximum number of users and of containers of all programs together.
const MAX_NAMED: usize = 100_000;
/// Maximum number of distinct certificates.
const MAX_CERTIFICATES: usize = 20_000;
/// Maximum number of certificates of all files together: several files may have the same ones.
const MAX_CERTIFICATE_ENTRIES: usize = 200_000;
/// Maximum number of labels of a file.
const MAX_LABELS: usize = 64;
/// Maximum number of living processes that are distinguished. If there are more, one may count twice.
const MAX_PROCESSES: usize = 65_536;
/// Resolution of start times in `/proc`.
const TICK_NS: u64 = 10_000_000;

/// A use in the tables of a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UseKey {
    program: u32,
    target: u32,
}

/// One use, from an event, from `/proc`, or from a stream that was collected elsewhere.
#[derive(Debug)]
pub struct Observation<'a> {
    /// Time of the load or open; `None`: before the window.
    pub at: Option<Timestamp>,
    /// The process.
    pub process: ObservedProcess<'a>,
    /// What it used.
    pub target: ObservedTarget<'a>,
}

/// The process of an observation. The texts are redacted.
#[derive(Clone, Copy, Debug)]
pub struct ObservedProcess<'a> {
    /// Process id.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock; 0 if unknown.
    pub start_ns: u64,
    /// Path of the executable; `None` if unknown.
    pub exe: Option<&'a str>,
    /// Name.
    pub name: &'a str,
    /// Real user id; `None` if unknown.
    pub uid: Option<u32>,
    /// Container id; `None` on the host.
    pub container: Option<&'a str>,
}

/// The library or file of an observation. The texts are redacted.
#[derive(Clone, Copy, Debug)]
pub enum ObservedTarget<'a> {
    /// A library that was mapped as code.
    Library {
        /// File name without version.
        name: &'a str,
        /// Path.
        path: &'a str,
    },
    /// A file that was opened.
    File {
        /// Path.
        path: &'a str,
        /// Type.
        file_type: &'a str,
        /// Open flags.
        flags: u32,
        /// Labels of plugins: names and values.
        labels: &'a [(&'a str, &'a str)],
        /// What inspectors found.
        assets: &'a [RedactedAsset],
    },
}

/// Facts about the run that its events do not contain.
#[derive(Clone, Debug)]
pub struct InventoryRun {
    /// Time of the document.
    pub at: Timestamp,
    /// The observed time.
    pub window: (Timestamp, Timestamp),
    /// The machine.
    pub host: Host,
    /// Coverage, without `complete` and `not_listed`.
    pub coverage: Coverage,
}

/// Builds an inventory in bounded tables.
#[derive(Debug, Default)]
pub struct InventoryBuilder {
    programs: Interned<ProgramEntry>,
    targets: Interned<TargetEntry>,
    libraries: usize,
    files: usize,
    uses: HashMap<UseKey, UseEntry>,
    certificates: tables::Certificates,
    /// The program of each living process that used something, by pid and start.
    processes: LinkedHashMap<(u32, u64), u32>,
    named: usize,
    not: NotListedTables,
}

#[derive(Debug, Default)]
struct NotListedTables {
    programs: Overflow,
    libraries: Overflow,
    files: Overflow,
    certificates: Overflow,
    uses: Overflow,
    users_and_containers: Overflow,
    events: u64,
}

impl InventoryBuilder {
    /// Number of uses.
    pub fn uses(&self) -> usize {
        self.uses.len()
    }

    /// Adds a load or an open; the end of a process is noted, other events are not. `before`: the process had the library
    /// or file before the window. Returns the use, if it is listed.
    pub fn add_event(&mut self, event: &RedactedEvent, before: bool) -> Option<UseKey> {
        let RedactedFacts { pid, start_ns, uid, .. } = *event.process();
        let process = event.process();
        let labels: Vec<(&str, &str)>;
        let target = match event.what() {
            RedactedWhat::LibLoad { file, library_name } => {
                ObservedTarget::Library { name: library_name, path: file.path.as_str() }
            }
            RedactedWhat::FileOpen { file, flags } => {
                labels =
                    event.labels().iter().map(|(name, value)| (&**name, value.as_str())).collect();
                ObservedTarget::File {
                    path: file.path.as_str(),
                    file_type: event.verdict().file_type.as_str(),
                    flags: *flags,
                    labels: &labels,
                    assets: event.assets(),
                }
            }
            RedactedWhat::Exit { .. } => {
                self.end_process(pid, start_ns);
                return None;
            }
            RedactedWhat::Exec { .. } => return None,
        };
        self.add(&Observation {
            at: (!before).then_some(event.timestamp()),
            process: ObservedProcess {
                pid,
                start_ns,
                exe: process.exe.as_ref().map(RedactedText::as_str),
                name: process.name.as_str(),
                uid: Some(uid),
                container: process.container.as_deref(),
            },
            target,
        })
    }

    /// Adds a use. Returns it, if it is listed.
    pub fn add(&mut self, observed: &Observation<'_>) -> Option<UseKey> {
        let key = self.program(observed).zip(self.target(observed));
        let Some((program, target)) = key else {
            self.count_unlisted(observed);
            return None;
        };
        let key = UseKey { program, target };
        let is_new = !self.uses.contains_key(&key);
        if is_new && self.uses.len() >= MAX_USES {
            self.count_unlisted(observed);
            return None;
        }
        let entry = self.uses.entry(key).or_default();
        entry.seen.add(observed.at);
        entry.count += u64::from(observed.at.is_some());
        entry.modes = entry.modes.union(modes(&observed.target));
        Some(key)
    }

    /// Sets the version of a library.
    pub fn set_version(&mut self, of: UseKey, version: &str) {
        if let Some(TargetFacts::Library { version: known, .. }) =
            self.targets.get_mut(of.target).map(|target| &mut target.facts)
        {
            *known = Some(version.into());
        }
    }

    /// Notes that the process ended, so that another one can have its pid.
    pub fn end_process(&mut self, pid: u32, start_ns: u64) {
        self.processes.remove(&(pid, start_ns / TICK_NS));
    }

    fn program(&mut self, observed: &Observation<'_>) -> Option<u32> {
        let process = &observed.process;
        let id = Id::program(process.exe, process.name);
        let index = match self.programs.index(id) {
            Some(index) => index,
            None if self.programs.len() >= MAX_LISTED => {
                self.not.programs.add(&id);
                return None;
            }
            None => self.programs.add(id, ProgramEntry::new(process.exe, process.name)),
        };
        let program = self.programs.get_mut(index)?;
        program.seen.add(observed.at);
        program.add_name(process.name);
        let new = program.unknown(process.uid, process.container);
        if new > 0 && self.named + new > MAX_NAMED {
            self.not.users_and_containers.add(&(id, process.uid, process.container));
        } else if new > 0 {
            self.named += new;
            program.add_user_and_container(process.uid, process.container);
        }
        let key = (process.pid, process.start_ns / TICK_NS);
        if self.processes.insert(key, index) != Some(index) {
            program.processes += 1;
        }
        if self.processes.len() > MAX_PROCESSES {
            self.processes.pop_front();
        }
        Some(index)
    }

    fn target(&mut self, observed: &Observation<'_>) -> Option<u32> {
        let (id, path) = match &observed.target {
            ObservedTarget::Library { path, .. } => (Id::library(path), path),
            ObservedTarget::File { path, .. } => (Id::file(path), path),
        };
        let index = match (self.targets.index(id), &observed.target) {
            (Some(index), _) => index,
            (None, ObservedTarget::Library { name, .. }) => {
                if self.libraries >= MAX_LISTED {
                    self.not.libraries.add(&id);
                    return None;
                }
                self.libraries += 1;
                let facts = TargetFacts::Library { name: (*name).into(), version: None };
                self.targets
                    .add(id, TargetEntry { path: (*path).into(), seen: Seen::default(), facts })
            }
            (None, ObservedTarget::File { .. }) => {
                if self.files >= MAX_LISTED {
                    self.not.files.add(&id);
                    return None;
                }
                self.files += 1;
                let facts = TargetFacts::File(FileFacts::default());
                self.targets
                    .add(id, TargetEntry { path: (*path).into(), seen: Seen::default(), facts })
            }
        };
        let target = self.targets.get_mut(index)?;
        target.seen.add(observed.at);
        if let (TargetFacts::File(facts), ObservedTarget::File { file_type, labels, assets, .. }) =
            (&mut target.facts, &observed.target)
        {
            facts.add_type(file_type);
            facts.add_labels(labels);
            for asset in *assets {
                self.certificates.add(asset, facts, &mut self.not.certificates);
            }
        }
        Some(index)
    }

    fn count_unlisted(&mut self, observed: &Observation<'_>) {
        let (ObservedTarget::Library { path, .. } | ObservedTarget::File { path, .. }) =
            observed.target;
        let is_library = matches!(observed.target, ObservedTarget::Library { .. });
        let program = Id::program(observed.process.exe, observed.process.name);
        self.not.uses.add(&(program, is_library, path));
        self.not.events += u64::from(observed.at.is_some());
    }

    /// Returns the document. `user`: the name of a user id. `stale`: uses that are stale, or may be.
    pub fn document(
        &self,
        run: InventoryRun,
        user: &dyn Fn(u32) -> String,
        stale: &HashMap<UseKey, Stale>,
    ) -> Inventory {
        let mut coverage = run.coverage;
        coverage.not_listed = self.not_listed();
        coverage.judge();
        let mut inventory = Inventory {
            inventory_version: INVENTORY_VERSION.to_owned(),
            generated_at: Time(run.at),
            window: Window { from: Time(run.window.0), to: Time(run.window.1) },
            host: Some(run.host),
            hosts: Vec::new(),
            coverage,
            programs: self.programs.iter().map(|(id, it)| it.listed(id, user)).collect(),
            libraries: self.targets.iter().filter_map(|(id, it)| it.library(id)).collect(),
            files: self.targets.iter().filter_map(|(id, it)| it.file(id)).collect(),
            uses: Vec::with_capacity(self.uses.len()),
        };
        for (key, it) in &self.uses {
            let ids = self.programs.id(key.program).zip(self.targets.id(key.target));
            let Some((program, target)) = ids else { continue };
            inventory.uses.push(Use {
                program,
                target,
                count: it.count,
                modes: it.modes,
                first: it.seen.first(),
                last: it.seen.last(),
                stale: stale.get(key).copied(),
                hosts: Vec::new(),
            });
        }
        inventory.sort();
        inventory
    }

    fn not_listed(&self) -> NotListed {
        let NotListedTables {
            programs,
            libraries,
            files,
            certificates,
            uses,
            users_and_containers,
            events,
        } = &self.not;
        let [programs, libraries, files, certificates, uses, users_and_containers] =
            [programs, libraries, files, certificates, uses, users_and_containers]
                .map(|it| it.len() as u64);
        NotListed {
            programs,
            libraries,
            files,
            certificates,
            uses,
            users_and_containers,
            events: *events,
        }
    }
}

fn modes(target: &ObservedTarget<'_>) -> Modes {
    match target {
        ObservedTarget::Library { .. } => Modes { load: true, ..Modes::default() },
        ObservedTarget::File { flags, .. } => {
            Modes { read: flags & 3 != 1, write: flags & 3 != 0, ..Modes::default() }
        }
    }
}

/// Returns the labels of a file as the document shows them: of several values of a name, the first.
fn first_of_each<'a>(labels: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
    let mut first = BTreeMap::new();
    for (name, value) in labels {
        first.entry(*name).or_insert(*value);
    }
    first
}

#[cfg(test)]
mod tests;
