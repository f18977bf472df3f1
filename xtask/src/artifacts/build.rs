//! Compiles the BPF object and the plugins.
//!
//! The output depends only on the sources and the tools: paths that a compiler could record are remapped, and environment
//! variables that affect the build are removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::{BPF, Toolchain, WASM};
use crate::run::{cargo_home, run};

/// The folders of a build.
#[derive(Debug)]
pub(crate) struct BuildDirs<'a> {
    /// The workspace with the sources.
    pub(crate) sources: &'a Path,
    /// Cargo's target folder.
    pub(crate) target: &'a Path,
}

/// Builds workspace members; returns the folder with the results.
pub(crate) fn compile(
    place: &BuildDirs<'_>,
    tools: &Toolchain,
    profile: &str,
    packages: &[&str],
    features: &[&str],
    flags: &[&str],
) -> Result<PathBuf> {
    compile_as_is(place, tools, profile, packages, features, &remapped(place, tools, flags)?)
}

/// These flags, and those that keep paths of this machine out of the results.
fn remapped(place: &BuildDirs<'_>, tools: &Toolchain, flags: &[&str]) -> Result<Vec<String>> {
    // The folders to remap exist only after the crates are fetched.
    let fetch = ["fetch", "--locked", "--target", tools.target];
    run(clean(tools)?.args(fetch).current_dir(place.sources))?;
    let mut all: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    all.extend(remaps(place.sources, &tools.sysroot)?);
    Ok(all)
}

/// Compiles the library of one package to a WebAssembly module and nothing else, without paths of this machine; returns
/// the folder with the result.
///
/// The packages are rlibs as well, for the tests. Cargo applies LTO only where that is not asked for.
pub(crate) fn compile_plugin(
    place: &BuildDirs<'_>,
    tools: &Toolchain,
    profile: &str,
    package: &str,
) -> Result<PathBuf> {
    // Without it, each index in the code takes five bytes.
    let flags = remapped(place, tools, &["-C", "link-arg=--compress-relocations"])?;
    let mut command = cargo(place, tools, "rustc", &[package])?;
    command.args(["--profile", profile, "--lib", "--crate-type", "cdylib"]);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    run(&mut command)?;
    Ok(place.target.join(tools.target).join(profile))
}

/// Like [`compile`], but without remapping: the results may contain paths of this machine, so they are not committed.
pub(crate) fn compile_as_is(
    place: &BuildDirs<'_>,
    tools: &Toolchain,
    profile: &str,
    packages: &[&str],
    features: &[&str],
    flags: &[String],
) -> Result<PathBuf> {
    let mut command = cargo(place, tools, "build", packages)?;
    command.args(["--profile", profile, "--features", &features.join(",")]);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    run(&mut command)?;
    Ok(place.target.join(tools.target).join(profile))
}

/// Runs clippy on workspace members; a warning is an error.
pub(crate) fn clippy(place: &BuildDirs<'_>, tools: &Toolchain, packages: &[&str]) -> Result<()> {
    run(cargo(place, tools, "clippy", packages)?.args(["--", "-D", "warnings"]))
}

/// A cargo command for workspace members.
fn cargo(
    place: &BuildDirs<'_>,
    tools: &Toolchain,
    verb: &str,
    packages: &[&str],
) -> Result<Command> {
    let mut command = clean(tools)?;
    command.current_dir(place.sources);
    if let Some(linker) = tools.linker.as_ref().filter(|_| tools.target == WASM) {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    command.args([verb, "--locked", "--target", tools.target, "--target-dir"]).arg(place.target);
    for package in packages {
        command.args(["--package", package]);
    }
    if tools.build_std {
        let parts = if tools.target == BPF { "core" } else { "std,panic_abort" };
        command.args(["-Z", &format!("build-std={parts}")]);
    }
    Ok(command)
}

/// Cargo without the environment variables that the outer cargo or the caller set.
fn clean(tools: &Toolchain) -> Result<Command> {
    let mut command = Command::new(tools.cargo());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let foreign =
            (text.starts_with("CARGO") && text != "CARGO_HOME" && text != "CARGO_NET_OFFLINE")
                || text.starts_with("RUST")
                || text == "SOURCE_DATE_EPOCH";
        if foreign {
            command.env_remove(&name);
        }
    }
    // BPF and build-std need unstable features; this allows them with a stable compiler.
    command.env("RUSTC", tools.rustc()).env("RUSTC_BOOTSTRAP", "1");
    // Cargo finds the linker and parts of the toolchain by name.
    let linker = tools.linker.as_deref().and_then(Path::parent);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = [Some(tools.sysroot.join("bin")), linker.map(Path::to_path_buf)];
    let dirs = dirs.into_iter().flatten().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(dirs)?);
    Ok(command)
}

/// Compiler flags that replace folders of this machine with fixed names.
fn remaps(sources: &Path, sysroot: &Path) -> Result<Vec<String>> {
    let mut pairs = vec![(sources.to_path_buf(), "/crypto-tracer".to_owned())];
    let registry = cargo_home().join("registry/src");
    // The folder's name contains the registry's address, so it differs for a mirror.
    let unpacked =
        fs::read_dir(&registry).with_context(|| format!("cannot list {}", registry.display()))?;
    for entry in unpacked {
        pairs.push((entry?.path(), "/cargo".to_owned()));
    }
    pairs.push((sysroot.join("lib/rustlib/src/rust"), "/rust".to_owned()));
    let mut flags = Vec::new();
    for (from, to) in pairs {
        let real = fs::canonicalize(&from).unwrap_or_else(|_| from.clone());
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        if real != from {
            flags.push(format!("--remap-path-prefix={}={to}", real.display()));
        }
    }
    Ok(flags)
}

/// Removes DWARF from an object. `.BTF` and `.BTF.ext` remain: the kernel needs them to load the programs and to print
/// source lines in the verifier log.
pub(crate) fn strip(tools: &Toolchain, from: &Path, to: &Path) -> Result<()> {
    let program = tools.strip.as_ref().context("no llvm-strip")?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    run(Command::new(program).args(["--strip-debug", "-o"]).arg(to).arg(from))
}

/// Encodes a core module as a component.
pub(crate) fn component(core: &Path) -> Result<Vec<u8>> {
    let module = fs::read(core).with_context(|| format!("cannot read {}", core.display()))?;
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("{} is not a plugin", core.display()))
}
