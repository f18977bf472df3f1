//! `cargo xtask mutate`: changes the code in small ways, and names the changes that no unit test notices.
//!
//! Of what decides and prints only: select, what redaction goes through, output, documents. It takes the better part of
//! an hour, so it is not in `.ci/run`. These modules need nothing of the others, so a crate of their own is made of them:
//! it builds in seconds, where the program takes half a minute for each change. What calls plugins needs the whole
//! program, and is judged by the tests of the plugins alone.
//!
//! `tests/mutants.toml` tells which changes may survive, and why: they change nothing that a sentence of the
//! specification covers, or a test of the whole program notices them. Whatever survives besides lacks a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::run::{capture, cargo, find_program, run as run_command, shown};

/// The version that is installed where there is none.
const VERSION: &str = "27.1.0";

/// What is changed of the crate that is made of it, below `host/src`.
const FILES: [&str; 7] = [
    "glob.rs",
    "printable.rs",
    "select/**/*.rs",
    "event/redacted.rs",
    "event/text.rs",
    "output/**/*.rs",
    "document/**/*.rs",
];
/// The modules of that crate: they know no others.
const MODULES: [&str; 10] = [
    "bounded",
    "closed",
    "document",
    "event",
    "glob",
    "interest",
    "output",
    "printable",
    "select",
    "stop",
];
/// Dependencies that none of them has, and that take long.
const NOT_THEIRS: [&str; 5] =
    ["aya", "crypto-tracer-common", "crypto-tracer-tests", "wasmtime", "wat"];

/// What is changed in the program itself, below `host/src`.
const IN_PLACE: [&str; 1] = ["plugin/redactor.rs"];
/// The tests that judge it.
const IN_PLACE_TESTS: &str = "plugin::";
/// What a plain `cargo test` builds: with fewer packages cargo would choose other features for the crates that they share,
/// and compile wasmtime once more.
const TOGETHER: [&str; 5] =
    ["crypto-tracer-common", "classify-default", "redact-default", "crypto-tracer-tests", "xtask"];

/// Seconds after which a test that a change made endless is ended: that is noticed as well.
const TIMEOUT: &str = "30";
/// The same for the tests of the plugins.
const IN_PLACE_TIMEOUT: &str = "300";

/// Options of `mutate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only files below host/src that match this glob, instead of all that are worth it
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Only changes whose name matches this regular expression
    #[arg(long, value_name = "REGEX")]
    re: Option<String>,
    /// List the changes, test none
    #[arg(long)]
    list: bool,
    /// Leave out what needs the whole program
    #[arg(long)]
    quick: bool,
}

/// `tests/mutants.toml`.
#[derive(Debug, Deserialize)]
struct Known {
    survives: Vec<Survivor>,
}

/// A change that no unit test notices.
#[derive(Clone, Debug, Deserialize)]
struct Survivor {
    /// Below `host/src`.
    file: String,
    /// As cargo-mutants calls it; all of this name in this file.
    change: String,
    /// Why that is right.
    why: String,
}

/// Carries out the command.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    if find_program("cargo-mutants").is_none() {
        let install = ["install", "cargo-mutants", "--locked", "--version", VERSION];
        run_command(Command::new(cargo()).args(install))?;
    }
    let known = known(root)?;
    let apart = make(root)?;
    let (theirs, in_place) = chosen(options);
    let mut survived = BTreeSet::new();
    if !theirs.is_empty() {
        let mut mutants = mutants(&apart, options, TIMEOUT);
        mutants.arg("--cargo-arg=--lib");
        survived.extend(survivors(&mut mutants, "src/", &theirs, options)?);
    }
    if !in_place.is_empty() && !options.quick {
        let changed =
            capture(Command::new("git").current_dir(root).args(["status", "--porcelain"]))?;
        ensure!(changed.is_empty(), "commit first: the sources are changed in place, and put back");
        let mut mutants = mutants(root, options, IN_PLACE_TIMEOUT);
        mutants.args(["--package", "crypto-tracer", "--cargo-arg=--lib"]);
        for package in TOGETHER {
            mutants.arg(format!("--cargo-arg=--package={package}"));
        }
        mutants.args(["--cargo-test-arg", "--", "--cargo-test-arg", IN_PLACE_TESTS]);
        survived.extend(survivors(&mut mutants, "host/src/", &in_place, options)?);
    }
    if options.list {
        return Ok(());
    }
    let all = options.file.is_empty() && options.re.is_none() && !options.quick;
    judge(&survived, &known, all)
}

fn known(root: &Path) -> Result<Vec<Survivor>> {
    let path = root.join("tests/mutants.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let known: Known = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let without = known.survives.iter().find(|known| known.why.is_empty());
    ensure!(without.is_none(), "{}: {without:?} has no reason", path.display());
    Ok(known.survives)
}

/// The globs for the crate that is made, and those for the program itself.
fn chosen(options: &Options) -> (Vec<&str>, Vec<&str>) {
    if options.file.is_empty() {
        return (FILES.to_vec(), IN_PLACE.to_vec());
    }
    options.file.iter().map(String::as_str).partition(|file| !file.starts_with("plugin/"))
}

fn mutants(folder: &Path, options: &Options, timeout: &str) -> Command {
    let mut mutants = Command::new(cargo());
    mutants.current_dir(folder).args(["mutants", "--in-place", "--timeout", timeout]);
    mutants.args(["--output", "target"]).env("INSTA_UPDATE", "no");
    // A case that one change fails would be tried, and perhaps fail, for all others.
    mutants.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    if let Some(re) = &options.re {
        mutants.args(["--re", re]);
    }
    mutants
}

/// Runs it; which changes survived, as `FILE: CHANGE`.
fn survivors(
    mutants: &mut Command,
    source: &str,
    files: &[&str],
    options: &Options,
) -> Result<BTreeSet<String>> {
    for file in files {
        mutants.args(["--file", &format!("{source}{file}")]);
    }
    if options.list {
        run_command(mutants.arg("--list"))?;
        return Ok(BTreeSet::new());
    }
    eprintln!("$ {}", shown(mutants));
    let status = mutants.stdin(Stdio::null()).status().context("cannot run cargo")?;
    // 2: some survived; 3: some took for ever.
    ensure!(matches!(status.code(), Some(0 | 2 | 3)), "cargo-mutants ended with {status}");
    let folder = mutants.get_current_dir().context("it has a folder")?;
    let missed = folder.join("target/mutants.out/missed.txt");
    let missed = fs::read_to_string(&missed).with_context(|| missed.display().to_string())?;
    Ok(missed.lines().filter_map(|line| name_of(line, source)).collect())
}

/// `src/FILE:LINE:COLUMN: CHANGE` without the place, which moves with every edit.
fn name_of(line: &str, source: &str) -> Option<String> {
    let mut parts = line.strip_prefix(source)?.splitn(4, ':');
    let (file, _line, _column, change) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{file}: {}", change.trim()))
}

/// Fails for a survivor that nothing is known of; `all`: also for what is known and survives no more.
fn judge(survived: &BTreeSet<String>, known: &[Survivor], all: bool) -> Result<()> {
    let known: BTreeMap<String, &str> = known
        .iter()
        .map(|known| (format!("{}: {}", known.file, known.change), known.why.as_str()))
        .collect();
    let mut wrong: Vec<String> = survived
        .iter()
        .filter(|name| !known.contains_key(*name))
        .map(|name| format!("no test notices {name}"))
        .collect();
    let gone = known.keys().filter(|name| all && !survived.contains(*name));
    wrong.extend(
        gone.map(|name| format!("tests/mutants.toml: this is noticed, or is no more: {name}")),
    );
    if wrong.is_empty() {
        println!("{} changes survived, all for a reason", survived.len());
        return Ok(());
    }
    bail!("{}", wrong.join("\n"))
}

/// Makes the crate of the modules, below `target`.
fn make(root: &Path) -> Result<PathBuf> {
    let to = root.join("target/mutate");
    let source = to.join("src");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    fs::create_dir_all(&source)?;
    let mut lib =
        String::from("//! The modules of the program that `cargo xtask mutate` changes.\n");
    for module in MODULES {
        lib.push_str(&format!("pub mod {module};\n"));
        let from = root.join("host/src").join(module);
        if from.is_dir() {
            copy(&from, &source.join(module))?;
        } else {
            let name = format!("{module}.rs");
            fs::copy(root.join("host/src").join(&name), source.join(&name))?;
        }
    }
    fs::write(source.join("lib.rs"), lib)?;
    fs::copy(root.join("Cargo.lock"), to.join("Cargo.lock"))?;
    fs::write(to.join("Cargo.toml"), manifest(root)?)?;
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// The program's own manifest, with the workspace's versions and without what is heavy.
fn manifest(root: &Path) -> Result<String> {
    let read = |path: &str| -> Result<toml::Table> {
        let path = root.join(path);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        text.parse().with_context(|| path.display().to_string())
    };
    let (workspace, host) = (read("Cargo.toml")?, read("host/Cargo.toml")?);
    let versions = workspace.get("workspace").and_then(|all| all.get("dependencies"));
    let versions =
        versions.and_then(toml::Value::as_table).context("the workspace has versions")?;
    let of = |section: &str| -> Result<toml::Table> {
        let all = host.get(section).and_then(toml::Value::as_table).context("dependencies")?;
        let wanted = all.keys().filter(|name| !NOT_THEIRS.contains(&name.as_str()));
        wanted
            .map(|name| {
                let version =
                    versions.get(name).with_context(|| format!("no version of {name}"))?;
                Ok((name.clone(), version.clone()))
            })
            .collect()
    };
    let mut manifest: toml::Table = "[package]\nname = \"crypto-tracer\"\nversion = \"0.1.0\"\n\
        edition = \"2024\"\n[workspace]\n[profile.dev]\ndebug = false\n"
        .parse()?;
    for section in ["dependencies", "dev-dependencies"] {
        manifest.insert(section.to_owned(), of(section)?.into());
    }
    Ok(toml::to_string(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn survivor(change: &str) -> Survivor {
        let (file, why) = ("a.rs".to_owned(), "equivalent".to_owned());
        Survivor { file, change: change.to_owned(), why }
    }

    #[test]
    fn a_survivor_needs_a_reason_and_a_reason_a_survivor() {
        let name = name_of("src/a.rs:80:20: replace > with >= in <X::Y>::token", "src/").unwrap();
        assert_eq!(name, "a.rs: replace > with >= in <X::Y>::token");
        let survived = BTreeSet::from([name]);
        let known = [survivor("replace > with >= in <X::Y>::token")];
        judge(&survived, &known, true).unwrap();
        assert!(
            judge(&survived, &[], false).unwrap_err().to_string().contains("no test notices a.rs")
        );
        let more = [&known[..], &[survivor("gone")]].concat();
        judge(&survived, &more, false).unwrap();
        assert!(judge(&survived, &more, true).unwrap_err().to_string().contains("a.rs: gone"));
    }

    #[test]
    fn what_may_survive_is_told_with_a_reason_and_in_files_that_are_there() {
        let root = workspace();
        for known in known(&root).unwrap() {
            assert!(root.join("host/src").join(&known.file).exists(), "{known:?}");
        }
    }

    /// The modules that are taken need no others: the crate would not build.
    #[test]
    fn the_crate_has_what_it_needs() {
        let manifest = manifest(&workspace()).unwrap();
        for (name, there) in
            [("regex", true), ("insta", true), ("wasmtime", false), ("path =", false)]
        {
            assert_eq!(manifest.contains(name), there, "{manifest}");
        }
    }
}
