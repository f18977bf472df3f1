//! Documents: one object built from many events. Like every output, they receive redacted events and processes only.

mod doctor;
pub mod inventory;
mod overflow;
mod profile;
mod snapshot;
#[cfg(test)]
mod test_events;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crypto_tracer_event::{PathIdentity, RedactedFile, RedactedText, Timestamp};

pub use doctor::{
    CapabilityReport, DoctorReport, KernelReport, PidNamespace, ProbeReport, ProgramReport,
    RunLimits,
};
pub use inventory::{
    Coverage, Host, Inventory, InventoryBuilder, InventoryRun, KnownUses, Stale, StaleReason, Time,
    UseKey,
};
pub use profile::{Profile, ProfileBuilder, RunSummary};
pub use snapshot::{ProcessHoldings, Snapshot, SnapshotBuilder, SnapshotCoverage};

/// An object that is written when it is complete.
pub trait Document: Serialize {
    /// Returns the document as readable text.
    fn summary(&self) -> String;
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`
fn text_of(at: Timestamp) -> String {
    let time = DateTime::from_timestamp_micros(at.0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Describes what is stale, after the path; empty if it is not.
fn stale_text(stale: Option<Stale>) -> String {
    match stale {
        None => String::new(),
        Some(Stale { reason: StaleReason::Unknown, .. }) => "  (stale: unknown)".to_owned(),
        Some(Stale { reason, since: None }) => format!("  (stale: {})", reason.name()),
        Some(Stale { reason, since: Some(since) }) => {
            format!("  (stale: {} since {})", reason.name(), since.0)
        }
    }
}

/// A reference-counted text.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline)]
struct SharedText(Arc<RedactedText>);

impl SharedText {
    fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Serialize for SharedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Interned redacted paths: each is in memory once, no matter how many processes have the file.
#[derive(Debug, Default)]
struct SharedPaths(HashMap<PathIdentity, SharedText>);

impl SharedPaths {
    fn share(&mut self, file: &RedactedFile) -> SharedText {
        let shared = self.0.entry(file.identity);
        shared.or_insert_with(|| SharedText(Arc::new(file.path.clone()))).clone()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
