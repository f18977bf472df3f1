//! What a line of a stream is, field by field and in this order. These types are what is serialised, and
//! docs/schema/event.json is derived from them.

mod make;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crypto_tracer_event::{HeadOutcome, OpenFlags, RedactedText, Status, schema};

/// One object of a stream of crypto-tracer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event_type", rename_all = "snake_case")]
#[schemars(title = "crypto-tracer: an event")]
pub(super) enum Object<'a> {
    FileOpen(FileOpen<'a>),
    LibLoad(LibLoad<'a>),
    ProcessExec(ProcessExec<'a>),
    ProcessExit(ProcessExit<'a>),
    EventsLost(EventsLost<'a>),
    PluginFailed(PluginFailed<'a>),
    Status(StatusNow<'a>),
}

/// A process opened a certificate, a key or a keystore.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct FileOpen<'a> {
    /// When the file was opened, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// The process.
    pid: u32,
    /// Its real user id.
    uid: u32,
    /// Its name.
    process: &'a RedactedText,
    /// Absolute path of the file.
    file: &'a RedactedText,
    /// What it is: the documented words, or a site classifier's own.
    #[schemars(schema_with = "schema::file_type")]
    file_type: &'a str,
    /// Access mode, and what was asked besides.
    flags: OpenFlags,
    #[serde(flatten)]
    more: Option<FileOpenMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// What `--extended` appends to a `file_open`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FileOpenMore<'a> {
    /// The thread.
    tid: u32,
    /// The parent process.
    ppid: u32,
    #[serde(flatten)]
    exe: Exe<'a>,
    #[serde(flatten)]
    place: At,
    #[serde(flatten)]
    context: ProcessContext<'a>,
    /// `name@version` of the plugin that said what the file is.
    classifier: Option<&'a str>,
    /// What became of the wish to see the file's beginning.
    head: HeadOutcome,
    #[serde(flatten)]
    path: PathMore,
}

/// A process mapped code of a crypto library.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct LibLoad<'a> {
    /// When the library was loaded, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// The process.
    pid: u32,
    /// Its name.
    process: &'a RedactedText,
    /// Absolute path of the library.
    library: &'a RedactedText,
    /// Its file name without version.
    library_name: &'a str,
    #[serde(flatten)]
    more: Option<LibLoadMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// What `--extended` appends to a `lib_load`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LibLoadMore<'a> {
    #[serde(flatten)]
    thread: Thread,
    /// The parent process.
    ppid: u32,
    #[serde(flatten)]
    exe: Exe<'a>,
    #[serde(flatten)]
    place: At,
    #[serde(flatten)]
    context: ProcessContext<'a>,
    #[serde(flatten)]
    path: PathMore,
}

/// A process runs another program.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ProcessExec<'a> {
    /// When the program started, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// The process.
    pid: u32,
    /// Its parent; 0 when that is outside the tracer's pid namespace.
    ppid: u32,
    /// Its name.
    process: &'a RedactedText,
    /// The arguments, joined by spaces; ends in ` …` when there were more.
    cmdline: &'a RedactedText,
    #[serde(flatten)]
    more: Option<ProcessExecMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// What `--extended` appends to a `process_exec`.
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
    /// When the last thread ended, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// The process.
    pid: u32,
    /// Its name.
    process: &'a RedactedText,
    /// Exit status; 128 + N when signal N ended it.
    exit_code: i32,
    #[serde(flatten)]
    more: Option<ProcessExitMore<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// What `--extended` appends to a `process_exit`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProcessExitMore<'a> {
    #[serde(flatten)]
    thread: Thread,
    /// The parent process.
    ppid: u32,
    #[serde(flatten)]
    exe: Exe<'a>,
    /// The signal that ended it; null when none did.
    signal: Option<u8>,
    #[serde(flatten)]
    context: ProcessContext<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Thread {
    /// The thread.
    tid: u32,
    /// The process's real user id.
    uid: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Exe<'a> {
    /// Path of the executable; null when it could not be known any more.
    exe: Option<&'a RedactedText>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct At {
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
    /// Container id; null on the host itself.
    container: Option<&'a str>,
    /// Path of the cgroup; null when it could not be known.
    cgroup: Option<&'a RedactedText>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PathMore {
    /// The file is outside the process's root: its path begins at its mount's root.
    unreachable: bool,
    /// The path byte for byte, only when it is no UTF-8 and nothing in it was hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::base64")]
    file_bytes: Option<String>,
}

/// Events are missing from the stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct EventsLost<'a> {
    /// When this was told, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// How many since the last word of this cause.
    #[schemars(range(min = 1))]
    count: u64,
    /// Why.
    cause: &'a str,
    /// Only there, and false, where the kernel only counts misses of any kind.
    #[serde(skip_serializing_if = "is_true")]
    #[schemars(extend("const" = false))]
    exact: bool,
}

/// Calls of a plugin failed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct PluginFailed<'a> {
    /// When this was told, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    /// `name@version` of the plugin.
    plugin: &'a str,
    /// `classifier`, `redactor` or `filter`.
    kind: &'static str,
    /// Why.
    cause: &'a str,
    /// How many calls since the last word of this cause.
    #[schemars(range(min = 1))]
    count: u64,
    /// What was done instead.
    action: &'static str,
}

/// The run tells how it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct StatusNow<'a> {
    /// When this was told, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    timestamp: &'a str,
    #[serde(flatten)]
    status: &'a Status,
}

fn is_true(exact: &bool) -> bool {
    *exact
}

/// What plugins added; only there where one gave some.
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
        // An object has each name once; the first plugin's word stays.
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
