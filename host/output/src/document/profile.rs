//! `profile`: what some processes did in a run, and what they had before it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use hashlink::LinkedHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Document, text_of};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{
    Arguments, ClassifiedEvent, EnrichedWhat, Field, FileType, OpenedFile, Redact, RedactedText,
    Timestamp, Verdict, schema,
};

const VERSION: &str = "1.0";
/// Files, libraries and processes that are listed, of each.
const MOST_LISTED: usize = 10_000;
/// Of those that are not listed, how many can be told apart: 64 bits each.
const MOST_COUNTED: usize = 1 << 18;
/// `/proc` tells start times in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// What some processes did in a run, and what they had before it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "crypto-tracer: a profile", deny_unknown_fields)]
pub struct Profile {
    /// Version of this shape.
    #[schemars(extend("const" = VERSION))]
    profile_version: &'static str,
    /// When the run ended, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    generated_at: String,
    /// How long the run was, to the millisecond.
    duration_seconds: f64,
    /// The oldest of them.
    process: Option<ProfileProcess>,
    /// All, where there can be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<ProfileProcess>>,
    /// How many more there were, 262144 at most; not there when there were none.
    #[serde(skip_serializing_if = "is_zero")]
    processes_not_listed: usize,
    /// Crypto libraries that they have loaded, before the run or in it.
    libraries: Vec<Library>,
    /// How many more there were, 262144 at most; not there when there were none.
    #[serde(skip_serializing_if = "is_zero")]
    libraries_not_listed: usize,
    /// Crypto files that they had open or opened.
    files_accessed: Vec<ProfileFile>,
    /// How many more there were, 262144 at most; not there when there were none.
    #[serde(skip_serializing_if = "is_zero")]
    files_not_listed: usize,
    statistics: Statistics,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A process.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Process", deny_unknown_fields)]
struct ProfileProcess {
    /// Process id.
    pid: u32,
    /// Name.
    name: RedactedText,
    /// Path of the executable; null when it could not be known any more.
    exe: Option<RedactedText>,
    /// The arguments, joined by spaces; null when they could not be known any more.
    cmdline: Option<RedactedText>,
    /// Real user id.
    uid: u32,
    /// Real group id; null when it could not be known any more.
    gid: Option<u32>,
    /// When it started, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    start_time: String,
    #[serde(skip)]
    start_ns: u64,
}

/// A library that was mapped.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Library {
    /// File name without version.
    name: String,
    /// Absolute path.
    path: RedactedText,
    /// When it was mapped, UTC; null: before the run.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    load_time: Option<String>,
}

/// A file that was open or was opened.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct ProfileFile {
    /// Absolute path.
    path: RedactedText,
    /// What it is: the documented words, or a site classifier's own.
    #[schemars(schema_with = "schema::file_type")]
    r#type: String,
    /// Opens in the run; 0: it was open before, and not opened again.
    access_count: u64,
    /// The first open in the run, UTC.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    first_access: Option<String>,
    /// The last open in the run, UTC.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    last_access: Option<String>,
    /// What the opens asked for, all together.
    mode: AccessMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum AccessMode {
    Read,
    Write,
    ReadWrite,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Statistics {
    /// Events of these processes that were seen in the run.
    total_events: u64,
    /// Distinct libraries that they have loaded, before the run or in it.
    libraries_loaded: usize,
    /// Distinct files that were opened in the run.
    files_accessed: usize,
    /// Events that are missing, as far as they were counted one by one.
    events_lost: u64,
}

/// A process as it is met.
#[derive(Clone, Debug)]
pub struct SeenProcess {
    /// Process id.
    pub pid: u32,
    /// When it started, in nanoseconds of the boot clock.
    pub start_ns: u64,
    /// When it started, as wall clock.
    pub start_time: Timestamp,
    /// Name.
    pub name: Vec<u8>,
    /// Executable's path.
    pub exe: Option<Vec<u8>>,
    /// Command line, where known.
    pub arguments: Option<Arguments>,
    /// Real user id.
    pub uid: u32,
    /// Real group id, where known.
    pub gid: Option<u32>,
}

/// What the run itself counted.
#[derive(Clone, Copy, Debug)]
pub struct RunSummary {
    /// When it ended.
    pub at: Timestamp,
    /// How long it was.
    pub duration: Duration,
    /// Events that were seen.
    pub total_events: u64,
    /// Events that are missing.
    pub events_lost: u64,
    /// There can be several processes: list them.
    pub several: bool,
}

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

/// What is too much to be listed: counted, each once.
#[derive(Debug, Default)]
struct Overflow {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Overflow {
    fn add(&mut self, key: &(impl Hash + ?Sized)) {
        if self.hashes.len() < MOST_COUNTED {
            self.hashes.insert(self.hasher.hash_one(key));
        }
    }

    fn len(&self) -> usize {
        self.hashes.len()
    }
}

/// Gathers a profile. Libraries and files are distinct by their real path, whatever is shown of it.
#[derive(Debug, Default)]
pub struct ProfileBuilder {
    processes: LinkedHashMap<(u32, u64), ProfileProcess>,
    libraries: LinkedHashMap<Vec<u8>, Loaded>,
    files: LinkedHashMap<Vec<u8>, Accessed>,
    more_processes: Overflow,
    more_libraries: Overflow,
    more_files: Overflow,
    /// Those of them that were opened in the run.
    more_opened: Overflow,
}

impl ProfileBuilder {
    /// Whether no process was met.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Whether this process was met.
    pub fn knows(&self, pid: u32, start_ns: u64) -> bool {
        self.processes.contains_key(&key(pid, start_ns))
    }

    /// Takes in a process.
    pub fn meet(&mut self, seen: SeenProcess, redact: &mut dyn Redact) {
        let key = key(seen.pid, seen.start_ns);
        if self.processes.len() >= MOST_LISTED {
            self.more_processes.add(&key);
            return;
        }
        let cmdline =
            seen.arguments.map(|arguments| RedactedText::of_arguments(redact, &arguments));
        let process = ProfileProcess {
            pid: seen.pid,
            name: RedactedText::of(redact, Field::Process, &seen.name),
            exe: seen.exe.map(|exe| RedactedText::of(redact, Field::Exe, &exe)),
            cmdline,
            uid: seen.uid,
            gid: seen.gid,
            start_time: text_of(seen.start_time),
            start_ns: seen.start_ns,
        };
        self.processes.insert(key, process);
    }

    /// Takes in what a process had when it was met. `before`: that was before the run.
    pub fn held_before(&mut self, held: ClassifiedEvent, before: bool, redact: &mut dyn Redact) {
        match held.event.what {
            EnrichedWhat::LibLoad { file, library_name } => {
                if let Some(library) = self.library(file, &library_name, redact) {
                    library.before |= before;
                }
            }
            EnrichedWhat::FileOpen { file, flags } => {
                if let Some(accessed) = self.file(file, held.verdict, false, redact) {
                    accessed.mode(flags);
                }
            }
            EnrichedWhat::Exec { .. } | EnrichedWhat::Exit { .. } => {}
        }
    }

    /// Takes in what happened in the run.
    pub fn event(&mut self, event: ClassifiedEvent, redact: &mut dyn Redact) {
        let at = event.event.timestamp;
        match event.event.what {
            EnrichedWhat::LibLoad { file, library_name } => {
                if let Some(library) = self.library(file, &library_name, redact) {
                    library.at.get_or_insert(at);
                }
            }
            EnrichedWhat::FileOpen { file, flags } => {
                if let Some(accessed) = self.file(file, event.verdict, true, redact) {
                    accessed.count += 1;
                    // Between threads the order may be off by a little.
                    accessed.first = Some(accessed.first.map_or(at, |first| first.min(at)));
                    accessed.last = accessed.last.max(Some(at));
                    accessed.mode(flags);
                }
            }
            EnrichedWhat::Exec { .. } | EnrichedWhat::Exit { .. } => {}
        }
    }

    fn library(
        &mut self,
        file: OpenedFile,
        name: &[u8],
        redact: &mut dyn Redact,
    ) -> Option<&mut Loaded> {
        // What looks alike, but begins elsewhere, is another one.
        let path = file.path.marked().unwrap_or_else(|| file.path.bytes.clone());
        if !self.libraries.contains_key(&path) {
            if self.libraries.len() >= MOST_LISTED {
                self.more_libraries.add(&path);
                return None;
            }
            let name = String::from_utf8_lossy(name).into_owned();
            let shown = RedactedText::of_path(redact, Field::Library, &file.path);
            let loaded = Loaded { name, path: shown, before: false, at: None };
            self.libraries.insert(path.clone(), loaded);
        }
        self.libraries.get_mut(&path)
    }

    /// `opened`: in the run, not before it.
    fn file(
        &mut self,
        file: OpenedFile,
        verdict: Option<Verdict>,
        opened: bool,
        redact: &mut dyn Redact,
    ) -> Option<&mut Accessed> {
        // What looks alike, but begins elsewhere, is another one.
        let path = file.path.marked().unwrap_or_else(|| file.path.bytes.clone());
        let file_type = verdict.map_or(FileType::Unknown, |verdict| verdict.file_type);
        if !self.files.contains_key(&path) {
            if self.files.len() >= MOST_LISTED {
                self.more_files.add(&path);
                if opened {
                    self.more_opened.add(&path);
                }
                return None;
            }
            let shown = RedactedText::of_path(redact, Field::File, &file.path);
            self.files.insert(path.clone(), Accessed::new(shown));
        }
        let accessed = self.files.get_mut(&path)?;
        // A file that is gone or empty by now was something before.
        if file_type != FileType::Unknown {
            accessed.file_type = file_type;
        }
        Some(accessed)
    }

    /// The whole of it.
    pub fn finish(self, run: RunSummary) -> Profile {
        let statistics = Statistics {
            total_events: run.total_events,
            libraries_loaded: self.libraries.len() + self.more_libraries.len(),
            files_accessed: self.files.values().filter(|file| file.count > 0).count()
                + self.more_opened.len(),
            events_lost: run.events_lost,
        };
        let mut processes: Vec<ProfileProcess> =
            self.processes.into_iter().map(|(_, process)| process).collect();
        processes.sort_by_key(|process| (process.start_ns, process.pid));
        let first = processes.first().cloned();
        Profile {
            profile_version: VERSION,
            generated_at: text_of(run.at),
            duration_seconds: (run.duration.as_secs_f64() * 1e3).round() / 1e3,
            process: first,
            processes: run.several.then_some(processes),
            processes_not_listed: self.more_processes.len(),
            libraries: self
                .libraries
                .into_iter()
                .map(|(_, library)| library.into_listed())
                .collect(),
            libraries_not_listed: self.more_libraries.len(),
            files_accessed: self.files.into_iter().map(|(_, file)| file.into_listed()).collect(),
            files_not_listed: self.more_files.len(),
            statistics,
        }
    }
}

fn key(pid: u32, start_ns: u64) -> (u32, u64) {
    (pid, start_ns / TICK_NS)
}

impl Loaded {
    fn into_listed(self) -> Library {
        let load_time = self.at.filter(|_| !self.before).map(text_of);
        Library { name: self.name, path: self.path, load_time }
    }
}

impl Accessed {
    fn new(path: RedactedText) -> Accessed {
        let file_type = FileType::Unknown;
        Accessed { path, file_type, count: 0, first: None, last: None, reads: false, writes: false }
    }

    /// Takes in the access mode of an open.
    fn mode(&mut self, flags: u32) {
        self.reads |= flags & 3 != 1;
        self.writes |= flags & 3 != 0;
    }

    fn into_listed(self) -> ProfileFile {
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
        }
    }
}

impl AccessMode {
    fn word(self) -> &'static str {
        match self {
            AccessMode::Read => "read",
            AccessMode::Write => "write",
            AccessMode::ReadWrite => "read_write",
        }
    }
}

impl Document for Profile {
    fn summary(&self) -> String {
        let mut text = String::new();
        let one = self.process.as_slice();
        for process in self.processes.as_deref().unwrap_or(one) {
            let name = printable(process.name.as_str());
            let exe = process.exe.as_ref().map_or("?", RedactedText::as_str);
            let _ = writeln!(text, "{name} (pid {}), {}", process.pid, printable(exe));
        }
        let Statistics { total_events, libraries_loaded, files_accessed, events_lost } =
            self.statistics;
        let _ = writeln!(
            text,
            "{}, {} s: {}, {}, {} opened, {} lost",
            self.generated_at,
            self.duration_seconds,
            counted(total_events, "event"),
            counted(libraries_loaded, "library"),
            counted(files_accessed, "file"),
            counted(events_lost, "event"),
        );
        if !self.libraries.is_empty() {
            text.push_str("\nLibraries\n");
        }
        for library in &self.libraries {
            let when = library.load_time.as_deref().unwrap_or("before the start");
            let path = printable(library.path.as_str());
            let _ = writeln!(text, "  {when:<28}{path}");
        }
        if !self.files_accessed.is_empty() {
            text.push_str("\nFiles\n");
        }
        for file in &self.files_accessed {
            let path = printable(file.path.as_str());
            let _ = writeln!(
                text,
                "  {:>6}x {:<11}{:<12} {path}",
                file.access_count,
                file.mode.word(),
                printable(&file.r#type)
            );
        }
        if self.files_not_listed > 0 {
            let _ = writeln!(text, "  and {} more", self.files_not_listed);
        }
        text
    }
}

#[cfg(test)]
mod tests;
