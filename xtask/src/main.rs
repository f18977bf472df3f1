//! Build, check and benchmark tasks. `cargo xtask --help` lists them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a terminal tool: its result is what it prints"
)]

mod artifacts;
mod bench;
mod call_loop;
mod docs;
mod empty_consumer;
mod fuzz;
mod instructions;
mod napper;
mod plugins;
mod reference;
mod release;
mod run;
mod soak;
mod vm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, check and benchmark tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Rebuild artifacts/ from source, or verify that it matches the sources.
    Artifacts(artifacts::ArtifactsOptions),
    /// Run clippy on the crates that only build for BPF or WebAssembly.
    Lint,
    /// Write the JSON Schemas and the man pages, or verify that they match the program.
    Docs(docs::DocsOptions),
    /// Measure the overhead and the throughput of the tracer. Needs root.
    Bench(bench::BenchOptions),
    /// Count the instructions and helper calls of the BPF programs.
    Instructions,
    /// Run the capture tests on other kernels, under QEMU.
    Vm(vm::VmOptions),
    /// Build the plugin template and the example plugins with the tools of plugin authors, and test them.
    Plugins(plugins::PluginsOptions),
    /// Generate the reference of the plugin contract and the bindings of the SDK from its WIT, or verify that they are up to date.
    Reference(reference::ReferenceOptions),
    /// Run the fuzz targets, with a nightly toolchain.
    Fuzz(fuzz::FuzzOptions),
    /// Build the program as it is published, with its SBOM, and prove that the build can be reproduced.
    Release(release::ReleaseOptions),
    /// Run the tracer under mixed load for a long time. Needs root.
    Soak(soak::SoakOptions),
    /// Repeat a system call, for the benchmark.
    #[command(hide = true)]
    CallLoop(call_loop::CallLoopOptions),
    /// Sleep again and again, for the benchmark.
    #[command(hide = true)]
    Napper(napper::NapperOptions),
    /// Drain the kernel side and do nothing else, for the benchmark.
    #[command(hide = true)]
    EmptyConsumer,
}

fn main() -> ExitCode {
    let done = match Xtask::parse().command {
        Job::Artifacts(options) => artifacts::run(&workspace(), &options),
        Job::Lint => artifacts::lint::run(&workspace()),
        Job::Docs(options) => docs::run(&workspace(), &options),
        Job::Bench(options) => bench::run(&workspace(), &options),
        Job::Instructions => instructions::run(&workspace()),
        Job::Vm(options) => vm::run(&workspace(), &options),
        Job::Plugins(options) => plugins::run_all(&workspace(), &options),
        Job::Reference(options) => reference::run(&workspace(), &options),
        Job::Fuzz(options) => fuzz::run_all(&workspace(), &options),
        Job::Release(options) => release::run_all(&workspace(), &options),
        Job::Soak(options) => soak::run(&workspace(), &options),
        Job::CallLoop(options) => call_loop::run(&options),
        Job::Napper(options) => napper::run(&options),
        Job::EmptyConsumer => empty_consumer::run(),
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
/// Cargo sets the path of the running crate. The path from compile time is wrong if the target directory was copied from
/// another workspace.
fn workspace() -> PathBuf {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    crate_dir.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
