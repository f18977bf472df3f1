//! `profile`: one document about some processes, from a run that traces them.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::document::{self, failed};
use super::looking::Looking;
use super::trace::{self, Ready, Run};
use crate::cli::{self, Processes, Trace};
use crate::document::Run as Counted;
use crate::error::Failure;
use crate::pipeline::{Profiler, Why, wall_now};
use crate::printable::printable;
use crate::progress::Progress;
use crate::reader::{LookedAt, Nursery, SeenProcess};
use crate::say::Say;
use crate::select::Kinds;
use crate::stats::Usage;

/// Traces until the processes have ended, or the duration is over.
pub(super) fn profile(arguments: &cli::Profile, nursery: Nursery, say: Say) -> Result<(), Failure> {
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
    let begun = trace::begin(&run, nursery)?;
    let target = document::target(print, begun.new, &begun.stop)?;
    let Some(target) = target else { return Ok(()) };
    let pipe = target.pipe().map_err(failed)?;
    let (select, redact) = (begun.select.clone(), !print.no_redact);
    let mut profiler = Profiler::new(select, watched.follow_children, redact, pipe, say);
    let meant = meant(watched, &begun.seen);
    let mut ready = begun.ready(&run)?;
    find(&mut profiler, &mut ready, meant.as_deref(), say);
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

/// All processes that are there and can be meant; None: any.
fn meant(watched: &cli::Watched, seen: &[SeenProcess]) -> Option<Vec<u32>> {
    match watched.pid.as_slice() {
        [] => None,
        pids if watched.follow_children => {
            let family = trace::family(pids, seen);
            Some(seen.iter().map(|process| process.pid).filter(|&pid| family.has(pid)).collect())
        }
        pids => Some(pids.to_vec()),
    }
}

/// The processes that are there, with what they have. `pids`: all that can be meant, where that is known.
fn find(profiler: &mut Profiler, ready: &mut Ready, pids: Option<&[u32]>, say: Say) {
    let looking = match pids {
        Some(pids) => Some(Looking::into(pids)),
        None => Looking::into_all(&mut *ready.heads),
    };
    let unknown = looking.is_none_or(|mut looking| {
        let stop = ready.stop.clone();
        let interest = ready.plugins.interest().clone();
        while let Some(looked) = looking.some(&mut *ready.heads, &interest, &stop) {
            ready.meet_reader(say);
            found(profiler, ready, &looked);
        }
        looking.unknown > 0
    });
    if unknown && !ready.stop.is_asked() {
        say.error("not all processes could be looked into: some may be missing from the profile");
    }
}

fn found(profiler: &mut Profiler, ready: &mut Ready, looked: &[LookedAt]) {
    for process in looked {
        if !ready.own.contains(&process.pid) && profiler.wants(process) {
            profiler.found(process, &mut *ready.heads, &mut ready.plugins);
        }
    }
}

/// A process id is there now or never; for a name there is time.
fn not_there(watched: &cli::Watched, duration: Duration, say: Say) -> Result<(), Failure> {
    if watched.name.is_empty() {
        let pids: Vec<String> = watched.pid.iter().map(u32::to_string).collect();
        return Err(failed(anyhow!(
            "--pid {}: the process has ended, or is one of the kernel's own",
            pids.join(" --pid ")
        )));
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
