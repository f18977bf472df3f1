//! Functions for commands that print one document.

use anyhow::Context;

use super::setup;
use crate::cli::{DocumentFormat, DocumentOutput};
use crate::error::{ExitStatus, Failure};
use crypto_tracer_output::document::Document;
use crypto_tracer_output::{DocumentShape, DocumentTarget, NewFile, Target, document_json as json};
use crypto_tracer_system::shutdown::Shutdown;

/// Checks whether the output can be opened later, without creating it.
pub(super) fn check(print: &DocumentOutput) -> Result<(), Failure> {
    let Some(path) = &print.output else { return Ok(()) };
    setup::open_as_caller(|| Target::check(path)).map_err(failed)
}

/// Opens the target of the document. Returns `None` if a shutdown is requested while a FIFO has no reader.
pub(super) fn target(
    print: &DocumentOutput,
    new: NewFile,
    shutdown: &Shutdown,
) -> Result<Option<DocumentTarget>, Failure> {
    match &print.output {
        Some(path) => {
            setup::open_as_caller(|| DocumentTarget::open(path, new, shutdown)).map_err(failed)
        }
        None => {
            let target = DocumentTarget::standard_output().map(Some);
            target.context("cannot use standard output").map_err(failed)
        }
    }
}

/// Writes the document in the format of the arguments.
pub(super) fn print(
    document: &impl Document,
    print: &DocumentOutput,
    target: DocumentTarget,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let bytes = match print.format {
        DocumentFormat::JsonPretty => json(document, DocumentShape::Pretty),
        DocumentFormat::JsonStream => json(document, DocumentShape::Line),
        DocumentFormat::JsonArray => json(document, DocumentShape::Array),
        DocumentFormat::Summary => Ok(document.summary().into_bytes()),
    };
    target.write(&bytes.map_err(failed)?, shutdown).map_err(failed)
}

pub(super) fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(ExitStatus::Failed, error)
}
