//! One plugin as it is configured: its source, its grants and its own configuration.

use std::collections::BTreeSet;

use super::failure::PluginSource;
use super::trust::Origin;

/// Access that a plugin must be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// Reading file heads.
    FileHead,
}

impl Grant {
    /// All grants.
    pub const ALL: [Grant; 1] = [Grant::FileHead];

    /// The value in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Grant::FileHead => "file-head",
        }
    }
}

/// Effect of a failed call on the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The run continues.
    #[default]
    Continue,
    /// The run ends with exit code 1.
    Stop,
}

impl OnFailure {
    /// The value in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            OnFailure::Continue => "continue",
            OnFailure::Stop => "stop",
        }
    }
}

/// One entry of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSpec {
    /// Source of the code.
    pub source: PluginSource,
    /// Where the plugin was specified.
    pub origin: Origin,
    /// Pinned SHA-256 of the file, in hexadecimal.
    pub sha256: Option<String>,
    /// Its grants.
    pub allow: BTreeSet<Grant>,
    /// The plugin's own configuration.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl PluginSpec {
    /// The bundled plugin.
    pub fn bundled() -> PluginSpec {
        PluginSpec::command_line(PluginSource::Bundled)
    }

    /// A plugin from the configuration, without grants.
    pub fn configured(source: PluginSource) -> PluginSpec {
        let allow = BTreeSet::new();
        PluginSpec { origin: Origin::Configuration, allow, ..PluginSpec::command_line(source) }
    }

    /// A plugin from the command line, with all grants.
    pub fn command_line(source: PluginSource) -> PluginSpec {
        PluginSpec {
            source,
            origin: Origin::CommandLine,
            sha256: None,
            allow: Grant::ALL.into(),
            config: serde_json::Map::default(),
        }
    }
}
