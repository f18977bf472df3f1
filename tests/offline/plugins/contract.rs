//! The plugin contract may grow, but stays compatible with existing plugins.

use std::fs;

use anyhow::{Context, Result, ensure};
use crypto_tracer_tests::workspace;
use wit_component::semver_check;
use wit_parser::{PackageId, Resolve};

crypto_tracer_tests::tests![
    plugins_for_released_versions_run_on_this_host,
    compatibility_check_detects_breaking_changes,
];

/// Adds a contract to `resolve` with another version, because two packages of one name need different versions.
fn push(resolve: &mut Resolve, text: &str, version: &str) -> Result<PackageId> {
    let line = text.lines().find(|line| line.starts_with("package ")).context("no package")?;
    let name = line.trim_end_matches(';').split('@').next().context("no version")?;
    let text = text.replacen(line, &format!("{name}@{version};"), 1);
    resolve.push_str("contract.wit", &text)
}

/// Checks that plugins for `old` run on a host for `new`.
fn check_compatible(old: &str, new: &str) -> Result<()> {
    let mut resolve = Resolve::default();
    let old = push(&mut resolve, old, "0.0.1")?;
    let new = push(&mut resolve, new, "0.0.2")?;
    let worlds = |id| resolve.packages.get(id).map(|package| &package.worlds);
    let (old, new) = worlds(old).zip(worlds(new)).context("no packages")?;
    for (name, &before) in old {
        let after = new.get(name);
        let after = *after.with_context(|| format!("the world {name} is gone"))?;
        semver_check(resolve.clone(), before, after)
            .with_context(|| format!("the world {name}"))?;
    }
    Ok(())
}

fn current_contract() -> Result<String> {
    Ok(fs::read_to_string(workspace().join("wit/plugin.wit"))?)
}

/// Returns the part of the version that changes with a breaking release: `0.1` of `0.1.0`, `2` of `2.3.4`.
fn breaking_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("package "))?;
    let version = line.trim_end_matches(';').split('@').nth(1)?;
    let counts = if version.starts_with("0.") { 2 } else { 1 };
    Some(version.split('.').take(counts).collect::<Vec<_>>().join("."))
}

fn plugins_for_released_versions_run_on_this_host() -> Result<()> {
    let now = current_contract()?;
    let mut checked = 0;
    for folder in fs::read_dir(workspace().join("wit/released"))? {
        let path = folder?.path().join("plugin.wit");
        if path.exists() {
            let released = fs::read_to_string(&path)?;
            if breaking_version(&released) == breaking_version(&now) {
                check_compatible(&released, &now).with_context(|| path.display().to_string())?;
                checked += 1;
            }
        }
    }
    ensure!(checked > 0, "no released version is compared with the current one");
    Ok(())
}

fn compatibility_check_detects_breaking_changes() {
    let now = current_contract().unwrap();
    let with = |from: &str, to: &str| {
        assert!(now.contains(from), "{from}");
        now.replacen(from, to, 1)
    };
    // A new method of an imported resource is compatible.
    let grown = with(
        "    path: func() -> string;",
        "    path: func() -> string;\n    owner: func() -> u32;",
    );
    check_compatible(&now, &grown).unwrap();
    for broken in [
        with("    path: func() -> string;", ""),
        with("    size: func() -> option<u64>;", "    size: func() -> u64;"),
        with(
            "    labels: list<tuple<string, string>>,",
            "    labels: list<tuple<string, string>>,\n    more: u32,",
        ),
        with("    keystore,", "    keystore,\n    request,"),
        with(
            "  redact: func(text: borrow<text>) -> option<string>;",
            "  redact: func(text: borrow<text>) -> string;",
        ),
        with("world filter-plugin {", "world filter-plugin-2 {"),
    ] {
        assert!(check_compatible(&now, &broken).is_err());
    }
}
