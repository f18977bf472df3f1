//! `cargo xtask plugins`: the template and the examples, built as their authors build them, then checked and tested.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use crypto_tracer_tests::program;

use crate::artifacts::build::{self, Place};
use crate::artifacts::toolchain::{Toolchain, WASM, install_debian_wasm};
use crate::run::{capture, cargo, find_program, run};

/// Options of `plugins`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// By `cargo component` too, which is installed where it is missing
    #[arg(long)]
    component: bool,
    /// By the toolchain of a machine that cannot add targets, even where they can be added
    #[arg(long, conflicts_with = "component")]
    without_target: bool,
}

const EXAMPLES: &str = "plugins/examples";
const KINDS: [&str; 3] = ["classifier", "redactor", "filter"];
/// What plain cargo builds a component for at once.
const TARGET: &str = "wasm32-wasip2";
/// What cargo component builds for.
const COMPONENT_TARGET: &str = "wasm32-wasip1";
const CARGO_COMPONENT: &str = "0.21.1";

/// Carries out the command.
pub(crate) fn run_all(root: &Path, options: &Options) -> Result<()> {
    let work = root.join("target/xtask/plugins");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot empty {}", work.display()))?;
    }
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
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
    /// Whether its Cargo.lock is its own, and not one that has more in it.
    locked: bool,
}

/// A crate that becomes a plugin.
struct Crate {
    name: String,
    folder: PathBuf,
}

/// As `plugin new` makes it, with the versions of the examples' dependencies: they are here already.
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

/// How components are made.
enum Way {
    Cargo,
    Component,
    /// Core modules for another target, which become components here.
    Encoded(Toolchain),
}

/// Plain cargo where its target is there or can be added, else what the machine has.
fn plain() -> Result<Way> {
    let added = if has(TARGET) { Ok(()) } else { add(TARGET) };
    added.map(|()| Way::Cargo).or_else(|error| {
        println!("{TARGET} cannot be added here: {error:#}");
        without_target()
    })
}

/// Debian's toolchain, or whatever else can build for WebAssembly.
fn without_target() -> Result<Way> {
    let own = |tools: &Toolchain| tools.sysroot == Path::new("/usr");
    if !Toolchain::all(WASM).iter().any(own)
        && let Err(error) = install_debian_wasm()
    {
        println!("Debian's compiler is not here: {error:#}");
    }
    let all = Toolchain::all(WASM);
    let tools = all.iter().find(|tools| own(tools)).or_else(|| all.first()).cloned();
    let tools = tools.with_context(|| {
        format!("nothing here builds plugins: `rustup target add {TARGET}` is the shortest way")
    })?;
    let rustc = tools.versions.get("rustc").map_or("", String::as_str);
    let package = if own(&tools) { "Debian's " } else { "" };
    let library = if tools.build_std { ", whose standard library is built too" } else { "" };
    println!(
        "built for {WASM} instead of {TARGET}, by {package}{} ({rustc}){library}; xtask makes the components",
        tools.rustc().display()
    );
    Ok(Way::Encoded(tools))
}

/// None where its target cannot be had: then it cannot build anything.
fn cargo_component() -> Result<Option<Way>> {
    let added = if has(COMPONENT_TARGET) { Ok(()) } else { add(COMPONENT_TARGET) };
    if let Err(error) = added {
        println!(
            "{COMPONENT_TARGET} cannot be added here, so nothing is built by cargo component: {error:#}"
        );
        return Ok(None);
    }
    if find_program("cargo-component").is_none() {
        // Not optimised: that takes longer than all that it does here.
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
    let program = find_program("cargo-component").context("there is no cargo-component")?;
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
    let rustup = find_program("rustup").context("there is no rustup")?;
    run(Command::new(rustup).args(["target", "add", target]))
}

impl Way {
    /// The folder with the components.
    fn build(&self, root: &Path, work: &Path, workspace: &Workspace) -> Result<PathBuf> {
        // One for all, the tests' too: the crates that they share are compiled once.
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
            // Nobody reads them.
            let bindings = workspace.crates.iter().map(|it| it.folder.join("src/bindings.rs"));
            bindings.for_each(|path| drop(fs::remove_file(path)));
        }
        Ok(target.join(triple).join("release"))
    }
}

fn encode(tools: &Toolchain, target: &Path, work: &Path, workspace: &Workspace) -> Result<PathBuf> {
    if !workspace.locked {
        // Takes out of the lock what this one does not need.
        let metadata = ["metadata", "--format-version", "1"];
        capture(Command::new(cargo()).args(metadata).current_dir(&workspace.root))?;
    }
    let place = Place { sources: &workspace.root, target };
    let packages: Vec<&str> = workspace.crates.iter().map(|it| it.name.as_str()).collect();
    // The same flags for all: the standard library is compiled once.
    let built = build::compile_as_is(&place, tools, "release", &packages, &[], &[])?;
    let folder = work.join("components");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
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

    /// Would it load, does it answer its cases, does it bear odd questions?
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
