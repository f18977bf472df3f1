//! What the tracer says of itself in the stream.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::Timestamp;
use crate::counted::counted;

/// Events that are missing from the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many since the last word of this cause.
    pub count: u64,
    /// Why.
    pub cause: Cow<'static, str>,
    /// False where the kernel only counts misses of any kind.
    pub exact: bool,
}

/// The kinds of plugins. Their alphabetical order is also the order of the stages that call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginKind {
    /// Determines the types of files.
    Classifier,
    /// Keeps, drops or labels events.
    Filter,
    /// Removes private data from texts.
    Redactor,
}

impl PluginKind {
    /// All kinds.
    pub const ALL: [PluginKind; 3] =
        [PluginKind::Classifier, PluginKind::Filter, PluginKind::Redactor];

    /// The kind as events, messages and the plugin contract name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            PluginKind::Classifier => "classifier",
            PluginKind::Filter => "filter",
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
    /// Which plugin: `name@version`.
    pub plugin: String,
    /// As which kind it was called.
    pub kind: PluginKind,
    /// Why.
    pub cause: String,
    /// How many calls since the last word.
    pub count: u64,
    /// What was done instead.
    pub action: &'static str,
}

impl std::fmt::Display for PluginFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PluginFailure { plugin, kind, cause, count, action } = self;
        let times = counted(*count, "time");
        write!(f, "plugin {plugin} failed {times} as a {kind}: {cause}; {action}")
    }
}

/// A run that tells of itself: one that is quiet can be told from one that is dead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Status {
    /// Records that came from the kernel.
    pub received: u64,
    /// Events that were shown.
    pub shown: u64,
    /// Events that filters left out.
    pub filtered: u64,
    /// Events that are missing, as far as they were counted one by one.
    pub lost: u64,
    /// Everything that is missing, or may be, by cause.
    pub lost_by_cause: BTreeMap<String, u64>,
    /// Plugin calls that failed.
    pub plugin_failures: u64,
    /// What is attached.
    pub probes: Vec<StatusProbe>,
    /// What runs, in order.
    pub plugins: Vec<StatusPlugin>,
}

/// A probe that is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct StatusProbe {
    /// As `--probe` takes it.
    pub name: &'static str,
    /// The kernel's names of where it is attached.
    pub hook: String,
    /// What it cannot see.
    pub cannot_see: Vec<String>,
}

/// A plugin that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct StatusPlugin {
    /// `classifier`, `redactor` or `filter`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Of its component, in hexadecimal.
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
        for word in plugins.chain(probes) {
            write!(f, "; {word}")?;
        }
        Ok(())
    }
}

/// An object in the stream that is no event of a traced process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `events_lost`
    EventsLost(Timestamp, Loss),
    /// `plugin_failed`
    PluginFailed(Timestamp, PluginFailure),
    /// `status`
    Status(Timestamp, Box<Status>),
}
