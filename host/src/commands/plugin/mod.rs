//! `plugin`: an author's workbench. Without privileges and without tracing, by the engine and limits of the tracer.

mod args;
mod check;
mod list;
mod page;

pub use args::Arguments;

use crate::error::Failure;
use crate::say::Say;
use args::Command;

/// Does what was asked for.
pub fn plugin(arguments: &Arguments, say: Say) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check(arguments) => check::check(arguments, say),
        Command::List(arguments) => list::list(arguments, say),
    }
}
