//! `replay`: a recorded run, through today's plugins and options.

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
use crypto_tracer_output::Output as _;
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

/// Bytes that are read at once: recordings are long.
const READ: usize = 256 << 10;
/// How long the output may take for what is left, when nobody asked for the end.
const LAST_WRITE: Duration = Duration::from_secs(3600);
/// How long when somebody did.
const LAST_WRITE_ASKED: Duration = Duration::from_millis(40);

/// Runs to the recording's end.
pub(super) fn replay(arguments: &cli::Replay, console: Console) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let signals = Signals::start(shutdown.clone())
        .map_err(|error| Failure::new(ExitStatus::Failed, error))?;
    let trust = Trust::of_this_process();
    let mut config = setup::config(&arguments.plugins, &trust)?;
    config.limits = config.limits.by_processor();
    let clock = Clock::recorded();
    let plugins = setup::plugins(&arguments.plugins, &config, &trust, &shutdown, &clock)?;
    let Some(plugins) = plugins else { return Ok(()) };
    let duration = arguments.trace.processes.duration;
    if !duration.is_zero() {
        shutdown.at(Instant::now() + duration);
    }
    let Some((frames, start)) = open(arguments, &shutdown)? else { return Ok(()) };
    let coverage = RecordingCoverage::new(start.interest.clone());
    name_uncovered(&coverage, plugins.interest(), &start, console);
    let mut enrich = Enrich::new(clock.clone());
    setup::remember(&mut enrich, &start.processes, plugins.interest());
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
    setup::warn(&select, plugins.interest(), console);
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
        // The first one first: asked to end, it has told what failed.
        tokio::select! {
            biased;
            replayed = run(frames, &mut pipeline, &heads, coverage, &signals) => replayed,
            () = signals.asked() => Replayed::Whole,
        }
    });
    let patience = if shutdown.is_requested() { LAST_WRITE_ASKED } else { LAST_WRITE };
    let ended = pipeline.output.finish(Instant::now() + patience);
    name_missing(&heads.missing(), console);
    setup::report(&pipeline.stats, None, ended, console)?;
    if let Some(why) = pipeline.stages.plugins.must_end() {
        return Err(Failure { code: ExitStatus::Failed, error: anyhow!(why) });
    }
    match replayed {
        Replayed::Whole => Ok(()),
        Replayed::Damaged(damage) => {
            let error =
                anyhow::Error::new(damage).context(arguments.recording.display().to_string());
            Err(Failure { code: ExitStatus::Failed, error })
        }
    }
}

/// A recording behind its beginning, and what that says.
type Opened = (Frames<BufReader<Input>>, Start);

/// The recording behind its beginning. None: the end was asked for while nothing came of it.
fn open(arguments: &cli::Replay, shutdown: &Shutdown) -> Result<Option<Opened>, Failure> {
    let path = &arguments.recording;
    let usage = |error: anyhow::Error| Failure { code: ExitStatus::Usage, error };
    let input = Input::open(path, shutdown)
        .with_context(|| format!("cannot open the recording {}", path.display()))
        .map_err(usage)?;
    output_conflict::check_recording(input.metadata(), arguments.print.output.as_deref())?;
    let mut frames = match Frames::open(BufReader::with_capacity(READ, input)) {
        Ok(frames) => frames,
        Err(Damage::Io(_)) if shutdown.is_requested() => return Ok(None),
        Err(damage) => {
            // What is there may be the beginning of a recording.
            let code = if matches!(damage, Damage::Short { .. }) {
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
        Ok(_) => Err(usage(anyhow!("{}: the recording has no beginning", path.display()))),
        Err(damage) => Err(Failure {
            code: ExitStatus::Failed,
            error: anyhow::Error::new(damage).context(path.display().to_string()),
        }),
    }
}

/// What the recorded run did not capture cannot come back.
fn name_uncovered(coverage: &RecordingCoverage, today: &Interest, start: &Start, console: Console) {
    if !start.only.is_empty() {
        console.info(format_args!(
            "the recording was made with {}: of the rest only a part is in it, or nothing",
            printable(&start.only.join(" "))
        ));
    }
    if let Some(missing) = coverage.missing(today) {
        console.info(missing);
    }
}

/// Nor can what nobody looked at then.
fn name_missing(missing: &MissingHeads, console: Console) {
    let MissingHeads { count, first } = missing;
    if *count > 0 {
        let times = counted(*count, "time");
        console.info(format_args!(
            "{times} a classifier wanted the beginning of a file that is not in the recording, the first time \
             that of {}",
            printable(&String::from_utf8_lossy(first))
        ));
    }
}
