//! `inventory export`: an inventory in a format of others.

use super::input::{self, Run, invalid};
use crate::cli::{ExportFormat, InventoryExport};
use crate::commands::document::failed;
use crate::error::Failure;
use crypto_tracer_inventory::{CycloneDxVersion, csv, cyclonedx, read_inventory};
use crypto_tracer_output::{DocumentShape, document_json};

/// Writes the export.
pub(super) fn export(arguments: &InventoryExport) -> Result<(), Failure> {
    let run = Run::start()?;
    input::check(arguments.output.as_ref())?;
    let source = run.open(&arguments.file, arguments.output.as_deref())?;
    let inventory = read_inventory(&source).map_err(invalid)?;
    let Some(target) = run.target(arguments.output.as_ref())? else { return Ok(()) };
    let bom = |version| document_json(&cyclonedx(&inventory, version), DocumentShape::Pretty);
    let bytes = match arguments.format {
        ExportFormat::CycloneDx16 => bom(CycloneDxVersion::V1_6),
        ExportFormat::CycloneDx17 => bom(CycloneDxVersion::V1_7),
        ExportFormat::Csv => Ok(csv(&inventory).into_bytes()),
    };
    target.write(&bytes.map_err(failed)?, &run.shutdown).map_err(failed)
}
