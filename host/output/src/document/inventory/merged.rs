//! What a merged document keeps of each run. The fields of the entry itself summarise it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Id, Time};
use crypto_tracer_event::schema;

/// A program on one machine of a merged document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct HostProgram {
    /// Id of the run in `hosts`.
    pub host: Id,
    /// Process name; absent if it is the program's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Names of the users.
    pub users: Vec<String>,
    /// Ids of the containers.
    pub containers: Vec<String>,
    /// Number of processes that used a library or a file.
    pub processes: u64,
    /// Time of the first use; null if it was before the window.
    pub first_seen: Option<Time>,
    /// Time of the last use; null if it was before the window.
    pub last_seen: Option<Time>,
}

/// A library on one machine of a merged document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct HostLibrary {
    /// Id of the run in `hosts`.
    pub host: Id,
    /// Version; null if unknown.
    pub version: Option<String>,
    /// Time of the first load; null if it was before the window.
    pub first_seen: Option<Time>,
    /// Time of the last load; null if it was before the window.
    pub last_seen: Option<Time>,
}

/// A file on one machine of a merged document. An absent field is that of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct HostFile {
    /// Id of the run in `hosts`.
    pub host: Id,
    /// Type of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::file_type")]
    pub r#type: Option<String>,
    /// Labels of plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// SHA-256 of the certificates that the file has on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Vec<String>>,
    /// Time of the first open; null if it was before the window.
    pub first_seen: Option<Time>,
    /// Time of the last open; null if it was before the window.
    pub last_seen: Option<Time>,
}
