//! Builds, checks and measures what plain cargo cannot. `cargo xtask --help` lists it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal: what it prints is its result"
)]

mod artifacts;
mod bench;
mod docs;
mod opener;
mod plugins;
mod reference;
mod run;
mod vm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, checks and measures what plain cargo cannot.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Rebuild artifacts/ from source, or prove that it belongs to the sources.
    Artifacts(artifacts::Options),
    /// Run clippy over what builds for its own target only: the BPF programs and the plugins.
    Lint,
    /// Write the JSON Schemas and the man pages, or prove that they are what the program says.
    Docs(docs::Options),
    /// Measure what the tracer costs and what it can take. Needs root.
    Bench(bench::Options),
    /// Run the capture tests on other kernels, under QEMU.
    Vm(vm::Options),
    /// Build the plugin template and the example plugins as their authors do, and test them.
    Plugins(plugins::Options),
    /// Make the plugin contract's reference of its WIT, or prove that it belongs to it.
    Reference(reference::Options),
    /// Make system calls in a loop, for the benchmark.
    #[command(hide = true)]
    Opener(opener::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Artifacts(options) => artifacts::run(&workspace(), &options),
        Command::Lint => artifacts::lint::run(&workspace()),
        Command::Docs(options) => docs::run(&workspace(), &options),
        Command::Bench(options) => bench::run(&workspace(), &options),
        Command::Vm(options) => vm::run(&workspace(), &options),
        Command::Plugins(options) => plugins::run_all(&workspace(), &options),
        Command::Reference(options) => reference::run(&workspace(), &options),
        Command::Opener(options) => opener::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
///
/// Cargo says where the crate is that it runs; the path known while compiling is another one's where a target
/// directory was copied.
fn workspace() -> PathBuf {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    crate_dir.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
