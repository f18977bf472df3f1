//! `replay`: runs a recording through the current plugins and options.

use std::io::BufReader;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::{output_conflict, session, setup};
use crate::cli;
use crate::error::{ExitStatus, Failure};
use crate::interruptible_read::Input;
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::printable::printable;
use crypto_tracer_pipeline::enrich::Enrich;
use crypto_tracer_pipeline::recording::{Damage, Frame, Frames, Start};
use crypto_tracer_pipeline::stats::Stats;
use crypto_tracer_pipeline::{
    Family, MissingHeads, Observer, Pipeline, PluginStages, RecordedHeads, RecordingCoverage,
    Redaction, Replayed, replay as run,
};
use crypto_tracer_plugin::Trust;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// Size of the read buffer in bytes.
const READ_BUFFER: usize = 256 << 10;
/// Time limit for the output after the end of the recording.
const LAST_WRITE: Duration = Duration::from_secs(3600);
/// Time limit for the output after a shutdown request.
const SHUTDOWN_LAST_WRITE: Duration = Duration::from_millis(40);

/// Replays to the end of the recording.
pub(super) fn replay(arguments: &cli::Replay, console: Console) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let signals = Signals::start(shutdown.clone())
        .map_err(|error| Failure::new(ExitStatus::Failed, error))?;
    let trust = Trust::of_this_process();
    let mut config = setup::config(&arguments.plugins, &trust)?;
    config.limits = config.limits.by_processor();
    let clock = Clock::recorded();
    let plugins = setup::plugins(&arguments.plugins, &config, &trust, &shutdown, &clock, false)?;
    let Some(plugins) = plugins else { return Ok(()) };
    let duration = arguments.trace.processes.duration;
    if !duration.is_zero() {
        shutdown.at(Instant::now() + duration);
    }
    let Some((frames, start)) = open(arguments, &shutdown)? else { return Ok(()) };
    let coverage = RecordingCoverage::new(start.interest.clone());
    report_not_captured(&coverage, plugins.interest(), &start, console);
    let mut enrich = Enrich::new(clock.clone());
    setup::add_baselines(&mut enrich, &start.processes, plugins.interest());
    let new = setup::new_file(&config)?;
    let Some(target) = setup::target(&arguments.print, new, &shutdown)? else { return Ok(()) };
    // A replay ends with its recording, so its output is not watched.
    let (output, _) = setup::output(target, &arguments.print)?;
    let heads = RecordedHeads::default();
    let watched = &arguments.trace.processes.watched;
    let family = match watched.pid.as_slice() {
        pids if watched.follow_children => session::family(pids, &start.processes),
        _ => Family::default(),
    };
    let observers: Vec<Box<dyn Observer>> = vec![Box::new(family.clone())];
    let select = setup::select(EventKinds::ALL, &arguments.trace, family);
    setup::warn_of_unsatisfiable(&select, plugins.interest(), console);
    let print = &arguments.print;
    let mut pipeline = Pipeline {
        clock,
        enrich,
        select,
        observers,
        stages: PluginStages {
            reader: Box::new(heads.clone()),
            plugins,
            redaction: Redaction { enabled: !print.no_redact, extended: print.extended },
        },
        output,
        stats: Stats::default(),
        shutdown: shutdown.clone(),
        console,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(ExitStatus::Failed, error))?;
    let replayed = runtime.block_on(async {
        // Biased, so that a replay that ends by itself has reported its failures.
        tokio::select! {
            biased;
            replayed = run(frames, &mut pipeline, &heads, coverage, &signals) => replayed,
            () = signals.asked() => Replayed::Complete,
        }
    });
    let timeout = if shutdown.is_requested() { SHUTDOWN_LAST_WRITE } else { LAST_WRITE };
    let written = pipeline.output.finish(Instant::now() + timeout);
    report_missing_heads(&heads.missing(), console);
    setup::report(&pipeline.stats, None, written, console)?;
    if let Some(message) = pipeline.stages.plugins.must_end() {
        return Err(Failure { code: ExitStatus::Failed, error: anyhow!(message) });
    }
    match replayed {
        Replayed::Complete => Ok(()),
        Replayed::Damaged(damage) => {
            let error =
                anyhow::Error::new(damage).context(arguments.recording.display().to_string());
            Err(Failure { code: ExitStatus::Failed, error })
        }
    }
}

/// The frames of a recording after its first one, and the first one.
type Opened = (Frames<BufReader<Input>>, Start);

/// Opens the recording and reads its first frame. Returns `None` if a shutdown interrupts the read.
fn open(arguments: &cli::Replay, shutdown: &Shutdown) -> Result<Option<Opened>, Failure> {
    let path = &arguments.recording;
    let usage = |error: anyhow::Error| Failure { code: ExitStatus::Usage, error };
    let input = Input::open(path, shutdown)
        .with_context(|| format!("cannot open the recording {}", path.display()))
        .map_err(usage)?;
    output_conflict::check_recording(input.metadata(), arguments.print.output.as_deref())?;
    let mut frames = match Frames::open(BufReader::with_capacity(READ_BUFFER, input)) {
        Ok(frames) => frames,
        Err(Damage::Io(_)) if shutdown.is_requested() => return Ok(None),
        Err(damage) => {
            // A truncated file may be a recording. Any other file is a bad argument.
            let code = if matches!(damage, Damage::Truncated { .. }) {
                ExitStatus::Failed
            } else {
                ExitStatus::Usage
            };
            let error = anyhow::Error::new(damage).context(path.display().to_string());
            return Err(Failure { code, error });
        }
    };
    match frames.next_frame() {
        Ok(Frame::Start(start)) => Ok(Some((frames, *start))),
        Err(Damage::Io(_)) if shutdown.is_requested() => Ok(None),
        Ok(_) => Err(usage(anyhow!("{}: the recording has no start frame", path.display()))),
        Err(damage) => Err(Failure {
            code: ExitStatus::Failed,
            error: anyhow::Error::new(damage).context(path.display().to_string()),
        }),
    }
}

/// Reports what the recorded run did not capture.
fn report_not_captured(
    coverage: &RecordingCoverage,
    current: &Interest,
    start: &Start,
    console: Console,
) {
    if !start.filter_options.is_empty() {
        console.info(format_args!(
            "the recording was made with {}: other events are missing or incomplete",
            printable(&start.filter_options.join(" "))
        ));
    }
    if let Some(missing) = coverage.missing(current) {
        console.info(missing);
    }
}

/// Reports requests for heads that are not in the recording.
fn report_missing_heads(missing: &MissingHeads, console: Console) {
    let MissingHeads { count, first } = missing;
    if *count > 0 {
        let requests = counted(*count, "request");
        console.info(format_args!(
            "the recording has no file head for {requests} of classifiers; the first is for {}",
            printable(&String::from_utf8_lossy(first))
        ));
    }
}
