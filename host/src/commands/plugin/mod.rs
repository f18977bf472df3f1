//! `plugin`: an author's workbench. Without privileges and without tracing, by the engine and limits of the tracer.

mod alone;
mod args;
mod bench;
mod cases;
mod check;
mod event;
mod list;
mod new;
mod odd;
mod page;
mod question;
mod test;

pub use args::Arguments;

use crate::error::Failure;
use crate::say::Say;
use args::Command;

/// Does what was asked for.
pub fn plugin(arguments: &Arguments, say: Say) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check(arguments) => check::check(arguments, say),
        Command::List(arguments) => list::list(arguments, say),
        Command::New(arguments) => new::new(arguments),
        Command::Test(arguments) => test::test(arguments, say),
        Command::Bench(arguments) => bench::bench(arguments, say),
    }
}
