//! Parses the arguments, runs the command and returns the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use crypto_tracer::cli::{self, Cli};
use crypto_tracer::commands;
use crypto_tracer::error::{ExitStatus, Failure};
use crypto_tracer_system::confine;
use crypto_tracer_system::console::{Console, Verbosity};
use crypto_tracer_system::signals;
use crypto_tracer_system::usage::ResourceUsage;

fn main() -> ExitCode {
    ResourceUsage::begin();
    if let Err(error) = confine::forbid_inspection() {
        Console(Verbosity::Quiet).error(format_args!("cannot forbid core dumps: {error}"));
        return ExitStatus::Failed.into();
    }
    signals::ignore_file_size_signal();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    exit_code(commands::run(&cli))
}

fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Console(Verbosity::Quiet).error(format_args!("{:#}", failure.error));
            failure.code.into()
        }
    }
}

/// Prints the help or the version to standard output, or a usage error and a hint to standard error.
fn not_parsed(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return exit_code(commands::print_help_or_version(error));
    }
    let console = Console(Verbosity::Quiet);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    console.error(cli::usage_error(error, &arguments));
    console.error(cli::help_hint(&arguments));
    ExitStatus::Usage.into()
}
