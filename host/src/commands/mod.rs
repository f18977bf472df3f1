//! One file a command, or a few that do the same.

mod before;
mod doctor;
mod document;
mod line;
mod looking;
mod monitor;
pub mod plugin;
mod profile;
mod replay;
mod same;
mod snapshot;
mod text;
mod trace;

use anyhow::Context;

use crate::cli::{Cli, Command};
use crate::confine;
use crate::error::{Code, Failure};
use crate::reader::Nursery;

/// Does what the command line says. To be called before there is any other thread.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let say = cli.loudness.say();
    if needs_no_privileges(&cli.command) {
        // Before any file is opened: else everybody could read root's through this program.
        confine::as_who_started_it().context("cannot drop privileges").map_err(failed)?;
    }
    match &cli.command {
        Command::Monitor(arguments) => monitor::monitor(arguments, nursery()?, say),
        Command::Files(arguments) => monitor::files(arguments, nursery()?, say),
        Command::Libs(arguments) => monitor::libs(arguments, nursery()?, say),
        Command::Replay(arguments) => replay::replay(arguments, say),
        Command::Profile(arguments) => profile::profile(arguments, nursery()?, say),
        Command::Snapshot(arguments) => snapshot::snapshot(arguments, nursery()?, say),
        Command::Doctor(arguments) => doctor::doctor(arguments, say),
        Command::Plugin(arguments) => plugin::plugin(arguments, say),
        Command::Completions(arguments) => text::completions(arguments),
        Command::Help(arguments) => text::help(arguments),
        Command::Version => text::version(),
    }
}

/// A new command has to be put on one side.
fn needs_no_privileges(command: &Command) -> bool {
    match command {
        Command::Replay(_)
        | Command::Plugin(_)
        | Command::Completions(_)
        | Command::Help(_)
        | Command::Version => true,
        Command::Monitor(_)
        | Command::Files(_)
        | Command::Libs(_)
        | Command::Profile(_)
        | Command::Snapshot(_)
        | Command::Doctor(_) => false,
    }
}

fn nursery() -> Result<Nursery, Failure> {
    Nursery::fork().context("cannot start the reader").map_err(failed)
}

fn failed(error: anyhow::Error) -> Failure {
    Failure { code: Code::Failed, error }
}

/// Prints the help or the version that an option asked for.
pub fn asked(help: &clap::Error) -> Result<(), Failure> {
    text::asked(help)
}
