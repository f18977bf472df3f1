//! Documents: many events gathered into one object. Their texts are [`Shown`] ones, redacted before they come here.

mod doctor;
#[cfg(test)]
mod made;
mod profile;
mod snapshot;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::event::{Field, KernelPath, Redact, Shown, Timestamp};

pub use doctor::{Capability, Doctor, Kernel, Limits, PidNamespace, Probe, Program};
pub use profile::{Met, Profile, ProfileBuilder, Run};
pub use snapshot::{Coverage, Seen, Snapshot, SnapshotBuilder};

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
struct Shared(Arc<Shown>);

impl Shared {
    fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Redacted paths by the real ones: each is redacted and kept once.
#[derive(Debug, Default)]
struct Paths(HashMap<Vec<u8>, Shared>);

impl Paths {
    fn shown(&mut self, redact: &mut dyn Redact, field: Field<'_>, path: &KernelPath) -> Shared {
        let marked = path.marked();
        let key = marked.as_deref().unwrap_or(&path.bytes);
        if let Some(shown) = self.0.get(key) {
            return shown.clone();
        }
        let shown = Shared(Arc::new(Shown::of_path(redact, field, path)));
        self.0.insert(key.to_vec(), shown.clone());
        shown
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
