//! Notices of the tracer itself in the event stream.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{HeadOutcome, Timestamp};
use crate::counted::counted;

/// Events that are missing from the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Number of events since the last report of this cause.
    pub count: u64,
    /// Cause of the loss.
    pub cause: Cow<'static, str>,
    /// `false` if `count` may include misses that are not events.
    pub exact: bool,
}

/// The kinds of plugins, in alphabetical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginKind {
    /// Determines the types of files.
    Classifier,
    /// Keeps, drops or labels events.
    Filter,
    /// Lists what files contain.
    Inspector,
    /// Removes private data from texts.
    Redactor,
}

impl PluginKind {
    /// All kinds.
    pub const ALL: [PluginKind; 4] =
        [PluginKind::Classifier, PluginKind::Filter, PluginKind::Inspector, PluginKind::Redactor];

    /// The kind as events, messages and the plugin contract name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            PluginKind::Classifier => "classifier",
            PluginKind::Filter => "filter",
            PluginKind::Inspector => "inspector",
            PluginKind::Redactor => "redactor",
        }
    }
}

impl std::fmt::Display for PluginKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Calls of a plugin that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFailure {
    /// `name@version` of the plugin.
    pub plugin: String,
    /// The plugin's kind.
    pub kind: PluginKind,
    /// Cause of the failure.
    pub cause: String,
    /// Number of failed calls since the last report.
    pub count: u64,
    /// Action of the tracer after the failed call.
    pub action: &'static str,
}

impl std::fmt::Display for PluginFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PluginFailure { plugin, kind, cause, count, action } = self;
        let times = counted(*count, "time");
        write!(f, "plugin {plugin} failed {times} as a {kind}: {cause}; {action}")
    }
}

/// State of the run. A regular status distinguishes a run without events from one that hangs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Status {
    /// Records received from the kernel.
    pub received: u64,
    /// Events written to the output.
    pub shown: u64,
    /// Events that filters removed or classifiers skipped.
    pub filtered: u64,
    /// Opens of files that classifiers skipped. They are filtered too.
    pub skipped: u64,
    /// Lost events that were counted exactly.
    pub lost: u64,
    /// All lost events, exact and estimated, by cause.
    pub lost_by_cause: BTreeMap<String, u64>,
    /// Failed plugin calls.
    pub plugin_failures: u64,
    /// Heads that a classifier requested and did not get, by user: their files have the type that the name alone gives.
    pub missing_heads: Vec<StatusMissingHeads>,
    /// Records in the recording of `--record`; null without one.
    pub recording: Option<StatusRecording>,
    /// Attached probes.
    pub probes: Vec<StatusProbe>,
    /// Running plugins, in order.
    pub plugins: Vec<StatusPlugin>,
}

/// Heads of one user's opens that a classifier did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct StatusMissingHeads {
    /// Real user id of the opens; null for users beyond the first 256.
    pub uid: Option<u32>,
    /// `late` or `denied`.
    pub head: HeadOutcome,
    /// Number of opens.
    pub count: u64,
}

/// The recording of `--record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct StatusRecording {
    /// Records that were written.
    pub written: u64,
    /// Records that are missing because writing failed, for instance on a full disk.
    pub missing: u64,
}

/// An attached probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct StatusProbe {
    /// Name as in `--probe`.
    pub name: &'static str,
    /// Kernel functions, tracepoints or hooks that it is attached to.
    pub hook: String,
    /// Accesses that it cannot observe.
    pub cannot_see: Vec<String>,
}

/// A running plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct StatusPlugin {
    /// `classifier`, `redactor`, `filter` or `inspector`.
    pub kind: &'static str,
    /// Name of the plugin.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// SHA-256 of its component, in hexadecimal.
    pub sha256: String,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Status { received, shown, filtered, lost, plugin_failures, .. } = self;
        let (shown, received) = (counted(*shown, "event"), counted(*received, "record"));
        let failures = counted(*plugin_failures, "plugin failure");
        write!(
            f,
            "{shown} shown, {filtered} filtered, {lost} lost; {received} received; {failures}"
        )?;
        let plugins =
            self.plugins.iter().map(|plugin| format!("{}@{}", plugin.name, plugin.version));
        let probes = self.probes.iter().map(|probe| probe.hook.clone());
        for name in plugins.chain(probes) {
            write!(f, "; {name}")?;
        }
        Ok(())
    }
}

/// An object in the stream that is not an event of a traced process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `events_lost`
    EventsLost(Timestamp, Loss),
    /// `plugin_failed`
    PluginFailed(Timestamp, PluginFailure),
    /// `status`
    Status(Timestamp, Box<Status>),
}
