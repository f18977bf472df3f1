//! What the macros need in a component.

use std::cell::RefCell;

use crate::bindings::{classifier, filter};
use crate::{Decision, FileType, Verdict};
use classifier::exports::crypto_tracer::plugin::classifier as classifying;
use filter::exports::crypto_tracer::plugin::filter as filtering;

/// The plugin of an instance, once it is configured.
#[derive(Debug)]
pub struct Slot<T>(RefCell<Option<T>>);

impl<T> Slot<T> {
    /// Not configured.
    pub const fn new() -> Slot<T> {
        Slot(RefCell::new(None))
    }

    /// Sets the plugin.
    pub fn set(&self, plugin: T) {
        *self.0.borrow_mut() = Some(plugin);
    }

    /// Calls the plugin. None: it is not configured.
    pub fn call<R>(&self, call: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.borrow_mut().as_mut().map(call)
    }
}

/// Reads the configuration.
///
/// # Errors
/// The problem with it, for the operator.
pub fn config<C: serde::de::DeserializeOwned>(json: &str) -> Result<C, String> {
    crate::read_config(json)
}

/// What a redactor without a configuration returns.
pub fn redacted() -> Option<String> {
    Some(crate::REDACTED.to_owned())
}

impl From<Verdict> for classifying::Verdict {
    fn from(verdict: Verdict) -> classifying::Verdict {
        let (file_type, labels) = verdict.into_parts();
        let file_type = file_type.map(|file_type| match file_type {
            FileType::Certificate => classifying::FileType::Certificate,
            FileType::PrivateKey => classifying::FileType::PrivateKey,
            FileType::Keystore => classifying::FileType::Keystore,
            FileType::Unknown => classifying::FileType::Unknown,
            FileType::Other(name) => classifying::FileType::Other(name),
        });
        classifying::Verdict { file_type, labels: labels.into_pairs() }
    }
}

impl From<Decision> for filtering::Decision {
    fn from(decision: Decision) -> filtering::Decision {
        match decision {
            Decision::Keep => filtering::Decision::Keep,
            Decision::Drop => filtering::Decision::Drop,
            Decision::Label(labels) => filtering::Decision::Label(labels.into_pairs()),
        }
    }
}
