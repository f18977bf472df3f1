//! The plugins that are committed as components.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::build::{BuildDirs, compile, component};
use super::manifest::Manifest;
use super::toolchain::Toolchain;
use super::write;

/// A plugin that is committed as a component.
pub(super) struct PluginCrate {
    pub(super) package: &'static str,
    pub(super) folder: &'static str,
    /// The profile that it is built with.
    pub(super) profile: &'static str,
    pub(super) component: &'static str,
    /// The path of the precompiled plugin, if there is one.
    pub(super) precompiled: Option<&'static str>,
}

pub(super) const GUESTS: [PluginCrate; 6] = [
    PluginCrate {
        package: "classify-default",
        folder: "plugins/classify-default",
        profile: "plugin",
        component: "artifacts/classify-default.wasm",
        precompiled: Some("artifacts/classify-default.cwasm"),
    },
    PluginCrate {
        package: "redact-default",
        folder: "plugins/redact-default",
        profile: "plugin-small",
        component: "artifacts/redact-default.wasm",
        precompiled: Some("artifacts/redact-default.cwasm"),
    },
    PluginCrate {
        package: "inspect-x509",
        folder: "plugins/inspect-x509",
        profile: "plugin",
        component: "artifacts/inspect-x509.wasm",
        precompiled: Some("artifacts/inspect-x509.cwasm"),
    },
    PluginCrate {
        package: "filter-probe",
        folder: "tests/fixtures/filter-probe",
        profile: "plugin",
        component: "tests/fixtures/plugins/filter-probe.wasm",
        precompiled: None,
    },
    PluginCrate {
        package: "probe",
        folder: "tests/fixtures/probe",
        profile: "plugin",
        component: "tests/fixtures/plugins/probe.wasm",
        precompiled: None,
    },
    PluginCrate {
        package: "site-classifier",
        folder: "tests/fixtures/site-classifier",
        profile: "plugin",
        component: "tests/fixtures/plugins/site-classifier.wasm",
        precompiled: None,
    },
];

/// The manifest's name for plugins of a released contract. They are never rebuilt: the program must load the original files
/// for ever.
pub(super) const FROZEN: &str = "frozen";
/// The folder of frozen plugins, with a subfolder for each version of the contract.
const FROZEN_FOLDER: &str = "tests/fixtures/plugins";

/// A frozen plugin that is built once, before its contract version is released.
struct Once {
    package: &'static str,
    features: &'static [&'static str],
    component: &'static str,
}

const ONCE: [Once; 2] = [
    Once {
        package: "fixture-hostile",
        features: &[],
        component: "tests/fixtures/plugins/0.1.0/hostile.wasm",
    },
    Once {
        package: "fixture-hostile",
        features: &["start"],
        component: "tests/fixtures/plugins/0.1.0/hostile-start.wasm",
    },
];

/// Workspace members that build to plugins, for the lints.
pub(super) fn packages() -> Vec<&'static str> {
    let mut all: Vec<_> = GUESTS.iter().map(|guest| guest.package).collect();
    all.extend(ONCE.iter().map(|once| once.package));
    all.dedup();
    all
}

/// Builds frozen plugins that do not exist yet.
pub(super) fn build_missing(place: &BuildDirs<'_>, tools: &Toolchain) -> Result<()> {
    for once in &ONCE {
        let path = place.sources.join(once.component);
        if path.exists() {
            continue;
        }
        let built = compile(place, tools, "plugin", &[once.package], once.features, &[])?;
        let core = built.join(once.package.replace('-', "_")).with_extension("wasm");
        write(&path, &component(&core)?)?;
    }
    Ok(())
}

/// The paths of the frozen plugins.
pub(super) fn frozen(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let folder = root.join(FROZEN_FOLDER);
    let listed = || format!("cannot list {}", folder.display());
    for version in fs::read_dir(&folder).with_context(listed)? {
        let version = version?.path();
        if !version.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&version).with_context(listed)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                let path = path.strip_prefix(root)?.to_str().context("a path that is text")?;
                paths.push(path.to_owned());
            }
        }
    }
    paths.sort();
    Ok(paths)
}

/// Fails if a frozen plugin has changed.
pub(super) fn unchanged(recorded: &Manifest, now: &Manifest) -> Result<()> {
    for (path, artifact) in &recorded.artifacts {
        if artifact.build == FROZEN && now.artifacts.get(path) != Some(artifact) {
            bail!(
                "{path} is frozen but has changed: `git checkout {path}` restores it; if its version of the contract \
                 is not released yet, remove its entry from artifacts/manifest.json instead"
            );
        }
    }
    Ok(())
}
