//! `replay`: runs a recording through the current plugins and options.

mod cases;
mod diff;

use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::{help, output_conflict, session, setup};
use crate::cli::{self, PluginArgs};
use crate::config::Config;
use crate::error::{ExitStatus, Failure};
use crate::interruptible_read::Input;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{EventKinds, PluginKind};
use crypto_tracer_output::{Collected, Collector, Output};
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
/// Cases that `--cases` prints.
const MAX_CASES: usize = 1000;
/// Time limit for the output after the end of the recording.
const LAST_WRITE: Duration = Duration::from_secs(3600);
/// Time limit for the output after a shutdown request.
const SHUTDOWN_LAST_WRITE: Duration = Duration::from_millis(40);

/// Replays to the end of the recording.
pub(super) fn replay(arguments: &cli::Replay, console: Console) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let signals = Signals::start(shutdown.clone())
        .map_err(|error| Failure::new(ExitStatus::Failed, error))?;
    let run = ReplayRun { arguments, console, shutdown, signals };
    if let [old, new] = arguments.diff.as_slice() {
        return run.diff(old, new);
    }
    if arguments.cases { run.cases() } else { run.print() }
}

/// A command that replays a recording, once or several times.
struct ReplayRun<'a> {
    arguments: &'a cli::Replay,
    console: Console,
    shutdown: Shutdown,
    signals: Signals,
}

/// The destination of a replay's events.
enum Destination {
    /// Standard output, or the file of `--output`.
    Print,
    Collect(Collector),
}

impl ReplayRun<'_> {
    fn print(&self) -> Result<(), Failure> {
        let config = setup::config(&self.arguments.plugins, &Trust::of_this_process())?;
        self.once(config, &self.arguments.plugins, Destination::Print).map(|_| ())
    }

    /// Prints cases for a filter, so the filters of the configuration do not run.
    fn cases(&self) -> Result<(), Failure> {
        let mut config = setup::config(&self.arguments.plugins, &Trust::of_this_process())?;
        config.chains.insert(PluginKind::Filter, Vec::new());
        let events = Collector::new(false);
        let collect = Destination::Collect(events.clone());
        if self.once(config, &self.arguments.plugins, collect)?.is_none() {
            return Ok(());
        }
        let Collected { events, more } = events.take();
        let surplus = events.len().saturating_sub(MAX_CASES) as u64 + more;
        if surplus > 0 {
            let surplus = counted(surplus, "further event");
            self.console
                .info(format_args!("{surplus} omitted: select fewer, for example with --name"));
        }
        let cases = cases::cases(events.iter().map(|(event, _)| event).take(MAX_CASES));
        help::print(format!("{cases:#}\n").as_bytes())
    }

    fn diff(&self, old: &Path, new: &Path) -> Result<(), Failure> {
        let Some(old) = self.side(old)? else { return Ok(()) };
        let Some(new) = self.side(new)? else { return Ok(()) };
        help::print(diff::summary(&old, &new).as_bytes())
    }

    /// Replays with one configuration. Returns `None` on shutdown.
    fn side(&self, config: &Path) -> Result<Option<diff::Side>, Failure> {
        let plugins = PluginArgs { config: Some(config.to_owned()), ..PluginArgs::default() };
        let read = setup::config(&plugins, &Trust::of_this_process())?;
        let events = Collector::new(self.arguments.print.extended);
        let drops = self.once(read, &plugins, Destination::Collect(events.clone()))?;
        let name = printable(&config.display().to_string()).to_string();
        Ok(drops.map(|drops| diff::Side { name, events: events.take(), drops }))
    }

    /// Replays the recording. Returns the number of events that each filter dropped; `None` on shutdown.
    fn once(
        &self,
        mut config: Config,
        plugin_arguments: &PluginArgs,
        destination: Destination,
    ) -> Result<Option<Vec<(String, u64)>>, Failure> {
        let ReplayRun { arguments, console, shutdown, signals } = self;
        let (arguments, console) = (*arguments, *console);
        let trust = Trust::of_this_process();
        config.limits = config.limits.by_processor();
        let clock = Clock::recorded();
        let plugins = setup::plugins(plugin_arguments, &config, &trust, shutdown, &clock)?;
        let Some(plugins) = plugins else { return Ok(None) };
        let duration = arguments.trace.processes.duration;
        if !duration.is_zero() {
            shutdown.at(Instant::now() + duration);
        }
        let Some((frames, start)) = open(arguments, shutdown)? else { return Ok(None) };
        let coverage = RecordingCoverage::new(start.interest.clone());
        report_not_captured(&coverage, plugins.interest(), &start, console);
        let mut enrich = Enrich::new(clock.clone());
        setup::add_baselines(&mut enrich, &start.processes, plugins.interest());
        let collects = matches!(destination, Destination::Collect(_));
        let output: Box<dyn Output> = match destination {
            Destination::Collect(collector) => Box::new(collector),
            Destination::Print => {
                let new = setup::new_file(&config)?;
                let target = setup::target(&arguments.print, new, shutdown)?;
                let Some(target) = target else { return Ok(None) };
                // A replay ends with its recording, so its output is not watched.
                setup::output(target, &arguments.print)?.0
            }
        };
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
            stages: PluginStages::new(
                Box::new(heads.clone()),
                plugins,
                Redaction { enabled: !print.no_redact, extended: print.extended || collects },
            ),
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
                replayed = run(frames, &mut pipeline, &heads, coverage, signals) => replayed,
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
            Replayed::Complete => {
                let drops = pipeline.stages.plugins.drops();
                let drops = drops.map(|(name, count)| (name.to_owned(), count)).collect();
                Ok((!shutdown.is_requested() || !collects).then_some(drops))
            }
            Replayed::Damaged(damage) => {
                let error =
                    anyhow::Error::new(damage).context(arguments.recording.display().to_string());
                Err(Failure { code: ExitStatus::Failed, error })
            }
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
