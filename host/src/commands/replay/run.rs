//! Runs a recording through the current plugins and options.

use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::cli;
use crate::commands::{output_conflict, session, setup};
use crate::config::Config;
use crate::error::{ExitStatus, Failure};
use crate::interruptible_read::Input;
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::{NewFile, Output};
use crypto_tracer_pipeline::enrich::Enrich;
use crypto_tracer_pipeline::recording::{Damage, Frame, Frames, Start};
use crypto_tracer_pipeline::stats::Stats;
use crypto_tracer_pipeline::{
    Family, MissingHeads, Observer, Pipeline, PluginStages, RecordedHeads, RecordingCoverage,
    Redaction, Replayed, Scratch, replay as run,
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

/// What ends a command before the recording ends.
pub(in crate::commands) struct Interrupts {
    pub(in crate::commands) shutdown: Shutdown,
    signals: Signals,
}

impl Interrupts {
    /// Handles signals from now on.
    pub(in crate::commands) fn start() -> Result<Interrupts, Failure> {
        let shutdown = Shutdown::default();
        let signals = Signals::start(shutdown.clone());
        let signals = signals.map_err(|error| Failure::new(ExitStatus::Failed, error))?;
        Ok(Interrupts { shutdown, signals })
    }
}

/// What a command asks of a replay.
#[derive(Debug)]
pub(in crate::commands) struct ReplayRequest<'a> {
    pub(in crate::commands) recording: &'a Path,
    pub(in crate::commands) trace: &'a cli::Trace,
    pub(in crate::commands) plugins: &'a cli::PluginArgs,
    pub(in crate::commands) redaction: Redaction,
    /// Whether the output shows what files contain, so that inspectors run.
    pub(in crate::commands) needs_assets: bool,
    /// The file of `--output`.
    pub(in crate::commands) output: Option<&'a Path>,
    pub(in crate::commands) console: Console,
}

/// What the output of a replay may depend on.
#[derive(Debug)]
pub(in crate::commands) struct ReplayStart<'a> {
    pub(in crate::commands) start: &'a Start,
    pub(in crate::commands) clock: &'a Clock,
    /// Permissions and group of a new output file.
    pub(in crate::commands) new_file: NewFile,
    pub(in crate::commands) shutdown: &'a Shutdown,
}

/// The output of a replay, and what else watches it.
#[derive(Debug)]
pub(in crate::commands) struct ReplayOutput {
    pub(in crate::commands) output: Box<dyn Output>,
    pub(in crate::commands) observers: Vec<Box<dyn Observer>>,
}

/// How a replay ended.
#[derive(Debug)]
pub(in crate::commands) struct ReplayEnd {
    pub(in crate::commands) replayed: Replayed,
    /// The number of events that each filter dropped.
    pub(in crate::commands) drops: Vec<(String, u64)>,
    /// Message of a plugin that ended the replay.
    plugin: Option<String>,
    written: Result<(), Failure>,
}

impl ReplayEnd {
    /// Returns the failure of an incomplete output, of a plugin, or of a damaged recording.
    pub(in crate::commands) fn check(mut self, recording: &Path) -> Result<(), Failure> {
        std::mem::replace(&mut self.written, Ok(()))?;
        self.failure(recording)
    }

    /// Returns the failure of a plugin, or of a damaged recording.
    pub(super) fn failure(&mut self, recording: &Path) -> Result<(), Failure> {
        if let Some(message) = self.plugin.take() {
            return Err(Failure { code: ExitStatus::Failed, error: anyhow!(message) });
        }
        match std::mem::replace(&mut self.replayed, Replayed::Complete) {
            Replayed::Complete => Ok(()),
            Replayed::Damaged(damage) => {
                let error = anyhow::Error::new(damage).context(recording.display().to_string());
                Err(Failure { code: ExitStatus::Failed, error })
            }
        }
    }
}

/// Replays to the end of the recording, into the output that `open` opens. Returns `None` if a shutdown is requested
/// before it begins.
pub(in crate::commands) fn run_with(
    request: &ReplayRequest<'_>,
    mut config: Config,
    interrupts: &Interrupts,
    open_output: impl FnOnce(&ReplayStart<'_>) -> Result<Option<ReplayOutput>, Failure>,
) -> Result<Option<ReplayEnd>, Failure> {
    let console = request.console;
    let Interrupts { shutdown, signals } = interrupts;
    let trust = Trust::of_this_process();
    config.limits = config.limits.by_processor();
    let clock = Clock::recorded();
    let plugins =
        setup::plugins(request.plugins, &config, &trust, shutdown, &clock, request.needs_assets)?;
    let Some(plugins) = plugins else { return Ok(None) };
    let duration = request.trace.processes.duration;
    if !duration.is_zero() {
        shutdown.at(Instant::now() + duration);
    }
    let Some((frames, start)) = open(request, shutdown)? else { return Ok(None) };
    let coverage = RecordingCoverage::new(start.interest.clone());
    report_not_captured(&coverage, plugins.interest(), &start, console);
    let mut enrich = Enrich::new(clock.clone());
    setup::add_baselines(&mut enrich, &start.processes, plugins.interest());
    if plugins.asks_for_ancestors() {
        enrich.ancestry.begin();
    }
    let new_file = setup::new_file(&config)?;
    let opened = open_output(&ReplayStart { start: &start, clock: &clock, new_file, shutdown })?;
    let Some(ReplayOutput { output, observers }) = opened else { return Ok(None) };
    let heads = RecordedHeads::default();
    let watched = &request.trace.processes.watched;
    let family = match watched.pid.as_slice() {
        pids if watched.follow_children => session::family(pids, &start.processes),
        _ => Family::default(),
    };
    let first: Box<dyn Observer> = Box::new(family.clone());
    let select = setup::select(EventKinds::ALL, request.trace, family);
    setup::warn_of_unsatisfiable(&select, plugins.interest(), console);
    let mut pipeline = Pipeline {
        clock,
        enrich,
        select,
        observers: [first].into_iter().chain(observers).collect(),
        stages: PluginStages::new(Box::new(heads.clone()), plugins, request.redaction),
        baseline: None,
        output,
        stats: Stats::default(),
        shutdown: shutdown.clone(),
        console,
        scratch: Scratch::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(ExitStatus::Failed, error))?;
    let replayed = runtime.block_on(async {
        // Biased, so that a replay that ends by itself has reported its failures.
        tokio::select! {
            biased;
            replayed = run(frames, &mut pipeline, &heads, coverage, signals) => replayed,
            () = signals.asked() => Replayed::Complete,
        }
    });
    let timeout = if shutdown.is_requested() { SHUTDOWN_LAST_WRITE } else { LAST_WRITE };
    let written = pipeline.output.finish(Instant::now() + timeout);
    report_missing_heads(&heads.missing(), console);
    let written = setup::report(&pipeline.stats, None, written, console);
    let plugin = pipeline.stages.plugins.must_end();
    let drops = pipeline.stages.plugins.drops();
    let drops = drops.map(|(name, count)| (name.to_owned(), count)).collect();
    Ok(Some(ReplayEnd { replayed, drops, plugin, written }))
}

/// The frames of a recording after its first one, and the first one.
type Opened = (Frames<BufReader<Input>>, Start);

/// Opens the recording and reads its first frame. Returns `None` if a shutdown interrupts the read.
fn open(request: &ReplayRequest<'_>, shutdown: &Shutdown) -> Result<Option<Opened>, Failure> {
    let path = request.recording;
    let usage = |error: anyhow::Error| Failure { code: ExitStatus::Usage, error };
    let input = Input::open(path, shutdown)
        .with_context(|| format!("cannot open the recording {}", path.display()))
        .map_err(usage)?;
    output_conflict::check_recording(input.metadata(), request.output)?;
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
