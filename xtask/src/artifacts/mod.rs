//! `cargo xtask artifacts`: builds the files that plain cargo cannot build, and verifies that the committed files match the
//! sources.

pub(crate) mod build;
mod check;
mod compare;
mod guests;
pub(crate) mod lint;
mod manifest;
mod sources;
pub(crate) mod toolchain;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use build::BuildDirs;
use guests::{FROZEN, GUESTS};
use manifest::{Artifact, Build, Manifest};
use sources::Inputs;
use toolchain::{BPF, Toolchain, Versions, WASM};

/// Options of `artifacts`.
#[derive(Debug, clap::Args)]
pub(crate) struct ArtifactsOptions {
    /// Change nothing: fail if the artifacts do not match the sources. Rebuilds them if the tools are installed
    #[arg(long)]
    check: bool,
    /// With --check: always rebuild, and install the tools if necessary
    #[arg(long, requires = "check", conflicts_with = "no_rebuild")]
    rebuild: bool,
    /// With --check: compare hashes only
    #[arg(long, requires = "check")]
    no_rebuild: bool,
}

/// The BPF object, relative to the workspace.
const BPF_OBJECT: &str = "artifacts/crypto-tracer.bpf.o";

/// The steps of the build, by their names in the manifest.
const STEPS: [&str; 3] = ["bpf", "plugins", "precompiled"];

/// Runs the command.
pub(crate) fn run(root: &Path, options: &ArtifactsOptions) -> Result<()> {
    if options.check {
        return check::run(root, options);
    }
    let recorded = Manifest::read(root).unwrap_or_default();
    let stage = root.join("target/xtask/stage");
    let place = BuildDirs { sources: root, target: &root.join("target/xtask/build") };
    let bpf = Toolchain::find_or_install(BPF, recorded.tools("bpf"))?;
    let wasm = Toolchain::find_or_install(WASM, recorded.tools("plugins"))?;
    build_all(&place, &bpf, &wasm, &stage)?;
    guests::build_missing(&place, &wasm)?;
    let manifest = describe(root, &stage, &bpf.versions, &wasm.versions)?;
    guests::unchanged(&recorded, &manifest)?;
    for (path, artifact) in &manifest.artifacts {
        if artifact.build != FROZEN {
            copy(&stage.join(path), &root.join(path))?;
        }
        println!("{path}: {} bytes", artifact.bytes);
    }
    manifest.write(root)
}

/// Builds every artifact into the folder `stage`, under its path in the workspace.
fn build_all(place: &BuildDirs<'_>, bpf: &Toolchain, wasm: &Toolchain, stage: &Path) -> Result<()> {
    let flags = ["-C", "link-arg=--btf"];
    let built = build::compile(place, bpf, "bpf", &["crypto-tracer-ebpf"], &[], &flags)?;
    build::strip(bpf, &built.join("crypto-tracer-ebpf"), &stage.join(BPF_OBJECT))?;

    for guest in &GUESTS {
        let built = build::compile_plugin(place, wasm, guest.profile, guest.package)?;
        let core = built.join(guest.package.replace('-', "_")).with_extension("wasm");
        let component = build::component(&core)?;
        write(&stage.join(guest.component), &component)?;
        if let Some(path) = guest.precompiled {
            write(&stage.join(path), &precompile(&component)?)?;
        }
    }
    Ok(())
}

/// Compiles a component ahead of time, with the program's engine.
fn precompile(component: &[u8]) -> Result<Vec<u8>> {
    crypto_tracer_plugin::precompile(component).map_err(anyhow::Error::msg)
}

/// The manifest of the files in `stage` and their sources.
fn describe(root: &Path, stage: &Path, bpf: &Versions, wasm: &Versions) -> Result<Manifest> {
    let mut manifest = Manifest::default();
    let tools = [bpf.clone(), wasm.clone(), Versions::new()];
    for ((step, tools), sources) in STEPS.into_iter().zip(tools).zip(source_hashes(root)?) {
        manifest.builds.insert(step.into(), Build { tools, sources });
    }
    let mut add = |path: &str, step: &str| -> Result<()> {
        manifest.artifacts.insert(path.to_owned(), Artifact::of(stage, path, step)?);
        Ok(())
    };
    let [first, second, third] = STEPS;
    add(BPF_OBJECT, first)?;
    for guest in &GUESTS {
        add(guest.component, second)?;
        if let Some(path) = guest.precompiled {
            add(path, third)?;
        }
    }
    for path in guests::frozen(root)? {
        let artifact = Artifact::of(root, &path, FROZEN)?;
        manifest.artifacts.insert(path, artifact);
    }
    Ok(manifest)
}

/// The hashes of all sources, in the order of [`STEPS`].
fn source_hashes(root: &Path) -> Result<[BTreeMap<String, String>; 3]> {
    let bpf = Inputs {
        paths: vec!["host-ebpf", "host-common"],
        packages: vec!["crypto-tracer-ebpf"],
        profile: "bpf",
    };
    let small = Inputs { paths: vec![], packages: vec!["redact-default"], profile: "plugin-small" };
    let plugins = Inputs {
        paths: std::iter::once("wit/plugin.wit")
            .chain(GUESTS.iter().map(|guest| guest.folder))
            .collect(),
        packages: GUESTS.iter().map(|guest| guest.package).collect(),
        profile: "plugin",
    };
    let mut plugins = plugins.hashes(root)?;
    plugins.extend(small.hashes(root)?);
    let encoder = sources::locked_version(root, "xtask", "wit-component")?;
    plugins.insert("Cargo.lock: wit-component's version".into(), encoder);
    // Every check compiles the plugins again, so the engine's settings need no hash.
    let engine = sources::locked_version(root, "crypto-tracer-plugin-host", "wasmtime")?;
    let precompiled = BTreeMap::from([("Cargo.lock: wasmtime's version".into(), engine)]);
    Ok([bpf.hashes(root)?, plugins, precompiled])
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
