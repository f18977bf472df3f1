//! `cargo xtask release`: builds the program as it is published, with the list of its dependencies (SBOM), and proves that
//! another folder gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::run::{capture, cargo, cargo_home, run};

/// Folder of the results, below `target`.
const FOLDER: &str = "target/xtask/release";

/// Options of `release`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseOptions {
    /// Build a second time in a copy of the sources in another folder, and compare
    #[arg(long)]
    check: bool,
    /// Write only the list of the dependencies
    #[arg(long)]
    sbom: bool,
}

/// Builds the program and writes it, its SBOM and its checksum below `target`.
pub(crate) fn run_all(root: &Path, options: &ReleaseOptions) -> Result<()> {
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let sbom = folder.join("crypto-tracer.cdx.json");
    std::fs::write(&sbom, format!("{:#}\n", sbom_of(root)?))?;
    println!("{}", sbom.display());
    if options.sbom {
        return Ok(());
    }
    let built = build(root, &root.join("target"))?;
    let program = folder.join("crypto-tracer");
    std::fs::copy(&built, &program)?;
    let sum = sha256(&program)?;
    println!("{sum}  {}", program.display());
    if options.check {
        let copy = tempfile::tempdir()?;
        copy_sources(root, copy.path())?;
        let other = build(copy.path(), &copy.path().join("target"))?;
        let other = sha256(&other)?;
        ensure!(sum == other, "a build in another folder differs: {sum} and {other}");
        println!("reproduced in another folder");
    }
    Ok(())
}

/// Builds with the profile of packages. The paths of this machine are replaced, because panics contain them.
fn build(root: &Path, target: &Path) -> Result<PathBuf> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [remap(root, "/crypto-tracer"), remap(&cargo_home(), "/cargo")];
    let mut command = Command::new(cargo());
    command.args([
        "build",
        "--locked",
        "--profile",
        "dist",
        "--bin",
        "crypto-tracer",
        "--target-dir",
    ]);
    command.arg(target).current_dir(root).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command.env("CARGO_INCREMENTAL", "0").env_remove("CARGO_TARGET_DIR");
    run(&mut command)?;
    Ok(target.join("dist/crypto-tracer"))
}

/// Copies the files that git tracks.
fn copy_sources(root: &Path, to: &Path) -> Result<()> {
    let files = capture(Command::new("git").args(["ls-files"]).current_dir(root))?;
    for file in files.lines() {
        let to = to.join(file);
        std::fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        let from = root.join(file);
        if from.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(from)?, to)?;
        } else {
            std::fs::copy(from, to)?;
        }
    }
    Ok(())
}

fn sha256(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The software bill of materials of the program in the format CycloneDX 1.5, without a time, so that it is reproducible.
#[expect(clippy::indexing_slicing, reason = "a member that a JSON value lacks is null")]
fn sbom_of(root: &Path) -> Result<Value> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform"]);
    command.arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).current_dir(root);
    let metadata: Value = serde_json::from_str(&capture(&mut command)?)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let id = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (id(&package["id"]), package))
        .collect();
    // Dependencies of the program that are in it: neither of tests nor of build scripts.
    let nodes: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let is_normal =
                |dep: &&Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let deps = list(&node["deps"]);
            (id(&node["id"]), deps.iter().filter(is_normal).map(|dep| id(&dep["pkg"])).collect())
        })
        .collect();
    let program = packages.iter().find(|(_, package)| package["name"] == "crypto-tracer");
    let (start, program) = program.context("cargo metadata has no crypto-tracer")?;
    let mut reached = BTreeSet::from([start.clone()]);
    let mut queue = vec![start.clone()];
    while let Some(next) = queue.pop() {
        for dep in nodes.get(&next).into_iter().flatten() {
            if reached.insert(dep.clone()) {
                queue.push(dep.clone());
            }
        }
    }
    let purl =
        |package: &Value| format!("pkg:cargo/{}@{}", id(&package["name"]), id(&package["version"]));
    let component = |package: &Value| {
        json!({
            "type": "library",
            "bom-ref": purl(package),
            "name": package["name"],
            "version": package["version"],
            "purl": purl(package),
            "licenses": [{ "expression": id(&package["license"]).replace('/', " OR ") }],
        })
    };
    let components: Vec<Value> = reached
        .iter()
        .filter(|id| *id != start)
        .filter_map(|id| packages.get(id))
        .map(component)
        .collect();
    let dependencies: Vec<Value> = reached
        .iter()
        .filter_map(|id| {
            let direct = nodes.get(id)?.iter().filter_map(|dep| packages.get(dep)).map(purl);
            Some(json!({ "ref": purl(packages.get(id)?), "dependsOn": direct.collect::<Vec<_>>() }))
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": purl(program),
            "name": program["name"],
            "version": program["version"],
            "purl": purl(program),
        } },
        "components": components,
        "dependencies": dependencies,
    }))
}
