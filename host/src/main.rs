//! Arguments → command → exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use crypto_tracer::cli::{self, Cli};
use crypto_tracer::commands;
use crypto_tracer::error::{ExitStatus, Failure};
use crypto_tracer_event::printable::printable;
use crypto_tracer_system::console::{Console, Verbosity};
use crypto_tracer_system::usage::ResourceUsage;

fn main() -> ExitCode {
    ResourceUsage::begin();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    ended(commands::run(&cli))
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Console(Verbosity::Quiet).error(printable(&format!("{:#}", failure.error)));
            failure.code.into()
        }
    }
}

/// Help and version are asked for; the rest is an error on two lines.
fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return ended(commands::asked(error));
    }
    let console = Console(Verbosity::Quiet);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    console.error(cli::usage_error(error, &arguments));
    console.error(cli::help_hint(&arguments));
    ExitStatus::Usage.into()
}
