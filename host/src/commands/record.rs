//! `--record`: records a live run.

use std::ffi::OsString;

use super::document::failed;
use super::run_request::RunRequest;
use crate::cli::Trace;
use crate::error::Failure;
use crypto_tracer_event::EventKinds;
use crypto_tracer_output::{Target, Writer};
use crypto_tracer_pipeline::recording::Start;
use crypto_tracer_pipeline::{LiveReader, Recorder, RecordingHeads};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_reader::ExistingProcess;
use crypto_tracer_system::clock::Clock;

/// Starts a recording in `target`. Returns the reader that records its answers, and the recorder.
///
/// # Errors
/// The writer cannot be started.
pub(super) fn start(
    run: &RunRequest<'_>,
    target: Target,
    reader: LiveReader,
    plugins: &Plugins,
    processes: Vec<ExistingProcess>,
    clock: &Clock,
) -> Result<(RecordingHeads, Recorder), Failure> {
    let start = Start {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        interest: plugins.interest().clone(),
        filter_options: filter_options(run.kinds, run.trace),
        processes,
    };
    if let Some(path) = &run.capture.record {
        run.console.info(format_args!(
            "recording to {}: not redacted, readable by its owner only",
            path.display()
        ));
    }
    let heads = RecordingHeads::new(Box::new(reader), clock.clone());
    let writer = Writer::unbuffered(target).map_err(failed)?;
    let recorder = Recorder::new(writer, start, heads.log(), clock.clone());
    Ok((heads, recorder))
}

/// Returns the filters that the kernel side may apply.
fn filter_options(kinds: EventKinds, trace: &Trace) -> Vec<String> {
    let command = match (kinds.open, kinds.load) {
        (true, false) => Some("files".to_owned()),
        (false, true) => Some("libs".to_owned()),
        _ => None,
    };
    let watched = &trace.processes.watched;
    let follow = watched.follow_children.then(|| "--follow-children".to_owned());
    let text = |option: &str, value: &OsString| format!("{option} {}", value.to_string_lossy());
    let pids = watched.pid.iter().map(|pid| format!("--pid {pid}"));
    let names = watched.name.iter().map(|name| text("--name", name));
    let libraries = trace.libraries.library.iter().map(|library| text("--library", library));
    let files = trace.files.file.iter().map(|glob| format!("--file {}", glob.as_str()));
    command
        .into_iter()
        .chain(pids)
        .chain(follow)
        .chain(names)
        .chain(libraries)
        .chain(files)
        .collect()
}
