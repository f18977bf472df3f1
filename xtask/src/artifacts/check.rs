//! `artifacts --check`: do the sources and what is committed belong together?
//!
//! Three proofs, each stronger: the hashes of sources and artifacts are those of the manifest; the plugins compiled
//! ahead of time are what this workspace's wasmtime makes of them; a build from a copy of the sources in another
//! folder gives the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::build::Place;
use super::guests::{FROZEN, GUESTS, frozen};
use super::manifest::{Artifact, Manifest, differences};
use super::toolchain::{BPF, Toolchain, Versions, WASM, commands};
use super::{Options, STEPS, build_all, compare, describe, precompile, source_hashes};

/// Carries out `--check`.
pub(super) fn run(root: &Path, options: &Options) -> Result<()> {
    let manifest = Manifest::read(root)?;
    let mut wrong = sources(root, &manifest)?;
    wrong.extend(files(root, &manifest)?);
    wrong.extend(ahead_of_time(root)?);
    if !wrong.is_empty() {
        bail!(
            "artifacts/ and the sources do not belong together; `cargo xtask artifacts` rebuilds it:\n  {}",
            wrong.join("\n  ")
        );
    }
    println!("hashes: {} artifacts and their sources are as recorded", manifest.artifacts.len());
    if options.no_rebuild {
        println!("rebuild: not asked for");
        return Ok(());
    }
    let Some((bpf, wasm)) = tools(&manifest, options.rebuild)? else { return Ok(()) };
    let copy = Copy::of(root)?;
    let place = Place { sources: &copy.0, target: &copy.0.join("target") };
    let stage = root.join("target/xtask/rebuilt");
    build_all(&place, &bpf, &wasm, &stage)?;
    describe(root, &stage, &bpf.versions, &wasm.versions)?.write(&stage)?;
    verdict(root, &stage, &manifest, &bpf.versions, &wasm.versions)
}

/// Sources that are not those that the artifacts were built from.
fn sources(root: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (step, now) in STEPS.into_iter().zip(source_hashes(root)?) {
        let recorded = manifest.builds.get(step).map(|build| &build.sources);
        let differ = differences(recorded.unwrap_or(&BTreeMap::new()), &now);
        wrong.extend(differ.into_iter().map(|line| format!("source of {step}: {line}")));
    }
    Ok(wrong)
}

/// Artifacts that are not those that were built.
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
            Ok(_) => wrong.push(format!("{path}: not the file that was built")),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    Ok(wrong)
}

/// Plugins that this workspace's engine compiles to other bytes.
fn ahead_of_time(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for guest in &GUESTS {
        let Some(path) = guest.precompiled else { continue };
        let read =
            |path: &str| fs::read(root.join(path)).with_context(|| format!("cannot read {path}"));
        if precompile(&read(guest.component)?)? != read(path)? {
            wrong.push(format!("{path}: the engine makes something else of {}", guest.component));
        }
    }
    Ok(wrong)
}

/// The compilers for a rebuild. None, after saying so, when they are not here and nobody insists.
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
            println!("rebuild: NOT DONE, no compiler for {target}; {}", commands(target));
            return Ok(None);
        };
        found.push(tools);
    }
    let mut found = found.into_iter();
    Ok(found.next().zip(found.next()))
}

/// Compares what was rebuilt with what is committed.
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
            println!("rebuild: {path}: the same bytes");
            continue;
        }
        // Made of the component, so it follows the plugins' compiler.
        let (step, here) = if recorded.build == "bpf" { ("bpf", bpf) } else { ("plugins", wasm) };
        let old = manifest.tools(step).context("the manifest names no tools")?;
        if old == here {
            wrong.push(format!("{path}: the same tools make other bytes of the sources"));
            continue;
        }
        println!("rebuild: {path}: OTHER TOOLS, SO OTHER BYTES; compared by what it offers only");
        for line in differences(old, here) {
            println!("  {line}");
        }
        wrong.extend(compare::offers(&root.join(path), &stage.join(path))?);
    }
    if !wrong.is_empty() {
        bail!("artifacts/ is not what the sources give:\n  {}", wrong.join("\n  "));
    }
    println!("rebuild: done, in {}", stage.display());
    Ok(())
}

/// A copy of the sources in a folder of another name, removed when done.
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
