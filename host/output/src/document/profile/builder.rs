//! Builds a [`Profile`] from events.

use std::collections::HashMap;

use hashlink::LinkedHashMap;

use super::{
    AccessMode, Library, Profile, ProfileFile, ProfileProcess, RunSummary, Statistics, VERSION,
};
use crate::document::overflow::Overflow;
use crate::document::{Stale, text_of};
use crypto_tracer_event::{
    FileType, PathIdentity, RedactedEvent, RedactedFile, RedactedProcess, RedactedText,
    RedactedWhat, Timestamp,
};

/// Maximum number of entries in each list: files, libraries and processes.
pub(super) const MAX_LISTED: usize = 10_000;
/// Resolution of start times in `/proc`.
const TICK_NS: u64 = 10_000_000;

#[derive(Debug)]
struct Loaded {
    name: String,
    path: RedactedText,
    before: bool,
    at: Option<Timestamp>,
}

#[derive(Debug)]
struct Accessed {
    path: RedactedText,
    file_type: FileType,
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    reads: bool,
    writes: bool,
}

/// Builds a profile. Libraries and files are identified by their real paths, not by their redacted ones.
#[derive(Debug, Default)]
pub struct ProfileBuilder {
    processes: LinkedHashMap<(u32, u64), RedactedProcess>,
    libraries: LinkedHashMap<PathIdentity, Loaded>,
    files: LinkedHashMap<PathIdentity, Accessed>,
    more_processes: Overflow,
    more_libraries: Overflow,
    more_files: Overflow,
    /// The files of `more_files` that were opened during the run.
    more_opened: Overflow,
}

impl ProfileBuilder {
    /// Returns whether no process was added.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Returns whether this process was added.
    pub fn knows(&self, pid: u32, start_ns: u64) -> bool {
        self.processes.contains_key(&key(pid, start_ns))
    }

    /// Adds a process.
    pub fn add_process(&mut self, process: RedactedProcess) {
        let key = key(process.pid, process.start_ns);
        if self.processes.len() >= MAX_LISTED {
            self.more_processes.add(&key);
        } else {
            self.processes.insert(key, process);
        }
    }

    /// Adds a library or a file that a process already had when the process was added. `before`: since before the run.
    pub fn add_held(&mut self, held: &RedactedEvent, before: bool) {
        match held.what() {
            RedactedWhat::LibLoad { file, library_name } => {
                if let Some(library) = self.library(file, library_name) {
                    library.before |= before;
                }
            }
            RedactedWhat::FileOpen { file, flags } => {
                if let Some(accessed) = self.file(file, &held.verdict().file_type, false) {
                    accessed.add_mode(*flags);
                }
            }
            _ => {}
        }
    }

    /// Adds an event that happened during the run.
    pub fn add_event(&mut self, event: &RedactedEvent) {
        let at = event.timestamp();
        match event.what() {
            RedactedWhat::LibLoad { file, library_name } => {
                if let Some(library) = self.library(file, library_name) {
                    library.at.get_or_insert(at);
                }
            }
            RedactedWhat::FileOpen { file, flags } => {
                if let Some(accessed) = self.file(file, &event.verdict().file_type, true) {
                    accessed.count += 1;
                    // Events of two threads may arrive slightly out of order.
                    accessed.first = Some(accessed.first.map_or(at, |first| first.min(at)));
                    accessed.last = accessed.last.max(Some(at));
                    accessed.add_mode(*flags);
                }
            }
            _ => {}
        }
    }

    fn library(&mut self, file: &RedactedFile, name: &str) -> Option<&mut Loaded> {
        let identity = file.identity;
        if !self.libraries.contains_key(&identity) {
            if self.libraries.len() >= MAX_LISTED {
                self.more_libraries.add(&identity);
                return None;
            }
            let path = file.path.clone();
            let loaded = Loaded { name: name.to_owned(), path, before: false, at: None };
            self.libraries.insert(identity, loaded);
        }
        self.libraries.get_mut(&identity)
    }

    /// `opened`: during the run, not before it.
    fn file(
        &mut self,
        file: &RedactedFile,
        file_type: &FileType,
        opened: bool,
    ) -> Option<&mut Accessed> {
        let identity = file.identity;
        if !self.files.contains_key(&identity) {
            if self.files.len() >= MAX_LISTED {
                self.more_files.add(&identity);
                if opened {
                    self.more_opened.add(&identity);
                }
                return None;
            }
            self.files.insert(identity, Accessed::new(file.path.clone()));
        }
        let accessed = self.files.get_mut(&identity)?;
        // A file that was deleted or truncated since keeps its earlier type.
        if *file_type != FileType::Unknown {
            accessed.file_type = file_type.clone();
        }
        Some(accessed)
    }

    /// Returns the complete document. `stale`: libraries and files that are stale, or may be.
    pub fn finish(self, run: RunSummary, stale: &HashMap<PathIdentity, Stale>) -> Profile {
        let statistics = Statistics {
            total_events: run.total_events,
            libraries_loaded: self.libraries.len() + self.more_libraries.len(),
            files_accessed: self.files.values().filter(|file| file.count > 0).count()
                + self.more_opened.len(),
            events_lost: run.events_lost,
        };
        let mut processes: Vec<RedactedProcess> =
            self.processes.into_iter().map(|(_, process)| process).collect();
        processes.sort_by_key(|process| (process.start_ns, process.pid));
        let processes: Vec<ProfileProcess> = processes.into_iter().map(listed).collect();
        let first = processes.first().cloned();
        Profile {
            profile_version: VERSION,
            generated_at: text_of(run.at),
            duration_seconds: (run.duration.as_secs_f64() * 1e3).round() / 1e3,
            process: first,
            processes: run.list_processes.then_some(processes),
            processes_not_listed: self.more_processes.len(),
            libraries: self
                .libraries
                .into_iter()
                .map(|(path, library)| library.into_listed(stale.get(&path).copied()))
                .collect(),
            libraries_not_listed: self.more_libraries.len(),
            files_accessed: self
                .files
                .into_iter()
                .map(|(path, file)| file.into_listed(stale.get(&path).copied()))
                .collect(),
            files_not_listed: self.more_files.len(),
            statistics,
        }
    }
}

/// Rounds the start time, because `/proc` has a resolution of 1/100 s.
fn key(pid: u32, start_ns: u64) -> (u32, u64) {
    (pid, start_ns / TICK_NS)
}

fn listed(process: RedactedProcess) -> ProfileProcess {
    ProfileProcess {
        pid: process.pid,
        name: process.name,
        exe: process.exe,
        cmdline: process.cmdline,
        uid: process.uid,
        gid: process.gid,
        start_time: text_of(process.start_time),
    }
}

impl Loaded {
    fn into_listed(self, stale: Option<Stale>) -> Library {
        let load_time = self.at.filter(|_| !self.before).map(text_of);
        Library { name: self.name, path: self.path, load_time, stale }
    }
}

impl Accessed {
    fn new(path: RedactedText) -> Accessed {
        let file_type = FileType::Unknown;
        Accessed { path, file_type, count: 0, first: None, last: None, reads: false, writes: false }
    }

    /// Adds the access mode of an open.
    fn add_mode(&mut self, flags: u32) {
        self.reads |= flags & 3 != 1;
        self.writes |= flags & 3 != 0;
    }

    fn into_listed(self, stale: Option<Stale>) -> ProfileFile {
        ProfileFile {
            path: self.path,
            r#type: self.file_type.as_str().to_owned(),
            access_count: self.count,
            first_access: self.first.map(text_of),
            last_access: self.last.map(text_of),
            mode: match (self.reads, self.writes) {
                (true, true) => AccessMode::ReadWrite,
                (false, true) => AccessMode::Write,
                _ => AccessMode::Read,
            },
            stale,
        }
    }
}
