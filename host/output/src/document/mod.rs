//! Documents: many events gathered into one object. Their texts are [`RedactedText`] ones, redacted before they come here.

mod doctor;
mod profile;
mod snapshot;
#[cfg(test)]
mod test_events;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crypto_tracer_event::{Field, KernelPath, Redact, RedactedText, Timestamp};

pub use doctor::{
    CapabilityReport, DoctorReport, KernelReport, PidNamespace, ProbeReport, ProgramReport,
    RunLimits,
};
pub use profile::{Profile, ProfileBuilder, RunSummary, SeenProcess};
pub use snapshot::{ProcessHoldings, Snapshot, SnapshotBuilder, SnapshotCoverage};

/// Something that is printed when it is whole.
pub trait Document: Serialize {
    /// As text for people.
    fn summary(&self) -> String;
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`
fn text_of(at: Timestamp) -> String {
    let time = DateTime::from_timestamp_micros(at.0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A text that many places share.
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

/// Redacted paths by the real ones: each is redacted and kept once.
#[derive(Debug, Default)]
struct Paths(HashMap<Vec<u8>, SharedText>);

impl Paths {
    fn shown(
        &mut self,
        redact: &mut dyn Redact,
        field: Field<'_>,
        path: &KernelPath,
    ) -> SharedText {
        let marked = path.marked();
        let key = marked.as_deref().unwrap_or(&path.bytes);
        if let Some(shown) = self.0.get(key) {
            return shown.clone();
        }
        let shown = SharedText(Arc::new(RedactedText::of_path(redact, field, path)));
        self.0.insert(key.to_vec(), shown.clone());
        shown
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
