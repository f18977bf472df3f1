//! An event with the classifiers' verdict and the plugins' labels.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Asset, EnrichedEvent};

/// Type of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// One or more X.509 certificates.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A container of certificates and keys.
    Keystore,
    /// No classifier recognised the file.
    Unknown,
    /// A type that a site classifier defines.
    Other(Arc<str>),
}

impl FileType {
    /// Returns the documented name.
    pub fn as_str(&self) -> &str {
        match self {
            FileType::Certificate => "certificate",
            FileType::PrivateKey => "private_key",
            FileType::Keystore => "keystore",
            FileType::Unknown => "unknown",
            FileType::Other(name) => name,
        }
    }
}

/// A name and a value that a plugin adds to an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// 1 to 64 characters of a-z, 0-9, `_`.
    pub name: Arc<str>,
    /// At most 256 bytes.
    pub value: Arc<str>,
}

/// Outcome of reading the file's head.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum HeadOutcome {
    /// No classifier needed the head.
    #[default]
    NotNeeded,
    /// The head was read.
    Read,
    /// The tracer has no permission to read the file.
    Denied,
    /// The file was deleted, and its path does not exist.
    Gone,
    /// The head was not read before the deadline.
    Late,
    /// The file is on a file system that the tracer does not access: network, FUSE, or another user namespace.
    Remote,
    /// The path names another file now, and the head of that file was read.
    Replaced,
    /// The open created or truncated the file, so it had no content.
    Created,
}

/// The classifiers' verdict on one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Type of the file.
    pub file_type: FileType,
    /// Labels of the classifiers.
    pub labels: Vec<Label>,
    /// `name@version` of the plugin that gave the type; `None` if no plugin did.
    pub classifier: Option<Arc<str>>,
    /// Outcome of reading the file's head.
    pub head: HeadOutcome,
    /// The file is no classifier's to report: each one whose interest has it skipped it. The event is not shown.
    pub skipped: bool,
}

/// A classified event before redaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifiedEvent {
    /// The event.
    pub event: EnrichedEvent,
    /// Verdict on the opened file; `None` for other events.
    pub verdict: Option<Verdict>,
    /// Labels of filters. They follow the verdict's labels.
    pub labels: Vec<Label>,
    /// What inspectors found in the opened file; `None` if no output needs it.
    pub assets: Option<Arc<[Asset]>>,
}

impl ClassifiedEvent {
    /// Iterates over all labels: those of classifiers, then those of filters.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        self.verdict.iter().flat_map(|verdict| &verdict.labels).chain(&self.labels)
    }
}
