//! The objects of a stream. The fields are serialised in the order of declaration, and docs/schema/event.json is derived
//! from these types.

mod make;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crypto_tracer_event::{HeadOutcome, OpenFlags, RedactedFacts, RedactedText, Status, schema};

/// An object in the stream of crypto-tracer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event_type", rename_all = "snake_case")]
#[schemars(title = "crypto-tracer: event")]
pub(super) enum Object<'a> {
    FileOpen(FileOpen<'a>),
    LibLoad(LibLoad<'a>),
    ProcessExec(ProcessExec<'a>),
    ProcessExit(ProcessExit<'a>),
    EventsLost(EventsLost<'a>),
    PluginFailed(PluginFailed<'a>),
    Status(RunStatus<'a>),
}

/// A process opened a certificate, a key or a keystore.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct FileOpen<'a> {
    /// Time of the open, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// Process id.
    pid: u32,
    /// Real user id of the process.
    uid: u32,
    /// Name of the process.
    process: &'a RedactedText,
    /// Absolute path of the file.
    file: &'a RedactedText,
    /// Type of the file: a documented type, or one that a site classifier defines.
    #[schemars(schema_with = "schema::file_type")]
    file_type: &'a str,
    /// Access mode and other open flags.
    flags: OpenFlags,
    #[serde(flatten)]
    more: Option<FileOpenMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// Additional fields of `file_open` with `--extended`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FileOpenMore<'a> {
    /// Thread id.
    tid: u32,
    /// Process id of the parent.
    ppid: u32,
    #[serde(flatten)]
    exe: Exe<'a>,
    #[serde(flatten)]
    location: FileLocation,
    #[serde(flatten)]
    context: ProcessContext<'a>,
    /// `name@version` of the plugin that gave the file type; null if no plugin did.
    classifier: Option<&'a str>,
    /// Outcome of reading the file's head.
    head: HeadOutcome,
    #[serde(flatten)]
    path: PathMore,
}

/// A process mapped the code of a crypto library.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct LibLoad<'a> {
    /// Time of the load, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// Process id.
    pid: u32,
    /// Name of the process.
    process: &'a RedactedText,
    /// Absolute path of the library.
    library: &'a RedactedText,
    /// File name of the library without version.
    library_name: &'a str,
    #[serde(flatten)]
    more: Option<LibLoadMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// Additional fields of `lib_load` with `--extended`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LibLoadMore<'a> {
    #[serde(flatten)]
    thread: Thread,
    /// Process id of the parent.
    ppid: u32,
    #[serde(flatten)]
    exe: Exe<'a>,
    #[serde(flatten)]
    location: FileLocation,
    #[serde(flatten)]
    context: ProcessContext<'a>,
    #[serde(flatten)]
    path: PathMore,
}

/// A process executed a program.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ProcessExec<'a> {
    /// Time of the execution, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// Process id.
    pid: u32,
    /// Process id of the parent; 0 if it is outside the tracer's pid namespace.
    ppid: u32,
    /// Name of the process.
    process: &'a RedactedText,
    /// Arguments, joined by spaces; ends in ` …` if the command line is truncated.
    cmdline: &'a RedactedText,
    #[serde(flatten)]
    more: Option<ProcessExecMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// Additional fields of `process_exec` with `--extended`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProcessExecMore<'a> {
    #[serde(flatten)]
    thread: Thread,
    #[serde(flatten)]
    exe: Exe<'a>,
    #[serde(flatten)]
    context: ProcessContext<'a>,
}

/// A process ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ProcessExit<'a> {
    /// Time at which the last thread ended, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// Process id.
    pid: u32,
    /// Name of the process.
    process: &'a RedactedText,
    /// Exit status; 128 + N if signal N killed the process.
    exit_code: i32,
    #[serde(flatten)]
    more: Option<ProcessExitMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// Additional fields of `process_exit` with `--extended`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProcessExitMore<'a> {
    #[serde(flatten)]
    thread: Thread,
    /// Process id of the parent.
    ppid: u32,
    #[serde(flatten)]
    exe: Exe<'a>,
    /// The signal that killed the process; null if it exited.
    signal: Option<u8>,
    #[serde(flatten)]
    context: ProcessContext<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Thread {
    /// Thread id.
    tid: u32,
    /// Real user id of the process.
    uid: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Exe<'a> {
    /// Path of the executable; null if it could not be read.
    exe: Option<&'a RedactedText>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FileLocation {
    /// Device, `major:minor`.
    #[schemars(schema_with = "schema::device")]
    dev: Device,
    /// Inode number.
    inode: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ProcessContext<'a> {
    /// Inode number of the mount namespace.
    mount_ns: u32,
    /// Container id; null on the host.
    container: Option<&'a str>,
    /// Path of the cgroup; null if it could not be found.
    cgroup: Option<&'a RedactedText>,
}

impl ProcessContext<'_> {
    fn of(process: &RedactedFacts) -> ProcessContext<'_> {
        ProcessContext {
            mount_ns: process.mount_ns,
            container: process.container.as_deref(),
            cgroup: process.cgroup.as_ref(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct PathMore {
    /// The file is outside the process's root, so the path begins at its mount's root.
    unreachable: bool,
    /// Bytes of the path; only if the path is not valid UTF-8 and was not redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::base64")]
    file_bytes: Option<String>,
}

/// Events are missing from the stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct EventsLost<'a> {
    /// Time of the report, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// Number of events since the last report of this cause.
    #[schemars(range(min = 1))]
    count: u64,
    /// Cause of the loss.
    cause: &'a str,
    /// Only present, and false, if the kernel's counter includes misses that are not events.
    #[serde(skip_serializing_if = "is_true")]
    #[schemars(extend("const" = false))]
    exact: bool,
}

/// Calls of a plugin failed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct PluginFailed<'a> {
    /// Time of the report, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// `name@version` of the plugin.
    plugin: &'a str,
    /// `classifier`, `redactor` or `filter`.
    kind: &'static str,
    /// Cause of the failure.
    cause: &'a str,
    /// Number of failed calls since the last report of this cause.
    #[schemars(range(min = 1))]
    count: u64,
    /// What the tracer did instead.
    action: &'static str,
}

/// State of the run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RunStatus<'a> {
    /// Time of the report, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    #[serde(flatten)]
    status: &'a Status,
}

fn is_true(exact: &bool) -> bool {
    *exact
}

/// Labels that plugins added; absent if there are none.
#[derive(Debug, JsonSchema)]
#[schemars(inline)]
struct Labels<'a>(#[schemars(schema_with = "schema::labels")] &'a [(Arc<str>, RedactedText)]);

impl Labels<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Each name once: the value of the first plugin.
        let mut map = serializer.serialize_map(None)?;
        for (at, (name, value)) in self.0.iter().enumerate() {
            if self.0.iter().take(at).all(|(earlier, _)| earlier != name) {
                map.serialize_entry(&**name, value)?;
            }
        }
        map.end()
    }
}

/// `major:minor`
#[derive(Debug)]
struct Device(u32);

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.0 >> 20, self.0 & 0xf_ffff))
    }
}

#[cfg(test)]
mod tests;
