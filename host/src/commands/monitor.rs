//! `monitor`: all event types, as a stream.

use super::trace;
use crate::cli;
use crate::error::Failure;
use crate::select::Kinds;

/// Runs until Ctrl+C, the duration's end, or the output's.
pub fn monitor(arguments: &cli::Monitor) -> Result<(), Failure> {
    trace::stream(
        Kinds::ALL,
        &arguments.trace,
        &arguments.print,
        &arguments.plugins,
        arguments.loudness.say(),
    )
}
