//! `monitor`, `files` and `libs`: print events as a stream.

use super::run_request::RunRequest;
use super::{inventory_file, session};
use crate::cli::{self, Trace};
use crate::error::Failure;
use crypto_tracer_event::EventKinds;
use crypto_tracer_output::document::KnownUses;
use crypto_tracer_pipeline::Redaction;
use crypto_tracer_reader::Spawner;
use crypto_tracer_system::console::Console;

/// Prints all event types. Runs until a signal, the end of the duration, or the end of the output.
pub(super) fn monitor(
    arguments: &cli::Monitor,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let cli::Monitor { trace, baseline, capture, print, plugins } = arguments;
    let baseline = baseline.as_deref().map(inventory_file::baseline).transpose()?;
    let kinds = match baseline {
        // An inventory says nothing about other events.
        Some(_) => EventKinds { open: true, load: true, ..EventKinds::NONE },
        None => EventKinds::ALL,
    };
    stream(kinds, (trace, baseline), capture, print, plugins, (spawner, console))
}

/// Prints opened files. Ends like [`monitor`].
pub(super) fn files(
    arguments: &cli::FilesCommand,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let cli::FilesCommand { processes, files, capture, print, plugins } = arguments;
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let trace = &Trace { processes: processes.clone(), files: files.clone(), ..Trace::default() };
    stream(kinds, (trace, None), capture, print, plugins, (spawner, console))
}

/// Prints loaded libraries. Ends like [`monitor`].
pub(super) fn libs(
    arguments: &cli::LibsCommand,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let cli::LibsCommand { processes, libraries, capture, print, plugins } = arguments;
    let kinds = EventKinds { load: true, ..EventKinds::NONE };
    let trace =
        &Trace { processes: processes.clone(), libraries: libraries.clone(), ..Trace::default() };
    stream(kinds, (trace, None), capture, print, plugins, (spawner, console))
}

fn stream(
    kinds: EventKinds,
    (trace, baseline): (&Trace, Option<KnownUses>),
    capture: &cli::Capture,
    print: &cli::Print,
    plugins: &cli::PluginArgs,
    (spawner, console): (Spawner, Console),
) -> Result<(), Failure> {
    let output = print.output.as_deref();
    // Programs are known by their executables.
    let extended = print.extended || baseline.is_some();
    let redaction = Redaction { enabled: !print.no_redact, extended };
    let run = RunRequest {
        kinds,
        trace,
        plugins,
        capture,
        redaction,
        needs_assets: false,
        output,
        names_in_kernel: true,
        console,
    };
    session::stream(&run, spawner, print, baseline)
}
