//! What inspectors find in a file.

use std::sync::Arc;

use super::{Field, KernelPath, Redact, RedactedText};

/// A thing inside a file, for example a certificate, as an inspector describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asset {
    /// What it is: `certificate` or an inspector's own word. 1 to 64 characters of a-z, 0-9, `_`, `-`.
    pub kind: Arc<str>,
    /// Names and values. Names have 1 to 64 characters of a-z, 0-9, `_`.
    pub facts: Vec<(Arc<str>, Arc<str>)>,
}

/// [`Asset`] with its values redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedAsset {
    /// What it is.
    pub kind: Arc<str>,
    /// Names and values.
    pub facts: Vec<(Arc<str>, RedactedText)>,
}

impl RedactedAsset {
    /// Redacts every value of `asset`, as a label of the fact's name. `path`: the file that has the asset.
    pub(crate) fn new(
        asset: &Asset,
        redact: &mut dyn Redact,
        path: Option<&KernelPath>,
    ) -> RedactedAsset {
        let facts = asset.facts.iter().map(|(name, value)| {
            (name.clone(), RedactedText::of_label(redact, Field::Label(name), value, path))
        });
        RedactedAsset { kind: asset.kind.clone(), facts: facts.collect() }
    }

    /// Returns the value of the first fact with this name.
    pub fn fact(&self, name: &str) -> Option<&RedactedText> {
        self.facts.iter().find(|(known, _)| &**known == name).map(|(_, value)| value)
    }
}
