//! Arguments → command → exit code.

use std::process::ExitCode;

use clap::Parser;
use crypto_tracer::cli::{self, Cli};
use crypto_tracer::commands;
use crypto_tracer::error::{Code, Failure};
use crypto_tracer::printable::printable;
use crypto_tracer::say::{Loudness, Say};
use crypto_tracer::stats::Usage;

fn main() -> ExitCode {
    Usage::begin();
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
            Say(Loudness::Quiet).error(printable(&format!("{:#}", failure.error)));
            failure.code.into()
        }
    }
}

/// Help and version are asked for; the rest is an error on two lines.
fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return ended(commands::asked(error));
    }
    let say = Say(Loudness::Quiet);
    say.error(cli::compact(error));
    say.error(cli::try_help(std::env::args_os()));
    Code::Usage.into()
}
