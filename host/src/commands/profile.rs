//! `profile`: one document about some processes, from a run that traces them.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::document::{self, failed};
use super::trace::{self, Ready, Run};
use crate::cli::{self, Processes, Trace};
use crate::document::Run as Counted;
use crate::error::Failure;
use crate::pipeline::{Family, Profiler, Why, wall_now};
use crate::printable::printable;
use crate::progress::Progress;
use crate::reader::LookedAt;
use crate::say::Say;
use crate::select::Kinds;
use crate::stats::Usage;

/// Processes that are looked into at once.
const PAGE: usize = 64;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Traces until the processes have ended, or the duration is over.
pub(super) fn profile(arguments: &cli::Profile, say: Say) -> Result<(), Failure> {
    let cli::Profile { duration, watched, capture, print, plugins } = arguments;
    let processes = Processes { duration: *duration, watched: watched.clone() };
    let trace = Trace { processes, ..Trace::default() };
    let run = Run {
        kinds: Kinds::ALL,
        trace: &trace,
        plugins,
        capture,
        output: print.output.as_deref(),
        // The end of one that has taken another name is to be seen too.
        names_in_kernel: false,
        say,
    };
    let begun = trace::begin(&run)?;
    let target = document::target(print, begun.new)?;
    let pipe = target.pipe().map_err(failed)?;
    let (select, redact) = (begun.select.clone(), !print.no_redact);
    let mut profiler = Profiler::new(select, watched.follow_children, redact, pipe, say);
    let family = watched.follow_children.then(|| trace::family(&watched.pid, &begun.seen));
    let mut ready = begun.ready(&run)?;
    find(&mut profiler, &mut ready, family.as_ref(), &watched.pid);
    if profiler.is_empty() {
        not_there(watched, *duration, say)?;
    }
    let stop = ready.stop.clone();
    let length = (!duration.is_zero()).then_some(*duration);
    let progress = Progress::show(say, length, profiler.counter());
    let start = Instant::now();
    let outcome = ready.live(&run, profiler, None)?;
    drop(progress);
    say.info(format_args!("{}; {}", outcome.stats, Usage::own()));
    let reader_gone = outcome.why == Why::Output;
    trace::ended(outcome.recording, outcome.why)?;
    if outcome.output.is_empty() && !reader_gone {
        return Err(failed(anyhow!("{} was seen", nobody(watched))));
    }
    let counted = Counted {
        at: wall_now(),
        duration: start.elapsed(),
        total_events: outcome.stats.shown,
        events_lost: outcome.stats.lost(),
        several: watched.follow_children || !watched.name.is_empty(),
    };
    let profile = outcome.output.into_builder().finish(counted);
    document::print(&profile, print, target, &stop)
}

/// The processes that are there, with what they have.
fn find(profiler: &mut Profiler, ready: &mut Ready, family: Option<&Family>, pids: &[u32]) {
    let mut after = 0;
    while !ready.stop.is_asked() {
        let until = Instant::now() + PATIENCE;
        let interest = ready.plugins.interest();
        let (looked, next) = match pids {
            // Nothing but this process can be meant.
            [pid] if family.is_none() => (ready.heads.look(&[*pid], interest, until), None),
            _ => ready.heads.page((after, PAGE), interest, until).unwrap_or_default(),
        };
        let meant = |process: &&LookedAt| {
            !ready.own.contains(&process.pid)
                && family.is_none_or(|family| family.has(process.pid))
                && profiler.wants(process)
        };
        let found: Vec<&LookedAt> = looked.iter().filter(meant).collect();
        for process in found {
            profiler.found(process, &mut *ready.heads, &mut ready.plugins);
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
}

/// A process id is there now or never; for a name there is time.
fn not_there(watched: &cli::Watched, duration: Duration, say: Say) -> Result<(), Failure> {
    if watched.name.is_empty() {
        let pids: Vec<String> = watched.pid.iter().map(u32::to_string).collect();
        return Err(failed(anyhow!("--pid {}: the process has ended", pids.join(" --pid "))));
    }
    let limit = match duration.as_secs() {
        0 => String::new(),
        seconds => format!(" for up to {seconds} s"),
    };
    say.info(format_args!("{} is there yet; waiting for one{limit}", nobody(watched)));
    Ok(())
}

fn nobody(watched: &cli::Watched) -> String {
    let quoted = |name: &OsString| format!("'{}'", printable(&name.to_string_lossy()));
    let names: Vec<String> = watched.name.iter().map(quoted).collect();
    format!("no process with {} in its name", names.join(" and "))
}
