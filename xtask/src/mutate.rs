//! `cargo xtask mutate`: changes the code in small ways, and names the changes that no test notices.
//!
//! Of what decides and prints only: select, what redaction goes through, output, documents. It takes hours, so it is not
//! in `.ci/run`. Only unit tests judge: those of the whole program take minutes. A change that survives is either nobody's
//! business, or lacks a test.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::run::{capture, cargo, find_program, run as run_command};

/// The version that is installed where there is none.
const VERSION: &str = "27.1.0";

/// What is changed.
const FILES: [&str; 6] = [
    "host/src/select/**/*.rs",
    "host/src/event/redacted.rs",
    "host/src/event/text.rs",
    "host/src/plugin/redactor.rs",
    "host/src/output/**/*.rs",
    "host/src/document/**/*.rs",
];

/// What a plain `cargo test` builds: with fewer packages cargo would choose other features for the crates that they share,
/// and compile wasmtime once more.
const TOGETHER: [&str; 5] =
    ["crypto-tracer-common", "classify-default", "redact-default", "crypto-tracer-tests", "xtask"];

/// Seconds after which a test that a change made endless is ended.
const TIMEOUT: &str = "120";

/// Options of `mutate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only files that match this glob, instead of all that are worth it
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Only changes whose name matches this regular expression
    #[arg(long, value_name = "REGEX")]
    re: Option<String>,
    /// List the changes, test none
    #[arg(long)]
    list: bool,
}

/// Carries out the command.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    if find_program("cargo-mutants").is_none() {
        let install = ["install", "cargo-mutants", "--locked", "--version", VERSION];
        run_command(Command::new(cargo()).args(install))?;
    }
    let mut mutants = Command::new(cargo());
    mutants.current_dir(root).args(["mutants", "--package", "crypto-tracer"]);
    // In a copy everything would be compiled anew; in a target folder that copies share, what they left would pass for ours.
    mutants.args(["--in-place", "--timeout", TIMEOUT, "--output", "target", "--cargo-arg=--lib"]);
    for package in TOGETHER {
        mutants.arg(format!("--cargo-arg=--package={package}"));
    }
    let files: Vec<&str> = options.file.iter().map(String::as_str).collect();
    for file in if files.is_empty() { &FILES[..] } else { &files } {
        mutants.args(["--file", file]);
    }
    if let Some(re) = &options.re {
        mutants.args(["--re", re]);
    }
    if options.list {
        return run_command(mutants.arg("--list"));
    }
    let changed = capture(Command::new("git").current_dir(root).args(["status", "--porcelain"]))?;
    ensure!(changed.is_empty(), "commit first: the sources are changed in place, and put back");
    run_command(&mut mutants)
}
