//! An event with the classifiers' and filters' word on it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::EnrichedEvent;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// An X.509 certificate, or several.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A container of certificates and keys.
    Keystore,
    /// No classifier knew.
    Unknown,
    /// A site classifier's own word.
    Other(Arc<str>),
}

impl FileType {
    /// The documented word.
    pub fn as_str(&self) -> &str {
        match self {
            FileType::Certificate => "certificate",
            FileType::PrivateKey => "private_key",
            FileType::Keystore => "keystore",
            FileType::Unknown => "unknown",
            FileType::Other(word) => word,
        }
    }
}

/// What a plugin adds to an event: a name and a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// 1 to 64 of a-z, 0-9, `_`.
    pub name: Arc<str>,
    /// Up to 256 bytes.
    pub value: Arc<str>,
}

/// What became of the wish to see a file's beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum HeadOutcome {
    /// No classifier asked.
    #[default]
    NotNeeded,
    /// It was read.
    Read,
    /// It may not be read.
    Denied,
    /// The file is gone, and no other one has its path.
    Gone,
    /// It did not come in time.
    Late,
    /// It lies on a file system that the tracer never touches: network, FUSE, another user namespace's.
    Remote,
    /// Another file has the path now: it is the one that was read.
    Replaced,
    /// The open created or truncated the file: there was no content.
    Created,
}

/// The classifiers' answer for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is.
    pub file_type: FileType,
    /// What else is worth telling.
    pub labels: Vec<Label>,
    /// `name@version` of the plugin that gave the type; None when none did.
    pub classifier: Option<Arc<str>>,
    /// What became of the head.
    pub head: HeadOutcome,
}

/// An event that only has to be redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifiedEvent {
    /// The event.
    pub event: EnrichedEvent,
    /// Only for an opened file.
    pub verdict: Option<Verdict>,
    /// Labels of filters, behind the verdict's.
    pub labels: Vec<Label>,
}
