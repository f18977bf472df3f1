//! `monitor`, `files`, `libs`: what happens, as a stream.

use super::trace::{self, Run};
use crate::cli::{self, Trace};
use crate::error::Failure;
use crate::reader::Nursery;
use crate::say::Say;
use crate::select::Kinds;

const NONE: Kinds = Kinds { open: false, load: false, exec: false, exit: false };

/// All event types. Runs until Ctrl+C, the duration's end, or the output's.
pub(super) fn monitor(arguments: &cli::Monitor, nursery: Nursery, say: Say) -> Result<(), Failure> {
    let cli::Monitor { trace, capture, print, plugins } = arguments;
    stream(Kinds::ALL, trace, capture, print, plugins, (nursery, say))
}

/// Opened files. Runs as long as [`monitor`].
pub(super) fn files(
    arguments: &cli::FilesCommand,
    nursery: Nursery,
    say: Say,
) -> Result<(), Failure> {
    let cli::FilesCommand { processes, files, capture, print, plugins } = arguments;
    let kinds = Kinds { open: true, ..NONE };
    let trace = &Trace { processes: processes.clone(), files: files.clone(), ..Trace::default() };
    stream(kinds, trace, capture, print, plugins, (nursery, say))
}

/// Loaded libraries. Runs as long as [`monitor`].
pub(super) fn libs(
    arguments: &cli::LibsCommand,
    nursery: Nursery,
    say: Say,
) -> Result<(), Failure> {
    let cli::LibsCommand { processes, libraries, capture, print, plugins } = arguments;
    let kinds = Kinds { load: true, ..NONE };
    let trace =
        &Trace { processes: processes.clone(), libraries: libraries.clone(), ..Trace::default() };
    stream(kinds, trace, capture, print, plugins, (nursery, say))
}

fn stream(
    kinds: Kinds,
    trace: &Trace,
    capture: &cli::Capture,
    print: &cli::Print,
    plugins: &cli::PluginArgs,
    (nursery, say): (Nursery, Say),
) -> Result<(), Failure> {
    let output = print.output.as_deref();
    let names_in_kernel = true;
    let run = Run { kinds, trace, plugins, capture, output, names_in_kernel, say };
    trace::stream(&run, nursery, print)
}
