//! The commands. Each file has one command, or several similar ones.

mod capture;
mod doctor;
mod document;
mod help;
mod inventory;
mod inventory_file;
mod monitor;
mod output_conflict;
mod output_opener;
pub mod plugin;
mod preflight;
mod process_walk;
mod profile;
mod record;
mod replay;
mod report;
mod run_request;
mod session;
mod setup;
mod snapshot;
mod start_times;

use anyhow::Context;

use crate::cli::{Cli, Command};
use crate::error::{ExitStatus, Failure};
use crypto_tracer_reader::Spawner;
use crypto_tracer_system::{confine, seccomp};

/// Runs the command. Must be called before any thread is started.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let console = cli.verbosity.console();
    if needs_no_privileges(&cli.command) {
        // Before any file is opened: with file capabilities, an unprivileged user could read root's files otherwise.
        confine::drop_to_invoker().context("cannot drop privileges").map_err(failed)?;
    } else {
        confine::set_private_umask();
        seccomp::report_refusals().context("cannot allocate memory").map_err(failed)?;
    }
    match &cli.command {
        Command::Monitor(arguments) => monitor::monitor(arguments, spawner()?, console),
        Command::Files(arguments) => monitor::files(arguments, spawner()?, console),
        Command::Libs(arguments) => monitor::libs(arguments, spawner()?, console),
        Command::Replay(arguments) => replay::replay(arguments, console),
        Command::Profile(arguments) => profile::profile(arguments, spawner()?, console),
        Command::Snapshot(arguments) => snapshot::snapshot(arguments, spawner()?, console),
        Command::Inventory(arguments) => inventory::inventory(arguments, spawner, console),
        Command::Report(arguments) => report::report(arguments),
        Command::Doctor(arguments) => doctor::doctor(arguments, console),
        Command::Plugin(arguments) => plugin::plugin(arguments, console),
        Command::Completions(arguments) => help::completions(arguments),
        Command::Help(arguments) => help::help(arguments),
        Command::Version => help::version(),
    }
}

/// Returns whether the command runs without privileges.
fn needs_no_privileges(command: &Command) -> bool {
    match command {
        Command::Inventory(arguments) => inventory::needs_no_privileges(arguments),
        Command::Report(_)
        | Command::Replay(_)
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

fn spawner() -> Result<Spawner, Failure> {
    Spawner::fork().context("cannot start the reader").map_err(failed)
}

fn failed(error: anyhow::Error) -> Failure {
    Failure { code: ExitStatus::Failed, error }
}

/// Prints the help or the version that the arguments request.
pub fn print_help_or_version(request: &clap::Error) -> Result<(), Failure> {
    help::print_help_or_version(request)
}
