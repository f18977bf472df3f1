//! `help`, `version`, `completions`: text that is there without a run.

use std::ffi::OsString;
use std::io::{self, Write};

use anyhow::anyhow;
use clap::CommandFactory;

use crate::cli::{self, Cli};
use crate::closed::check_standard_output;
use crate::error::{Code, Failure};

/// The same as `COMMAND --help`.
pub(super) fn help(arguments: &cli::Help) -> Result<(), Failure> {
    let mut command = Cli::command();
    let mut found = &mut command;
    for word in &arguments.words {
        let word = word.to_string_lossy();
        let names: Vec<String> =
            found.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        found = found.find_subcommand_mut(&*word).ok_or_else(|| {
            let right = match names.as_slice() {
                [] => "it has none".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            Failure::new(Code::Usage, anyhow!("there is no command '{word}'; {right}"))
        })?;
    }
    let [program, help] = ["crypto-tracer", "--help"].map(OsString::from);
    let words = [program].into_iter().chain(arguments.words.iter().cloned()).chain([help]);
    match Cli::command().try_get_matches_from(words) {
        Err(help) if !help.use_stderr() => asked(&help),
        // Each word is a command, so there is nothing to complain of.
        _ => Ok(()),
    }
}

/// What clap has to say when it was asked for.
pub(super) fn asked(help: &clap::Error) -> Result<(), Failure> {
    printed(check_standard_output())?;
    printed(help.print())
}

/// Name and version.
pub(super) fn version() -> Result<(), Failure> {
    print(Cli::command().render_version().as_bytes())
}

/// A script for a shell.
pub(super) fn completions(arguments: &cli::Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "crypto-tracer", &mut script);
    print(&script)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(check_standard_output())?;
    printed(out.write_all(text).and_then(|()| out.flush()))
}

/// A reader that closed the pipe has seen enough.
fn printed(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(error).context("cannot write to standard output");
            Err(Failure { code: Code::Failed, error })
        }
        _ => Ok(()),
    }
}
