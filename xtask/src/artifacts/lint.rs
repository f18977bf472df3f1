//! `cargo xtask lint`: runs clippy on the workspace members that build for their own targets only.

use std::path::Path;

use anyhow::Result;

use super::build::{BuildDirs, clippy};
use super::guests::packages;
use super::manifest::Manifest;
use super::toolchain::{BPF, Toolchain, WASM, install};

/// Fails on any warning.
pub(crate) fn run(root: &Path) -> Result<()> {
    let recorded = Manifest::read(root).unwrap_or_default();
    let place = BuildDirs { sources: root, target: &root.join("target/xtask/lint") };
    let bpf = Toolchain::find_or_install(BPF, recorded.tools("bpf"))?;
    if !bpf.sysroot.join("bin/clippy-driver").is_file() {
        install(BPF, None)?;
    }
    clippy(&place, &bpf, &["crypto-tracer-ebpf"])?;
    let wasm = Toolchain::find_or_install(WASM, recorded.tools("plugins"))?;
    clippy(&place, &wasm, &packages())
}
