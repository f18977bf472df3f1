//! The document of `inventory`: which programs of a machine used which crypto libraries and files during a window.
//!
//! Unlike the other documents, it is also read: by `merge`, `diff`, `export`, `report` and `monitor --baseline`. A read
//! document is hostile input, see [`Inventory::from_json`].

mod builder;
mod events;
mod id;
mod known_uses;
mod read;
mod shared;
mod summary;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crypto_tracer_event::schema;

pub use self::builder::{
    InventoryBuilder, InventoryRun, Observation, ObservedProcess, ObservedTarget, UseKey,
};
pub use self::events::{StreamError, StreamEvent, StreamMeaning, read_events};
pub use self::id::{Id, IdKind};
pub use self::known_uses::KnownUses;
pub use self::read::{MAX_INVENTORY_BYTES, ReadError};
pub use self::time::Time;

/// Version of the format that this program writes and reads.
pub const INVENTORY_VERSION: &str = "1.0";

/// Which programs of a machine, or of several, used which crypto libraries and files.
///
/// Every list is sorted by its ids, uses by program, then target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "crypto-tracer: inventory", deny_unknown_fields)]
pub struct Inventory {
    /// Version of this format.
    #[schemars(extend("const" = INVENTORY_VERSION))]
    pub inventory_version: String,
    /// Time at which the document was written, UTC.
    pub generated_at: Time,
    /// The observed time. Of several hosts: from the first begin to the last end.
    pub window: Window,
    /// The machine; absent in a merged document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The merged runs; absent unless the document was merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<MergedHost>,
    /// What was observed, and what was not.
    pub coverage: Coverage,
    /// Programs that used a library or a file.
    pub programs: Vec<Program>,
    /// Used libraries.
    pub libraries: Vec<InventoryLibrary>,
    /// Used files.
    pub files: Vec<InventoryFile>,
    /// Which program used which library or file.
    pub uses: Vec<Use>,
}

/// A time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct Window {
    /// Begin, UTC.
    pub from: Time,
    /// End, UTC.
    pub to: Time,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct Host {
    /// Name; null if the events that the inventory was made of do not contain it.
    pub hostname: Option<String>,
    /// Release of the kernel; null like the name.
    pub kernel: Option<String>,
    /// Name and version of the distribution, from os-release; null if unknown.
    pub os: Option<String>,
}

/// A run on one machine, as a merged document keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct MergedHost {
    /// Id of the run: `h-` and a hash of the host's name and of the window's begin.
    pub id: Id,
    /// The machine.
    pub host: Host,
    /// Time at which the run's document was written, UTC.
    pub generated_at: Time,
    /// Its window.
    pub window: Window,
    /// Its coverage.
    pub coverage: Coverage,
}

/// What was observed, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct Coverage {
    /// Whether nothing is missing: no lost event, no blind spot, no unreadable process, and everything is listed.
    pub complete: bool,
    /// Number of lost events that were counted exactly.
    pub events_lost: u64,
    /// Lost events by cause, also those that the kernel counts inexactly.
    pub lost_by_cause: BTreeMap<String, u64>,
    /// Attached probes.
    pub probes: Vec<String>,
    /// What the run could not see.
    pub blind_spots: Vec<String>,
    /// Number of processes whose earlier libraries and files could not be read completely.
    pub unreadable_processes: u64,
    /// What is beyond the limits of the lists.
    pub not_listed: NotListed,
}

/// Entries beyond the limits of the lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct NotListed {
    /// Distinct programs, at most 262144.
    pub programs: u64,
    /// Distinct libraries, at most 262144.
    pub libraries: u64,
    /// Distinct files, at most 262144.
    pub files: u64,
    /// Distinct certificates, at most 262144.
    pub certificates: u64,
    /// Distinct uses, at most 262144.
    pub uses: u64,
    /// Distinct users and containers of programs, at most 262144.
    pub users_and_containers: u64,
    /// Opens and loads of the uses that are not listed, without limit.
    pub events: u64,
}

/// A program: all processes with one executable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct Program {
    /// `p-` and a hash of the executable's path as it is shown; without one, of the name.
    pub id: Id,
    /// Path of the executable; null if it could not be read.
    pub exe: Option<String>,
    /// Process name. Of several, the one that is the executable's file name, else the first in the alphabet.
    pub name: String,
    /// Names of the users; `USER` for user ids of 1000 and above, unless redaction is off.
    pub users: Vec<String>,
    /// Ids of the containers; empty for programs of the host itself.
    pub containers: Vec<String>,
    /// Number of processes that used a library or a file.
    pub processes: u64,
    /// Time of the first use; null if it was before the window.
    pub first_seen: Option<Time>,
    /// Time of the last use; null if it was before the window.
    pub last_seen: Option<Time>,
}

/// A library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct InventoryLibrary {
    /// `l-` and a hash of the path as it is shown.
    pub id: Id,
    /// File name without version.
    pub name: String,
    /// Absolute path.
    pub path: String,
    /// Version, as the library, its package or its file name states it; null if unknown.
    pub version: Option<String>,
    /// Time of the first load; null if it was before the window.
    pub first_seen: Option<Time>,
    /// Time of the last load; null if it was before the window.
    pub last_seen: Option<Time>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct InventoryFile {
    /// `f-` and a hash of the path as it is shown.
    pub id: Id,
    /// Absolute path.
    pub path: String,
    /// Type of the file: a documented type, or one that a site classifier defines.
    #[schemars(schema_with = "schema::file_type")]
    pub r#type: String,
    /// Labels of plugins.
    pub labels: BTreeMap<String, String>,
    /// Certificates in the file, by their hash. Several contents of the window are listed together.
    #[serde(serialize_with = "shared::serialize", deserialize_with = "shared::deserialize")]
    #[schemars(with = "Vec<Certificate>")]
    pub certificates: Vec<Arc<Certificate>>,
    /// Time of the first open; null if it was before the window.
    pub first_seen: Option<Time>,
    /// Time of the last open; null if it was before the window.
    pub last_seen: Option<Time>,
}

/// An X.509 certificate. A field is null if the inspector that found the certificate does not give it.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct Certificate {
    /// SHA-256 of its DER form: 64 hexadecimal digits.
    #[serde(deserialize_with = "read::sha256")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Subject.
    pub subject: Option<String>,
    /// Issuer.
    pub issuer: Option<String>,
    /// Serial number, hexadecimal.
    pub serial: Option<String>,
    /// Begin of its validity, UTC, as the inspector writes it: `2026-01-31T00:00:00Z`.
    pub not_before: Option<String>,
    /// End of its validity, UTC.
    pub not_after: Option<String>,
    /// Algorithm of the public key.
    pub public_key: Option<String>,
    /// Size of the public key in bits.
    pub bits: Option<u32>,
    /// Algorithm of the signature.
    pub signature: Option<String>,
    /// Whether it is a certificate authority's.
    pub ca: Option<bool>,
    /// Whether subject and issuer are equal.
    pub self_signed: Option<bool>,
}

/// The use of a library or a file by a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct Use {
    /// Id of the program.
    pub program: Id,
    /// Id of the library or file.
    pub target: Id,
    /// Number of loads or opens in the window; 0 if a process had the target before it and did not open it again.
    pub count: u64,
    /// How the target was used, sorted.
    pub modes: Modes,
    /// Time of the first load or open; null if a process had the target before the window.
    pub first: Option<Time>,
    /// Time of the last load or open in the window; null if there was none.
    pub last: Option<Time>,
    /// Whether a living process of the program still uses what the path was before; null if none does.
    pub stale: Option<Stale>,
    /// The use on each machine, by the run's id; absent unless the document was merged. The other fields summarise it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostUse>,
}

/// A use on one machine of a merged document. The fields are those of [`Use`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct HostUse {
    /// Id of the run in `hosts`.
    pub host: Id,
    /// Number of loads or opens in the window.
    pub count: u64,
    /// How the target was used, sorted.
    pub modes: Modes,
    /// Time of the first load or open; null if a process had the target before the window.
    pub first: Option<Time>,
    /// Time of the last load or open in the window; null if there was none.
    pub last: Option<Time>,
    /// Whether a living process still uses what the path was before; null if none does.
    pub stale: Option<Stale>,
}

/// A set of modes: a list of distinct words, sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Modes {
    /// A library was mapped as code.
    pub load: bool,
    /// A file was opened for reading.
    pub read: bool,
    /// A file was opened for writing.
    pub write: bool,
}

/// A library or file that a living process uses, but whose path is another file by now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
#[schemars(inline, deny_unknown_fields)]
pub struct Stale {
    /// Since when, UTC: the change of the file that has the path now; null if unknown.
    pub since: Option<Time>,
    /// What happened to the path.
    pub reason: StaleReason,
}

/// What happened to the path of a stale file or library.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum StaleReason {
    /// Another file has the path.
    Replaced,
    /// No file has the path.
    Deleted,
    /// The file has other content.
    Modified,
    /// The path could not be looked at: it may be stale or not.
    Unknown,
}

impl StaleReason {
    /// Returns the documented name.
    pub fn name(self) -> &'static str {
        match self {
            StaleReason::Replaced => "replaced",
            StaleReason::Deleted => "deleted",
            StaleReason::Modified => "modified",
            StaleReason::Unknown => "unknown",
        }
    }
}

impl Modes {
    const NAMES: [&str; 3] = ["load", "read", "write"];

    fn flags(self) -> [bool; 3] {
        [self.load, self.read, self.write]
    }

    /// Returns the names of the modes in the set, sorted.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().zip(self.flags()).filter_map(|(name, is_in)| is_in.then_some(name))
    }

    /// Returns both sets together.
    #[must_use]
    pub fn union(self, other: Modes) -> Modes {
        Modes {
            load: self.load | other.load,
            read: self.read | other.read,
            write: self.write | other.write,
        }
    }
}

impl Coverage {
    /// Sets `complete` from the other fields.
    pub fn judge(&mut self) {
        self.complete = self.events_lost == 0
            && self.lost_by_cause.values().all(|&count| count == 0)
            && self.blind_spots.is_empty()
            && self.unreadable_processes == 0
            && self.not_listed == NotListed::default();
    }
}

impl Inventory {
    /// Sorts every list. Ids that occur twice stay next to each other.
    pub fn sort(&mut self) {
        self.hosts.sort_by_key(|host| host.id);
        self.programs.sort_by_key(|program| program.id);
        self.libraries.sort_by_key(|library| library.id);
        self.files.sort_by_key(|file| file.id);
        self.uses.sort_by_key(|it| (it.program, it.target));
        for program in &mut self.programs {
            program.users.sort_unstable();
            program.containers.sort_unstable();
        }
        for file in &mut self.files {
            file.certificates.sort_unstable();
        }
        for it in &mut self.uses {
            it.hosts.sort_by_key(|host| host.host);
        }
    }
}

#[cfg(test)]
mod tests;
