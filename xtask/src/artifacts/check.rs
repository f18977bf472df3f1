//! `artifacts --check`: verifies that the committed artifacts match the sources.
//!
//! Three checks, each stronger than the one before:
//! 1. The hashes of sources and artifacts are those in the manifest.
//! 2. This workspace's wasmtime compiles the plugins to the same precompiled files.
//! 3. A build from a copy of the sources in another folder produces the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::build::BuildDirs;
use super::guests::{FROZEN, GUESTS, frozen};
use super::manifest::{Artifact, Manifest, differences};
use super::toolchain::{BPF, Toolchain, Versions, WASM, commands};
use super::{ArtifactsOptions, STEPS, build_all, compare, describe, precompile, source_hashes};

/// Runs `--check`.
pub(super) fn run(root: &Path, options: &ArtifactsOptions) -> Result<()> {
    let manifest = Manifest::read(root)?;
    let mut wrong = sources(root, &manifest)?;
    wrong.extend(files(root, &manifest)?);
    wrong.extend(ahead_of_time(root)?);
    if !wrong.is_empty() {
        bail!(
            "artifacts/ does not match the sources; run `cargo xtask artifacts`:\n  {}",
            wrong.join("\n  ")
        );
    }
    println!("hashes: {} artifacts and their sources match the manifest", manifest.artifacts.len());
    if options.no_rebuild {
        println!("rebuild: skipped");
        return Ok(());
    }
    let Some((bpf, wasm)) = tools(&manifest, options.rebuild)? else { return Ok(()) };
    let copy = Copy::of(root)?;
    let place = BuildDirs { sources: &copy.0, target: &copy.0.join("target") };
    let stage = root.join("target/xtask/rebuilt");
    build_all(&place, &bpf, &wasm, &stage)?;
    describe(root, &stage, &bpf.versions, &wasm.versions)?.write(&stage)?;
    verdict(root, &stage, &manifest, &bpf.versions, &wasm.versions)
}

/// Sources that differ from those that the artifacts were built from.
fn sources(root: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (step, now) in STEPS.into_iter().zip(source_hashes(root)?) {
        let recorded = manifest.builds.get(step).map(|build| &build.sources);
        let differ = differences(recorded.unwrap_or(&BTreeMap::new()), &now);
        wrong.extend(differ.into_iter().map(|line| format!("source of {step}: {line}")));
    }
    Ok(wrong)
}

/// Artifacts that differ from the manifest.
fn files(root: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    let frozen = frozen(root)?;
    let built = GUESTS.iter().flat_map(|guest| [Some(guest.component), guest.precompiled]);
    let expected = std::iter::once(super::BPF_OBJECT)
        .chain(built.flatten())
        .chain(frozen.iter().map(String::as_str));
    let mut wrong: Vec<String> = expected
        .filter(|path| !manifest.artifacts.contains_key(*path))
        .map(|path| format!("{path}: not in the manifest"))
        .collect();
    for (path, recorded) in &manifest.artifacts {
        match Artifact::of(root, path, &recorded.build) {
            Ok(now) if now == *recorded => {}
            Ok(_) => wrong.push(format!("{path}: differs from the file that was built")),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    Ok(wrong)
}

/// Plugins that this workspace's engine compiles to different bytes.
fn ahead_of_time(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for guest in &GUESTS {
        let Some(path) = guest.precompiled else { continue };
        let read =
            |path: &str| fs::read(root.join(path)).with_context(|| format!("cannot read {path}"));
        if precompile(&read(guest.component)?)? != read(path)? {
            wrong.push(format!(
                "{path}: the engine compiles {} to different bytes",
                guest.component
            ));
        }
    }
    Ok(wrong)
}

/// The compilers for a rebuild. Without `insist`, prints a message and returns `None` if one is missing.
fn tools(manifest: &Manifest, insist: bool) -> Result<Option<(Toolchain, Toolchain)>> {
    let mut found = Vec::new();
    for (step, target) in [("bpf", BPF), ("plugins", WASM)] {
        let recorded = manifest.tools(step);
        let tools = if insist {
            Some(Toolchain::find_or_install(target, recorded)?)
        } else {
            Toolchain::find(target, recorded)
        };
        let Some(tools) = tools else {
            println!("rebuild: SKIPPED, no compiler for {target}; {}", commands(target));
            return Ok(None);
        };
        found.push(tools);
    }
    let mut found = found.into_iter();
    Ok(found.next().zip(found.next()))
}

/// Compares the rebuilt files with the committed ones.
fn verdict(
    root: &Path,
    stage: &Path,
    manifest: &Manifest,
    bpf: &Versions,
    wasm: &Versions,
) -> Result<()> {
    let mut wrong = Vec::new();
    for (path, recorded) in manifest.artifacts.iter().filter(|(_, file)| file.build != FROZEN) {
        let rebuilt = Artifact::of(stage, path, &recorded.build)?;
        if rebuilt == *recorded {
            println!("rebuild: {path}: identical");
            continue;
        }
        // A precompiled plugin depends on the compiler of its component.
        let (step, here) = if recorded.build == "bpf" { ("bpf", bpf) } else { ("plugins", wasm) };
        let old = manifest.tools(step).context("the manifest names no tools")?;
        if old == here {
            wrong.push(format!("{path}: the same tools build different bytes from the sources"));
            continue;
        }
        println!(
            "rebuild: {path}: DIFFERENT TOOLS, SO DIFFERENT BYTES; only the interface to the host is compared"
        );
        for line in differences(old, here) {
            println!("  {line}");
        }
        wrong.extend(compare::offers(&root.join(path), &stage.join(path))?);
    }
    if !wrong.is_empty() {
        bail!("artifacts/ does not match a build of the sources:\n  {}", wrong.join("\n  "));
    }
    println!("rebuild: done, in {}", stage.display());
    Ok(())
}

/// A copy of the sources in another folder, removed on drop.
struct Copy(PathBuf);

impl Copy {
    fn of(root: &Path) -> Result<Copy> {
        let copy = Copy(root.join(format!("target/xtask/copy-{}", std::process::id())));
        copy_folder(root, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("xtask: cannot remove {}: {error}", self.0.display());
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}
