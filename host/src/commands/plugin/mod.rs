//! The `plugin` commands for authors. They need no privileges and trace nothing; engine and limits are those of a run.

mod bench;
mod cases;
mod check;
mod edge_inputs;
mod event;
mod file_facts;
mod head;
mod list;
mod new;
mod new_c;
mod query;
mod report;
mod standalone;
mod test;

use crate::cli::plugin::{PluginAction, PluginCommand};
use crate::error::Failure;
use crypto_tracer_system::console::Console;

/// Runs a `plugin` command.
pub fn plugin(arguments: &PluginCommand, console: Console) -> Result<(), Failure> {
    match &arguments.command {
        PluginAction::Check(arguments) => check::check(arguments, console),
        PluginAction::List(arguments) => list::list(arguments, console),
        PluginAction::New(arguments) => new::new(arguments),
        PluginAction::Test(arguments) => test::test(arguments, console),
        PluginAction::Bench(arguments) => bench::bench(arguments, console),
        PluginAction::Head(arguments) => head::head(arguments, console),
        PluginAction::Contract => new::contract(),
    }
}

/// Parses cases, for [`crate::fuzzing`].
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz_cases(bytes: &[u8], path: &std::path::Path) -> anyhow::Result<usize> {
    Ok(cases::parse(bytes, path, &serde_json::Map::new())?.len())
}
