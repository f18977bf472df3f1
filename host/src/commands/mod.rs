//! One file a command, or a few that do the same.

mod before;
mod doctor;
mod document;
mod line;
mod monitor;
pub mod plugin;
mod profile;
mod replay;
mod same;
mod snapshot;
mod text;
mod trace;

use crate::cli::{Cli, Command};
use crate::error::Failure;

/// Does what the command line says.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let say = cli.loudness.say();
    match &cli.command {
        Command::Monitor(arguments) => monitor::monitor(arguments, say),
        Command::Files(arguments) => monitor::files(arguments, say),
        Command::Libs(arguments) => monitor::libs(arguments, say),
        Command::Replay(arguments) => replay::replay(arguments, say),
        Command::Profile(arguments) => profile::profile(arguments, say),
        Command::Snapshot(arguments) => snapshot::snapshot(arguments, say),
        Command::Doctor(arguments) => doctor::doctor(arguments, say),
        Command::Plugin(arguments) => plugin::plugin(arguments, say),
        Command::Completions(arguments) => text::completions(arguments),
        Command::Help(arguments) => text::help(arguments),
        Command::Version => text::version(),
    }
}

/// Prints the help or the version that an option asked for.
pub fn asked(help: &clap::Error) -> Result<(), Failure> {
    text::asked(help)
}
