//! Finds compilers that can build for a target, and lists or installs missing tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{capture, cargo_home, find_program, run};

/// The target of the BPF programs.
pub(crate) const BPF: &str = "bpfel-unknown-none";
/// The target of the plugins.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// The version of bpf-linker to install if there is none.
const LINKER_VERSION: &str = "0.13.0";
/// The folder of the LLVM in Debian that this bpf-linker is built with.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// The tools' own version strings, by tool name.
pub(crate) type Versions = BTreeMap<String, String>;

/// A compiler that can build for one target.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    pub(crate) sysroot: PathBuf,
    /// The target.
    pub(crate) target: &'static str,
    /// Whether the standard library must be compiled as well.
    pub(crate) build_std: bool,
    /// The versions of its tools; equal tools produce equal bytes.
    pub(crate) versions: Versions,
    /// bpf-linker for BPF; for WebAssembly wasm-ld, if the compiler does not include a linker.
    pub(crate) linker: Option<PathBuf>,
    /// llvm-strip; only for BPF.
    pub(crate) strip: Option<PathBuf>,
}

impl Toolchain {
    pub(crate) fn cargo(&self) -> PathBuf {
        self.sysroot.join("bin/cargo")
    }

    pub(crate) fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    /// All toolchains of this machine that can build for the target.
    pub(crate) fn all(target: &'static str) -> Vec<Toolchain> {
        sysroots().into_iter().filter_map(|sysroot| probe(sysroot, target)).collect()
    }

    /// The toolchain with the `recorded` versions if it is installed, otherwise any.
    pub(crate) fn find(target: &'static str, recorded: Option<&Versions>) -> Option<Toolchain> {
        let mut usable = Self::all(target);
        let exact = usable.iter().position(|found| Some(&found.versions) == recorded);
        match exact {
            Some(at) => Some(usable.swap_remove(at)),
            None => {
                usable.sort_by_key(|found| found.build_std);
                usable.into_iter().next()
            }
        }
    }

    /// Like [`Toolchain::find`], but installs missing tools, in the recorded version if possible.
    pub(crate) fn find_or_install(
        target: &'static str,
        recorded: Option<&Versions>,
    ) -> Result<Toolchain> {
        let found = Self::find(target, recorded);
        let matches = |found: &Toolchain| recorded.is_none_or(|r| *r == found.versions);
        if let Some(found) = found.clone().filter(matches) {
            return Ok(found);
        }
        let installed = install(target, recorded);
        match (Self::find(target, recorded), installed) {
            (Some(found), _) => Ok(found),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => bail!("still no compiler for {target}\n{}", commands(target)),
        }
    }
}

/// Every Rust installation of this machine: the one that cargo uses here, those of rustup, and the distribution's.
fn sysroots() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    if let Ok(root) = capture(Command::new("rustc").args(["--print", "sysroot"])) {
        roots.push(PathBuf::from(root));
    }
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup")));
    let toolchains = rustup.and_then(|home| fs::read_dir(home.join("toolchains")).ok());
    let mut more: Vec<_> = toolchains.into_iter().flatten().flatten().map(|e| e.path()).collect();
    more.sort();
    roots.extend(more);
    roots.push(PathBuf::from("/usr"));
    let mut seen = Vec::new();
    for root in roots.iter().filter_map(|root| fs::canonicalize(root).ok()) {
        if !seen.contains(&root) {
            seen.push(root);
        }
    }
    seen
}

/// Whether this installation can build for the target.
fn probe(sysroot: PathBuf, target: &'static str) -> Option<Toolchain> {
    let rustc = version(&sysroot.join("bin/rustc"))?;
    let cargo = version(&sysroot.join("bin/cargo"))?;
    let library = fs::read_dir(sysroot.join("lib/rustlib").join(target).join("lib"));
    let has_std = library
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
    let has_source = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
        && rustc_is_new(&rustc);
    if !has_std && !has_source {
        return None;
    }
    let mut versions = Versions::from([("rustc".into(), rustc), ("cargo".into(), cargo)]);
    let (mut linker, mut strip) = (None, None);
    if target == BPF {
        linker = Some(find_program("bpf-linker")?);
        versions.insert("bpf-linker".into(), version(linker.as_ref()?)?);
        strip = Some(llvm_strip()?);
        versions.insert("llvm".into(), llvm_version(strip.as_ref()?)?);
    }
    if target == WASM && !brings_linker(&sysroot) {
        let found = wasm_ld()?;
        versions.insert("wasm-ld".into(), version(&found)?);
        linker = Some(found);
    }
    let standard = if has_std { "with the compiler" } else { "built" };
    versions.insert("standard library".into(), standard.into());
    Some(Toolchain { sysroot, target, build_std: !has_std, versions, linker, strip })
}

/// Whether the compiler has edition 2024 and the stable features that the workspace uses.
fn rustc_is_new(version: &str) -> bool {
    let number = version.split(' ').nth(1).unwrap_or_default();
    let minor = number.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    number.starts_with("1.") && minor.is_some_and(|minor| minor >= 95)
}

fn version(program: &Path) -> Option<String> {
    program.is_file().then(|| capture(Command::new(program).arg("--version")).ok())?
}

/// Whether the compiler includes a linker: rustup's compilers do, Debian's does not.
fn brings_linker(sysroot: &Path) -> bool {
    let hosts = fs::read_dir(sysroot.join("lib/rustlib"));
    hosts.into_iter().flatten().flatten().any(|host| host.path().join("bin/rust-lld").is_file())
}

/// The linker for WebAssembly. It must have this name, because rustc derives the linker's options from the name.
fn wasm_ld() -> Option<PathBuf> {
    let own = Path::new(LLVM_PREFIX).join("bin/wasm-ld");
    if own.is_file() { Some(own) } else { find_program("wasm-ld") }
}

/// The one of bpf-linker's LLVM if it is installed, otherwise any.
fn llvm_strip() -> Option<PathBuf> {
    let own = Path::new(LLVM_PREFIX).join("bin/llvm-strip");
    if own.is_file() { Some(own) } else { find_program("llvm-strip") }
}

/// The version of LLVM. bpf-linker does not print it, but on Debian it is built against the shared library that llvm-strip
/// uses as well.
fn llvm_version(strip: &Path) -> Option<String> {
    let text = capture(Command::new(strip).arg("--version")).ok()?;
    let line = text.lines().find(|line| line.contains("version"))?;
    Some(line.rsplit(' ').next()?.to_owned())
}

/// The commands that install the tools for a target.
pub(crate) fn commands(target: &str) -> String {
    let plugins = format!("  rustup target add {WASM}");
    let bpf = format!(
        "  apt-get update && apt-get install -y {}\n  {}\n\
         or, on another distribution, `rustup toolchain install nightly --component rust-src` and bpf-linker {LINKER_VERSION}",
        DEBIAN_BPF.join(" "),
        LINKER_COMMAND.replace("{version}", LINKER_VERSION).replace("{prefix}", LLVM_PREFIX),
    );
    format!("to install the tools:\n{}", if target == BPF { bpf } else { plugins })
}

const DEBIAN_BPF: [&str; 7] = [
    "rustc-web",
    "cargo-web",
    "rust-web-clippy",
    "rust-web-src",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
    "libpolly-22-dev",
];
const LINKER_COMMAND: &str = "LLVM_PREFIX={prefix} cargo install bpf-linker --version {version} --locked \
     --no-default-features --features llvm-22";

/// Packages that build plugins where rustup cannot add a target.
const DEBIAN_WASM: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

/// Installs Debian's compiler for WebAssembly.
pub(crate) fn install_debian_wasm() -> Result<()> {
    debian(&DEBIAN_WASM)
        .with_context(|| format!("`apt-get install -y {}`, as root", DEBIAN_WASM.join(" ")))
}

/// Installs the missing tools for a target.
pub(crate) fn install(target: &'static str, recorded: Option<&Versions>) -> Result<()> {
    if target == WASM { install_wasm(recorded) } else { install_bpf() }
        .with_context(|| commands(target))
}

/// Tries the recorded version first: rustup keeps versions side by side and needs no privileges.
fn install_wasm(recorded: Option<&Versions>) -> Result<()> {
    let rustup = find_program("rustup").context("rustup is not installed")?;
    let exact = recorded.and_then(|r| r.get("rustc")).and_then(|line| line.split(' ').nth(1));
    if let Some(exact) = exact {
        let mut command = Command::new(&rustup);
        command.args(["toolchain", "install", exact, "--profile", "minimal", "--target", WASM]);
        match run(&mut command) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("{error:#}: using the installed compiler"),
        }
    }
    run(Command::new(&rustup).args(["target", "add", WASM]))
}

/// Installs Debian packages; needs root.
fn debian(packages: &[&str]) -> Result<()> {
    if capture(Command::new("id").arg("-u"))? != "0" {
        bail!("only root can install packages");
    }
    if find_program("apt-get").is_none() {
        bail!("apt-get is not installed");
    }
    run(Command::new("apt-get").arg("update"))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

fn install_bpf() -> Result<()> {
    let there = |path: &str| Path::new(path).exists();
    let compiler =
        there("/usr/lib/rustlib/bpfel-unknown-none/lib") && there("/usr/bin/clippy-driver");
    if !compiler || !there(LLVM_PREFIX) {
        debian(&DEBIAN_BPF)?;
    }
    if find_program("bpf-linker").is_none() {
        run(Command::new(crate::run::cargo())
            .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked"])
            .args(["--no-default-features", "--features", "llvm-22"])
            .env("LLVM_PREFIX", LLVM_PREFIX)
            .current_dir(cargo_home()))?;
    }
    Ok(())
}
