//! `artifacts/manifest.json`: the sources and tools that the artifacts were built from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::sources::sha256;

/// The path, relative to the workspace.
pub(crate) const PATH: &str = "artifacts/manifest.json";

/// The whole file.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Manifest {
    /// Each step of the build, by name.
    pub(crate) builds: BTreeMap<String, Build>,
    /// Each built file, by its path in the workspace.
    pub(crate) artifacts: BTreeMap<String, Artifact>,
}

/// One step of the build.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Build {
    /// The tools' own version strings.
    pub(crate) tools: BTreeMap<String, String>,
    /// SHA-256 of each source.
    pub(crate) sources: BTreeMap<String, String>,
}

/// One file.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Artifact {
    /// The step that built it.
    pub(crate) build: String,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Its SHA-256.
    pub(crate) sha256: String,
}

impl Artifact {
    /// Describes a file.
    pub(crate) fn of(root: &Path, path: &str, build: &str) -> Result<Artifact> {
        let bytes = fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        let size = u64::try_from(bytes.len())?;
        Ok(Artifact { build: build.to_owned(), bytes: size, sha256: sha256(&bytes) })
    }
}

impl Manifest {
    /// Reads the workspace's manifest.
    pub(crate) fn read(root: &Path) -> Result<Manifest> {
        let text = fs::read_to_string(root.join(PATH))
            .with_context(|| format!("cannot read {PATH}; `cargo xtask artifacts` creates it"))?;
        serde_json::from_str(&text).context(PATH)
    }

    /// Writes the manifest.
    pub(crate) fn write(&self, root: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(root.join(PATH), text).with_context(|| format!("cannot write {PATH}"))
    }

    /// The tools of one step; `None` if it was never built.
    pub(crate) fn tools(&self, build: &str) -> Option<&BTreeMap<String, String>> {
        self.builds.get(build).map(|build| &build.tools)
    }
}

/// The differences between two maps, one line per key.
pub(crate) fn differences<V: PartialEq>(
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
) -> Vec<String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter_map(|key| match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) if old == new => None,
            (Some(_), Some(_)) => Some(format!("{key}: changed")),
            (None, _) => Some(format!("{key}: new")),
            (_, None) => Some(format!("{key}: gone")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_list_changed_removed_and_new_keys() {
        let map = |pairs: &[(&str, u32)]| -> BTreeMap<String, u32> {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value)).collect()
        };
        let old = map(&[("a", 1), ("b", 1), ("c", 1)]);
        let new = map(&[("a", 1), ("b", 2), ("d", 1)]);
        assert_eq!(differences(&old, &new), ["b: changed", "c: gone", "d: new"]);
        assert!(differences(&old, &old).is_empty());
    }
}
