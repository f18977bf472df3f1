//! `inventory`: which programs used which crypto libraries and files.

mod diff;
mod export;
pub(super) mod input;
mod merge;

use crate::cli::{InventoryAction, InventoryCommand};
use crate::error::Failure;
use crypto_tracer_system::console::Console;

/// Runs the subcommand.
pub(super) fn inventory(arguments: &InventoryCommand, console: Console) -> Result<(), Failure> {
    match &arguments.command {
        InventoryAction::Merge(arguments) => merge::merge(arguments, console),
        InventoryAction::Diff(arguments) => diff::diff(arguments),
        InventoryAction::Export(arguments) => export::export(arguments),
    }
}
