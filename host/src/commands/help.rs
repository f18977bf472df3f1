//! `help`, `version` and `completions`.

use std::ffi::OsString;
use std::io::{self, Write};

use anyhow::anyhow;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::{self, Cli};
use crate::error::{ExitStatus, Failure};
use crypto_tracer_system::stdout_closed::check_standard_output;

/// Prints the same as `COMMAND --help`.
pub(super) fn help(arguments: &cli::Help) -> Result<(), Failure> {
    let cli = Cli::command();
    let usage = |message: String| Failure::new(ExitStatus::Usage, anyhow!(message));
    let mut command = &cli;
    for word in &arguments.words {
        let Some(found) = command.find_subcommand(word) else {
            if command.has_subcommands() {
                break;
            }
            let word = word.to_string_lossy();
            return Err(usage(format!("{} has no command '{word}'", command.get_name())));
        };
        command = found;
    }
    let [program, help] = ["crypto-tracer", "--help"].map(OsString::from);
    let words: Vec<OsString> =
        [program].into_iter().chain(arguments.words.iter().cloned()).chain([help]).collect();
    match Cli::command().try_get_matches_from(&words) {
        Err(help) if !help.use_stderr() => print_help_or_version(&help),
        Err(error) => Err(usage(cli::usage_error(&error, &words))),
        // `--help` always returns an error.
        Ok(_) => Ok(()),
    }
}

/// Prints the help or the version that clap returned as an error.
pub(super) fn print_help_or_version(request: &clap::Error) -> Result<(), Failure> {
    if request.kind() == ErrorKind::DisplayVersion {
        return version();
    }
    check_printed(check_standard_output())?;
    check_printed(request.print())
}

/// Prints the name and the version.
pub(super) fn version() -> Result<(), Failure> {
    print(Cli::command().render_version().as_bytes())
}

/// Prints the completion script for a shell.
pub(super) fn completions(arguments: &cli::Completions) -> Result<(), Failure> {
    let mut command = with_operands_of_help(Cli::command());
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, &name, &mut script);
    if arguments.shell == Shell::Bash {
        script = with_unified_names(&String::from_utf8_lossy(&script), &name).into_bytes();
    }
    print(&script)
}

/// Adds the operands of `help` to the completions: the names of all commands, as subcommands of `help`.
fn with_operands_of_help(command: Command) -> Command {
    fn name(command: &Command) -> Command {
        let about = command.get_about().cloned().unwrap_or_default();
        let named = Command::new(command.get_name().to_owned()).about(about);
        named.disable_help_flag(true).disable_version_flag(true).subcommands(names(command))
    }
    fn names(command: &Command) -> Vec<Command> {
        command.get_subcommands().map(name).collect()
    }
    let words = names(&command);
    command.mut_subcommand("help", |help| help.subcommands(words))
}

/// Corrects the script for bash. clap_complete writes a program name with a hyphen in two ways, and then the script finds
/// no command.
fn with_unified_names(script: &str, program: &str) -> String {
    script.replace(&program.replace('-', "__subcmd__"), &program.replace('-', "__"))
}

/// Prints text to standard output.
pub(super) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    check_printed(check_standard_output())?;
    check_printed(out.write_all(text).and_then(|()| out.flush()))
}

/// Ignores the error of a pipe that its reader has closed.
fn check_printed(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(error).context("cannot write to standard output");
            Err(Failure { code: ExitStatus::Failed, error })
        }
        _ => Ok(()),
    }
}
