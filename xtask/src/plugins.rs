//! `cargo xtask plugins`: builds the template and the examples with the tools of plugin authors, then checks and tests
//! them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use crypto_tracer_tests::program;

use crate::artifacts::build::{self, BuildDirs};
use crate::artifacts::toolchain::{Toolchain, WASM, install_debian_wasm};
use crate::run::{capture, cargo, find_program, run};

/// Options of `plugins`.
#[derive(Debug, clap::Args)]
pub(crate) struct PluginsOptions {
    /// Also build with `cargo component`, and install it if it is missing
    #[arg(long)]
    component: bool,
    /// Build as on a machine that cannot add targets, even if this one can
    #[arg(long, conflicts_with = "component")]
    without_target: bool,
}

const EXAMPLES: &str = "plugins/examples";
const KINDS: [&str; 3] = ["classifier", "redactor", "filter"];
/// The target for which plain cargo builds a component directly.
const TARGET: &str = "wasm32-wasip2";
/// The target of `cargo component`.
const COMPONENT_TARGET: &str = "wasm32-wasip1";
const CARGO_COMPONENT: &str = "0.21.1";

/// Runs the command.
pub(crate) fn run_all(root: &Path, options: &PluginsOptions) -> Result<()> {
    let work = root.join("target/xtask/plugins");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot empty {}", work.display()))?;
    }
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    let templates = KINDS.iter().map(|kind| template(root, &work, kind));
    let mut workspaces = templates.collect::<Result<Vec<_>>>()?;
    workspaces.push(examples(root)?);
    let mut ways = vec![if options.without_target { without_target()? } else { plain()? }];
    if options.component {
        ways.extend(cargo_component()?);
    }
    for way in &ways {
        for workspace in &workspaces {
            let built = way.build(root, &work, workspace)?;
            workspace.crates.iter().try_for_each(|it| it.try_out(&built))?;
        }
    }
    Ok(())
}

/// Crates that are built together.
struct Workspace {
    root: PathBuf,
    crates: Vec<Crate>,
    /// Whether its Cargo.lock lists exactly its own dependencies.
    locked: bool,
}

/// A crate that builds to a plugin.
struct Crate {
    name: String,
    folder: PathBuf,
}

/// The output of `plugin new`, with the dependency versions of the examples, which are already downloaded.
fn template(root: &Path, work: &Path, kind: &str) -> Result<Workspace> {
    let name = format!("acme-{kind}");
    run(Command::new(program()).args(["plugin", "new", &name, "--kind", kind]).current_dir(work))?;
    let folder = work.join(&name);
    fs::copy(root.join(EXAMPLES).join("Cargo.lock"), folder.join("Cargo.lock"))
        .with_context(|| format!("cannot write {}", folder.display()))?;
    let crates = vec![Crate { name, folder: folder.clone() }];
    Ok(Workspace { root: folder, crates, locked: false })
}

fn examples(root: &Path) -> Result<Workspace> {
    let root = root.join(EXAMPLES);
    let mut crates = Vec::new();
    let listed = || format!("cannot list {}", root.display());
    for entry in fs::read_dir(&root).with_context(listed)? {
        let entry = entry.with_context(listed)?;
        if entry.path().join("cases.json").is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            crates.push(Crate { name, folder: entry.path() });
        }
    }
    ensure!(!crates.is_empty(), "{} has no example", root.display());
    crates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Workspace { root, crates, locked: true })
}

/// How components are built.
enum Way {
    Cargo,
    Component,
    /// Builds core modules for another target, and encodes them as components.
    Encoded(Toolchain),
}

/// Plain cargo if its target is installed or can be added, otherwise another toolchain of the machine.
fn plain() -> Result<Way> {
    let added = if has(TARGET) { Ok(()) } else { add(TARGET) };
    added.map(|()| Way::Cargo).or_else(|error| {
        println!("{TARGET} cannot be added here: {error:#}");
        without_target()
    })
}

/// Debian's toolchain, or another one that can build for WebAssembly.
fn without_target() -> Result<Way> {
    let own = |tools: &Toolchain| tools.sysroot == Path::new("/usr");
    if !Toolchain::all(WASM).iter().any(own)
        && let Err(error) = install_debian_wasm()
    {
        println!("Debian's compiler is not available: {error:#}");
    }
    let all = Toolchain::all(WASM);
    let tools = all.iter().find(|tools| own(tools)).or_else(|| all.first()).cloned();
    let tools = tools.with_context(|| {
        format!("no toolchain here can build plugins; run `rustup target add {TARGET}`")
    })?;
    let rustc = tools.versions.get("rustc").map_or("", String::as_str);
    let package = if own(&tools) { "Debian's " } else { "" };
    let library = if tools.build_std { ", which also builds the standard library" } else { "" };
    println!(
        "building for {WASM} instead of {TARGET}, with {package}{} ({rustc}){library}; xtask encodes the components",
        tools.rustc().display()
    );
    Ok(Way::Encoded(tools))
}

/// `None` if its target cannot be installed: without it, cargo component cannot build.
fn cargo_component() -> Result<Option<Way>> {
    let added = if has(COMPONENT_TARGET) { Ok(()) } else { add(COMPONENT_TARGET) };
    if let Err(error) = added {
        println!(
            "{COMPONENT_TARGET} cannot be added here, so the build with cargo component is skipped: {error:#}"
        );
        return Ok(None);
    }
    if find_program("cargo-component").is_none() {
        // A debug build: the optimised build takes longer than all of its work here.
        let package = ["--version", CARGO_COMPONENT, "--locked", "--debug"];
        let mut install = Command::new(cargo());
        install.args(["install", "cargo-component"]).args(package);
        run(install.current_dir(crate::run::cargo_home()))?;
    }
    let version = capture(component_command()?.arg("--version"))?;
    println!("{version}");
    Ok(Some(Way::Component))
}

fn component_command() -> Result<Command> {
    let program = find_program("cargo-component").context("cargo-component is not installed")?;
    let mut command = Command::new(program);
    command.arg("component");
    Ok(command)
}

fn has(target: &str) -> bool {
    let asked =
        capture(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    asked.is_ok_and(|folder| Path::new(&folder).is_dir())
}

fn add(target: &str) -> Result<()> {
    let rustup = find_program("rustup").context("rustup is not installed")?;
    run(Command::new(rustup).args(["target", "add", target]))
}

impl Way {
    /// The folder with the components.
    fn build(&self, root: &Path, work: &Path, workspace: &Workspace) -> Result<PathBuf> {
        // Shared by all workspaces and the tests, so that common crates are compiled once.
        let target = root.join("target/authoring");
        let (mut command, triple) = match self {
            Way::Encoded(tools) => return encode(tools, &target, work, workspace),
            Way::Component => (component_command()?, COMPONENT_TARGET),
            Way::Cargo => (Command::new(cargo()), TARGET),
        };
        command.args(["build", "--release", "--target", triple]).current_dir(&workspace.root);
        if workspace.locked {
            command.arg("--locked");
        }
        run(command.env("CARGO_TARGET_DIR", &target))?;
        if matches!(self, Way::Component) {
            // Unused: the plugins generate their bindings with a macro.
            let bindings = workspace.crates.iter().map(|it| it.folder.join("src/bindings.rs"));
            bindings.for_each(|path| drop(fs::remove_file(path)));
        }
        Ok(target.join(triple).join("release"))
    }
}

fn encode(tools: &Toolchain, target: &Path, work: &Path, workspace: &Workspace) -> Result<PathBuf> {
    if !workspace.locked {
        // Removes unused packages from Cargo.lock.
        let metadata = ["metadata", "--format-version", "1"];
        capture(Command::new(cargo()).args(metadata).current_dir(&workspace.root))?;
    }
    let place = BuildDirs { sources: &workspace.root, target };
    let packages: Vec<&str> = workspace.crates.iter().map(|it| it.name.as_str()).collect();
    // All workspaces use the same flags, so that the standard library is compiled once.
    let built = build::compile_as_is(&place, tools, "release", &packages, &[], &[])?;
    let folder = work.join("components");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for it in &workspace.crates {
        let component = build::component(&built.join(it.file_name()))?;
        let path = folder.join(it.file_name());
        fs::write(&path, component).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(folder)
}

impl Crate {
    fn file_name(&self) -> PathBuf {
        PathBuf::from(self.name.replace('-', "_")).with_extension("wasm")
    }

    /// Checks that the plugin loads, passes its cases, and handles unusual inputs.
    fn try_out(&self, built: &Path) -> Result<()> {
        let file = built.join(self.file_name());
        let cases = self.folder.join("cases.json");
        let text = fs::read(&cases).with_context(|| format!("cannot read {}", cases.display()))?;
        let read: serde_json::Value =
            serde_json::from_slice(&text).with_context(|| cases.display().to_string())?;
        let config = read.get("config").map_or_else(|| "{}".to_owned(), ToString::to_string);
        let with = [OsStr::new("--with"), OsStr::new(&config)];
        plugin("check", &file, with)?;
        plugin("test", &file, [OsStr::new("--cases"), cases.as_os_str()])?;
        plugin("test", &file, with)
    }
}

fn plugin(command: &str, file: &Path, options: [&OsStr; 2]) -> Result<()> {
    run(Command::new(program()).args(["plugin", command]).arg(file).args(options))
}
