//! The versions of the contract that this program supports: one file for each breaking version.
//!
//! The other modules use only the traits of this module. A new breaking version gets its own file, which converts what
//! changed; the file of the previous version stays.

mod v0_1;

use std::fmt;

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Result, Store};

use super::state::State;
use crypto_tracer_event::FileType;

/// A version of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) patch: u32,
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        let version = Version { major: next()?, minor: next()?, patch: next()? };
        numbers.next().is_none().then_some(version)
    }

    /// Whether a plugin built for one version can run with the other, by semantic versioning.
    fn is_compatible_with(self, other: Version) -> bool {
        self.major == other.major && (self.major > 0 || self.minor == other.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A classifier's verdict before its bounds are checked.
pub(super) struct RawVerdict {
    pub(super) file_type: Option<FileType>,
    pub(super) labels: Vec<(String, String)>,
}

/// A filter's decision before its bounds are checked.
pub(super) enum RawDecision {
    Keep,
    Drop,
    Label(Vec<(String, String)>),
}

/// An asset before its bounds are checked.
pub(super) struct RawAsset {
    pub(super) kind: String,
    pub(super) facts: Vec<(String, String)>,
}

/// Result of `configure`.
pub(super) type Configured = std::result::Result<(), String>;

/// An instance that classifies the file in scope.
pub(super) trait Classify: Send {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured>;
    fn classify(&self, store: &mut Store<State>) -> Result<Option<RawVerdict>>;
}

/// An instance that redacts the text in scope.
pub(super) trait Redact: Send {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured>;
    fn redact(&self, store: &mut Store<State>) -> Result<Option<String>>;
}

/// An instance that keeps, labels or drops the event in scope.
pub(super) trait Decide: Send {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured>;
    fn decide(&self, store: &mut Store<State>) -> Result<RawDecision>;
}

/// An instance that lists what the file in scope contains.
pub(super) trait Inspect: Send {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured>;
    fn inspect(&self, store: &mut Store<State>) -> Result<Vec<RawAsset>>;
}

/// Creates instances.
pub(super) type Factory<I> = Box<dyn Fn(&mut Store<State>) -> Result<Box<I>> + Send + Sync>;

/// One breaking version.
pub(super) trait Contract: Sync {
    /// The latest compatible version that this program supports.
    fn version(&self) -> Version;
    /// Adds the imports of this version.
    fn add_to_linker(&self, linker: &mut Linker<State>) -> Result<()>;
    fn classifier(&self, pre: InstancePre<State>) -> Result<Factory<dyn Classify>>;
    fn redactor(&self, pre: InstancePre<State>) -> Result<Factory<dyn Redact>>;
    fn filter(&self, pre: InstancePre<State>) -> Result<Factory<dyn Decide>>;
    fn inspector(&self, pre: InstancePre<State>) -> Result<Factory<dyn Inspect>>;
}

/// All supported versions, the latest first.
const VERSIONS: [&dyn Contract; 1] = [&v0_1::V0_1];

/// The contract for plugins of this version.
pub(super) fn of(version: Version) -> Option<&'static dyn Contract> {
    VERSIONS.into_iter().find(|contract| contract.version().is_compatible_with(version))
}

/// The latest version.
pub(super) fn latest() -> &'static dyn Contract {
    let [latest, ..] = VERSIONS;
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compatible_within_the_first_nonzero_component() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("0.1.0").is_compatible_with(version("0.1.7")));
        assert!(!version("0.1.0").is_compatible_with(version("0.2.0")));
        assert!(version("1.2.3").is_compatible_with(version("1.0.0")));
        assert!(!version("1.2.3").is_compatible_with(version("2.2.3")));
        for invalid in ["", "1", "1.2", "1.2.3.4", "1.2.x", "-1.2.3"] {
            assert_eq!(Version::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn the_latest_version_is_that_of_the_wit_package() {
        let wit = include_str!("../../../../wit/plugin.wit");
        let package = format!("package crypto-tracer:plugin@{};", latest().version());
        assert!(wit.contains(&package));
        assert!(of(latest().version()).is_some());
    }
}
