//! `inventory diff`: what was used, compared with what is known.

use anyhow::anyhow;

use super::input::{self, Run, invalid};
use crate::cli::InventoryDiff;
use crate::commands::document;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::counted::counted;
use crypto_tracer_inventory::{Known, read_inventory};

/// Prints the comparison. Something that is used and not known is a failure.
pub(super) fn diff(arguments: &InventoryDiff) -> Result<(), Failure> {
    let run = Run::start()?;
    input::check(arguments.print.output.as_ref())?;
    let output = arguments.print.output.as_deref();
    let known = run.open(&arguments.known, output)?;
    let source = run.open(&arguments.file, output)?;
    let known = Known::read(&known).map_err(invalid)?;
    let inventory = read_inventory(&source).map_err(invalid)?;
    let Some(target) = run.target(arguments.print.output.as_ref())? else { return Ok(()) };
    let diff = crypto_tracer_inventory::diff(&known, source.name(), &inventory);
    document::print(&diff, &arguments.print, target, &run.shutdown)?;
    if diff.all_known() {
        return Ok(());
    }
    let count = counted(diff.used_but_not_known.len(), "used asset");
    let verb = if diff.used_but_not_known.len() == 1 { "is" } else { "are" };
    let known = arguments.known.display();
    Err(Failure { code: ExitStatus::Failed, error: anyhow!("{count} {verb} not in {known}") })
}
