//! `inventory merge`: one inventory of several.

use super::input::{self, Run, invalid};
use crate::cli::{DocumentFormat, InventoryMerge};
use crate::commands::document::failed;
use crate::error::Failure;
use crypto_tracer_inventory::{MergeError, MergeReport, Sink, TargetSink};
use crypto_tracer_output::{DocumentShape, WriteError};
use crypto_tracer_system::console::Console;

/// Discards the document: only its summary is printed.
struct Discarded;

impl Sink for Discarded {
    fn write(&mut self, _: &[u8]) -> Result<(), WriteError> {
        Ok(())
    }
}

/// Merges the documents piece by piece.
pub(super) fn merge(arguments: &InventoryMerge, console: Console) -> Result<(), Failure> {
    let run = Run::start()?;
    input::check(arguments.print.output.as_ref())?;
    let output = arguments.print.output.as_deref();
    let sources: Result<Vec<_>, Failure> =
        arguments.files.iter().map(|path| run.open(path, output)).collect();
    let sources = sources?;
    let Some(target) = run.target(arguments.print.output.as_ref())? else { return Ok(()) };
    let shape = match arguments.print.format {
        DocumentFormat::JsonPretty | DocumentFormat::Summary => DocumentShape::Pretty,
        DocumentFormat::JsonStream => DocumentShape::Line,
        DocumentFormat::JsonArray => DocumentShape::Array,
    };
    let merged = if arguments.print.format == DocumentFormat::Summary {
        crypto_tracer_inventory::merge(&sources, &mut Discarded, shape)
    } else {
        let mut sink = TargetSink { target: &target, shutdown: &run.shutdown };
        crypto_tracer_inventory::merge(&sources, &mut sink, shape)
    };
    let report = merged.map_err(|error| match error {
        MergeError::Input(error) => invalid(error),
        error => failed(error),
    })?;
    let MergeReport { notes, .. } = &report;
    for note in notes {
        console.info(format_args!("note: {note}"));
    }
    if arguments.print.format == DocumentFormat::Summary {
        target
            .write_part(format!("{}\n", report.summary()).as_bytes(), &run.shutdown)
            .map_err(failed)?;
    } else {
        console.info(report.summary());
    }
    target.complete().map_err(failed)
}
