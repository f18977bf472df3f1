//! `replay`: a recorded run, through today's plugins and options.

use std::io::BufReader;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::{line, same, trace};
use crate::cli;
use crate::counted::counted;
use crate::enrich::Enrich;
use crate::error::{Code, Failure};
use crate::input::Input;
use crate::interest::Interest;
use crate::pipeline::{
    Coverage, Family, Line, Missing, RecordedHeads, Replayed, Sink as _, Stream, replay as run,
};
use crate::plugin::Trust;
use crate::printable::printable;
use crate::record::{Damage, Frame, Frames, Start};
use crate::say::Say;
use crate::select::Kinds;
use crate::signals::Signals;
use crate::stats::Stats;
use crate::stop::Stop;

/// Bytes that are read at once: recordings are long.
const READ: usize = 256 << 10;
/// How long the output may take for what is left, when nobody asked for the end.
const LAST_WRITE: Duration = Duration::from_secs(3600);
/// How long when somebody did.
const LAST_WRITE_ASKED: Duration = Duration::from_millis(40);

/// Runs to the recording's end.
pub(super) fn replay(arguments: &cli::Replay, say: Say) -> Result<(), Failure> {
    let stop = Stop::default();
    let signals =
        Signals::start(stop.clone()).map_err(|error| Failure::new(Code::Failed, error))?;
    let trust = Trust::of_this_process();
    let mut config = line::config(&arguments.plugins, &trust)?;
    config.limits = config.limits.by_processor();
    let plugins = line::plugins(&arguments.plugins, &config, &trust, &stop)?;
    let Some(plugins) = plugins else { return Ok(()) };
    let duration = arguments.trace.processes.duration;
    if !duration.is_zero() {
        stop.at(Instant::now() + duration);
    }
    let Some((frames, start)) = open(arguments, &stop)? else { return Ok(()) };
    let coverage = Coverage::new(start.interest.clone());
    name_uncovered(&coverage, plugins.interest(), &start, say);
    let mut enrich = Enrich::default();
    line::remember(&mut enrich, &start.processes, plugins.interest());
    let new = line::new_file(&config)?;
    let Some(target) = line::target(&arguments.print, new, &stop)? else { return Ok(()) };
    let output = line::output(target, &arguments.print)?;
    let heads = RecordedHeads::default();
    let select = line::select(Kinds::ALL, &arguments.trace);
    line::warn(&select, plugins.interest(), say);
    let watched = &arguments.trace.processes.watched;
    let family = match watched.pid.as_slice() {
        pids if watched.follow_children => trace::family(pids, &start.processes),
        _ => Family::default(),
    };
    let print = &arguments.print;
    let mut line = Line {
        enrich,
        select,
        family,
        plugins,
        heads: Box::new(heads.clone()),
        sink: Stream { output, redact: !print.no_redact, extended: print.extended },
        stats: Stats::default(),
        stop: stop.clone(),
        say,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Failed, error))?;
    let replayed = runtime.block_on(async {
        // The first one first: asked to end, it has told what failed.
        tokio::select! {
            biased;
            replayed = run(frames, &mut line, &heads, coverage, &signals) => replayed,
            () = signals.asked() => Replayed::Whole,
        }
    });
    let patience = if stop.is_asked() { LAST_WRITE_ASKED } else { LAST_WRITE };
    let ended = line.sink.finish(Instant::now() + patience);
    name_missing(&heads.missing(), say);
    line::report(&line.stats, None, ended, say)?;
    if let Some(why) = line.plugins.must_end() {
        return Err(Failure { code: Code::Failed, error: anyhow!(why) });
    }
    match replayed {
        Replayed::Whole => Ok(()),
        Replayed::Damaged(damage) => {
            let error =
                anyhow::Error::new(damage).context(arguments.recording.display().to_string());
            Err(Failure { code: Code::Failed, error })
        }
    }
}

/// A recording behind its beginning, and what that says.
type Opened = (Frames<BufReader<Input>>, Start);

/// The recording behind its beginning. None: the end was asked for while nothing came of it.
fn open(arguments: &cli::Replay, stop: &Stop) -> Result<Option<Opened>, Failure> {
    let path = &arguments.recording;
    let usage = |error: anyhow::Error| Failure { code: Code::Usage, error };
    let input = Input::open(path, stop)
        .with_context(|| format!("cannot open the recording {}", path.display()))
        .map_err(usage)?;
    same::check_recording(input.metadata(), arguments.print.output.as_deref())?;
    let mut frames = match Frames::open(BufReader::with_capacity(READ, input)) {
        Ok(frames) => frames,
        Err(Damage::Io(_)) if stop.is_asked() => return Ok(None),
        Err(damage) => {
            // What is there may be the beginning of a recording.
            let code =
                if matches!(damage, Damage::Short { .. }) { Code::Failed } else { Code::Usage };
            let error = anyhow::Error::new(damage).context(path.display().to_string());
            return Err(Failure { code, error });
        }
    };
    match frames.next_frame() {
        Ok(Frame::Start(start)) => Ok(Some((frames, *start))),
        Err(Damage::Io(_)) if stop.is_asked() => Ok(None),
        Ok(_) => Err(usage(anyhow!("{}: the recording has no beginning", path.display()))),
        Err(damage) => Err(Failure {
            code: Code::Failed,
            error: anyhow::Error::new(damage).context(path.display().to_string()),
        }),
    }
}

/// What the recorded run did not capture cannot come back.
fn name_uncovered(coverage: &Coverage, today: &Interest, start: &Start, say: Say) {
    if !start.only.is_empty() {
        say.info(format_args!(
            "the recording was made with {}: of the rest only a part is in it, or nothing",
            printable(&start.only.join(" "))
        ));
    }
    if let Some(missing) = coverage.missing(today) {
        say.info(missing);
    }
}

/// Nor can what nobody looked at then.
fn name_missing(missing: &Missing, say: Say) {
    let Missing { count, first } = missing;
    if *count > 0 {
        let times = counted(*count, "time");
        say.info(format_args!(
            "{times} a classifier wanted the beginning of a file that is not in the recording, the first time \
             that of {}",
            printable(&String::from_utf8_lossy(first))
        ));
    }
}
