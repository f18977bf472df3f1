//! `profile`: what some processes did in a run, and what they had before it.

mod builder;

use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use self::builder::ProfileBuilder;
use super::Document;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{RedactedText, Timestamp, schema};

const VERSION: &str = "1.0";

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
