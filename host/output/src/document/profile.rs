//! The document of `profile`: the crypto libraries and files of some processes, before and during a run.

mod builder;

use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use self::builder::ProfileBuilder;
use super::{Document, Stale, stale_text};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{RedactedText, Timestamp, schema};

const VERSION: &str = "1.0";

/// The crypto libraries and files of some processes, before and during a run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "crypto-tracer: profile", deny_unknown_fields)]
pub struct Profile {
    /// Version of this format.
    #[schemars(extend("const" = VERSION))]
    profile_version: &'static str,
    /// End of the run, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    generated_at: String,
    /// Duration of the run in seconds, rounded to milliseconds.
    duration_seconds: f64,
    /// The process that started first; null if there was none.
    process: Option<ProfileProcess>,
    /// All processes; absent if the options select a single process.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<ProfileProcess>>,
    /// Number of processes beyond the limit of the list, at most 262144; absent if 0.
    #[serde(skip_serializing_if = "is_zero")]
    processes_not_listed: usize,
    /// Crypto libraries that the processes loaded before or during the run.
    libraries: Vec<Library>,
    /// Number of libraries beyond the limit of the list, at most 262144; absent if 0.
    #[serde(skip_serializing_if = "is_zero")]
    libraries_not_listed: usize,
    /// Crypto files that the processes had open before the run or opened during it.
    files_accessed: Vec<ProfileFile>,
    /// Number of files beyond the limit of the list, at most 262144; absent if 0.
    #[serde(skip_serializing_if = "is_zero")]
    files_not_listed: usize,
    statistics: Statistics,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature that serde requires")]
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
    /// Path of the executable; null if it could not be read.
    exe: Option<RedactedText>,
    /// Arguments, joined by spaces; null if they could not be read.
    cmdline: Option<RedactedText>,
    /// Real user id.
    uid: u32,
    /// Real group id; null if it could not be read.
    gid: Option<u32>,
    /// Start time, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    start_time: String,
}

/// A mapped library.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Library {
    /// File name without version.
    name: String,
    /// Absolute path.
    path: RedactedText,
    /// Time of the first load, UTC; null if it was before the run.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    load_time: Option<String>,
    /// Why the path is another file than the mapped one; absent if it is not, or if the process has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<Stale>,
}

/// A file that was open before the run or was opened during it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct ProfileFile {
    /// Absolute path.
    path: RedactedText,
    /// Type of the file: a documented type, or one that a site classifier defines.
    #[schemars(schema_with = "schema::file_type")]
    r#type: String,
    /// Number of opens during the run; 0 if the file was only open before it.
    access_count: u64,
    /// Time of the first open during the run, UTC; null if there was none.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    first_access: Option<String>,
    /// Time of the last open during the run, UTC; null if there was none.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    last_access: Option<String>,
    /// Combined access mode of all opens.
    mode: AccessMode,
    /// Why the path is another file than the one that a living process opened last during the run; absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<Stale>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum AccessMode {
    Read,
    Write,
    ReadWrite,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Statistics {
    /// Events of these processes during the run.
    total_events: u64,
    /// Distinct libraries that the processes loaded before or during the run.
    libraries_loaded: usize,
    /// Distinct files that were opened during the run.
    files_accessed: usize,
    /// Lost events that were counted exactly.
    events_lost: u64,
}

/// Facts about the run, for its profile.
#[derive(Clone, Copy, Debug)]
pub struct RunSummary {
    /// End of the run.
    pub at: Timestamp,
    /// Duration of the run.
    pub duration: Duration,
    /// Number of events.
    pub total_events: u64,
    /// Number of lost events.
    pub events_lost: u64,
    /// Whether the document lists all processes, because the options can select several.
    pub list_processes: bool,
}

impl AccessMode {
    fn name(self) -> &'static str {
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
        for process in self.processes.as_deref().unwrap_or(self.process.as_slice()) {
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
            let stale = stale_text(library.stale);
            let _ = writeln!(text, "  {when:<28}{path}{stale}");
        }
        if !self.files_accessed.is_empty() {
            text.push_str("\nFiles\n");
        }
        for file in &self.files_accessed {
            let path = printable(file.path.as_str());
            let _ = writeln!(
                text,
                "  {:>6}x {:<11}{:<12} {path}{}",
                file.access_count,
                file.mode.name(),
                printable(&file.r#type),
                stale_text(file.stale)
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
