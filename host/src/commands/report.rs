//! `report`: an inventory as one HTML page.

use super::document::failed;
use super::inventory::input::{self, Run, invalid};
use crate::cli::ReportArgs;
use crate::error::Failure;
use crypto_tracer_inventory::{Known, read_inventory};

/// Writes the page.
pub(super) fn report(arguments: &ReportArgs) -> Result<(), Failure> {
    let run = Run::start()?;
    input::check(arguments.output.as_ref())?;
    let output = arguments.output.as_deref();
    let source = run.open(&arguments.file, output)?;
    let inventory = read_inventory(&source).map_err(invalid)?;
    let known = match &arguments.diff {
        Some(path) => Some(Known::read(&run.open(path, output)?).map_err(invalid)?),
        None => None,
    };
    let diff = known.map(|known| crypto_tracer_inventory::diff(&known, source.name(), &inventory));
    let Some(target) = run.target(arguments.output.as_ref())? else { return Ok(()) };
    let page = crypto_tracer_inventory::report(&inventory, diff.as_ref());
    target.write(page.as_bytes(), &run.shutdown).map_err(failed)
}
