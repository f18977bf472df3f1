//! What the tracer says of itself in the stream.

use std::borrow::Cow;

use super::Timestamp;

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

/// Calls of a plugin that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFailure {
    /// Which plugin: `name@version`.
    pub plugin: String,
    /// `classifier`, `redactor` or `filter`.
    pub kind: &'static str,
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
        write!(f, "plugin {plugin} failed {count} times as a {kind}: {cause}; {action}")
    }
}

/// An object in the stream that is no event of a traced process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `events_lost`
    EventsLost(Timestamp, Loss),
    /// `plugin_failed`
    PluginFailed(Timestamp, PluginFailure),
}
