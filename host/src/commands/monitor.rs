//! `monitor`: all event types, as a stream.

use super::trace::{self, Run};
use crate::cli;
use crate::error::Failure;
use crate::select::Kinds;

/// Runs until Ctrl+C, the duration's end, or the output's.
pub fn monitor(arguments: &cli::Monitor) -> Result<(), Failure> {
    trace::stream(&Run {
        kinds: Kinds::ALL,
        trace: &arguments.trace,
        print: &arguments.print,
        plugins: &arguments.plugins,
        record: arguments.record.as_deref(),
        say: arguments.loudness.say(),
    })
}
