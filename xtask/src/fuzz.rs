//! `cargo xtask fuzz`: runs each target of `fuzz`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::run::{capture, cargo_home, find_program, run};

/// Maximum memory of a target in MiB. No parser needs a quarter of it.
const MEMORY_MIB: u32 = 1024;
/// Maximum time for one input in seconds.
const INPUT_SECONDS: u32 = 10;

/// Options of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzOptions {
    /// Seconds for each target
    #[arg(long, default_value = "60")]
    seconds: u32,
    /// Only these targets
    targets: Vec<String>,
}

/// Builds all targets, then runs each with its corpus. Without a nightly toolchain it prints a message and does nothing.
pub(crate) fn run_all(root: &Path, options: &FuzzOptions) -> Result<()> {
    let Some(nightly) = nightly() else {
        println!("skipped: fuzzing needs a nightly toolchain: rustup toolchain install nightly");
        return Ok(());
    };
    if find_program("cargo-fuzz").is_none() {
        run(Command::new("cargo").args(["install", "--locked", "cargo-fuzz"]))?;
    }
    let cargo = || {
        let mut command = Command::new("cargo");
        command.arg(&nightly).arg("fuzz").current_dir(root);
        // Variables of the cargo that runs this program would select its toolchain.
        for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC"] {
            command.env_remove(name);
        }
        let bin = cargo_home().join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(bin).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(paths) {
            command.env("PATH", path);
        }
        command
    };
    let known: Vec<String> =
        capture(cargo().arg("list"))?.lines().map(|line| line.trim().to_owned()).collect();
    for target in &options.targets {
        ensure!(known.contains(target), "there is no target {target}; targets: {known:?}");
    }
    run(cargo().args(["build", "--sanitizer", "none"]))?;
    let targets = if options.targets.is_empty() { &known } else { &options.targets };
    for target in targets {
        // New inputs go to a folder that is not committed.
        let found = root.join("fuzz/target/corpus").join(target);
        std::fs::create_dir_all(&found)?;
        let mut command = cargo();
        command.args(["run", "--sanitizer", "none", target]).arg(found);
        command.arg(root.join("fuzz/corpus").join(target)).arg("--");
        command.arg(format!("-max_total_time={}", options.seconds));
        command.args([format!("-rss_limit_mb={MEMORY_MIB}"), format!("-timeout={INPUT_SECONDS}")]);
        command.args(["-print_final_stats=1", "-verbosity=0"]);
        run(&mut command).with_context(|| format!("the fuzzer found a fault in {target}"))?;
    }
    println!("{} targets, {} s each: no fault", targets.len(), options.seconds);
    Ok(())
}

/// The argument that selects the nightly toolchain.
fn nightly() -> Option<String> {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "rustc", "--version"]).stdout(Stdio::null());
    let found = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    found.then(|| "+nightly".to_owned())
}
