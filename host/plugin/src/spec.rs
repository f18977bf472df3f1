//! One plugin as it is configured: its source, its grants and its own configuration.

use std::collections::BTreeSet;

use super::failure::PluginSource;
use super::trust::Origin;

/// What a plugin may ask for that not every plugin may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// The beginnings of files.
    FileHead,
}

impl Grant {
    /// All there are.
    pub const ALL: [Grant; 1] = [Grant::FileHead];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Grant::FileHead => "file-head",
        }
    }
}

/// What a failed call does to the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on.
    #[default]
    Continue,
    /// It ends with exit code 1.
    Stop,
}

impl OnFailure {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            OnFailure::Continue => "continue",
            OnFailure::Stop => "stop",
        }
    }
}

/// One place in a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSpec {
    /// Where the code comes from.
    pub source: PluginSource,
    /// Where it was named.
    pub origin: Origin,
    /// What the file's sha256 has to be, in hexadecimal.
    pub sha256: Option<String>,
    /// What it may ask for besides.
    pub allow: BTreeSet<Grant>,
    /// Its own part of the configuration: an object.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl PluginSpec {
    /// The bundled plugin.
    pub fn bundled() -> PluginSpec {
        PluginSpec::command_line(PluginSource::Bundled)
    }

    /// A plugin of the configuration: it may ask for nothing besides, until that is allowed.
    pub fn configured(source: PluginSource) -> PluginSpec {
        let allow = BTreeSet::new();
        PluginSpec { origin: Origin::Configuration, allow, ..PluginSpec::command_line(source) }
    }

    /// A plugin that the operator named: it may ask for everything.
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
