//! `profile`: one document about some processes, from a run that traces them.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::before;
use super::document::{self, failed};
use super::looking::Looking;
use super::trace::{self, Ready, Run};
use crate::cli::{self, Processes, Trace};
use crate::document::Run as Counted;
use crate::error::{Code, Failure};
use crate::pipeline::{Profiler, Sink, Whose, Why, wall_now};
use crate::printable::printable;
use crate::progress::Progress;
use crate::reader::{LookedAt, Nursery, SeenProcess};
use crate::say::Say;
use crate::select::Kinds;
use crate::stats::Used;

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
    contradiction(watched)?;
    let Some(begun) = trace::begin(&run, nursery)? else { return Ok(()) };
    let target = document::target(print, begun.new, &begun.stop)?;
    let Some(target) = target else { return Ok(()) };
    let pipe = target.pipe().map_err(failed)?;
    let (select, redact) = (begun.select.clone(), !print.no_redact);
    let meant = meant(watched, &begun.seen);
    let whose = Whose { select, follow_children: watched.follow_children, pids: meant.clone() };
    let mut profiler = Profiler::new(whose, redact, pipe, say);
    let mut ready = begun.ready(&run)?;
    find(&mut profiler, &mut ready, meant.as_deref(), say);
    if profiler.is_empty() && profiler.is_over() {
        return Err(failed(anyhow!("{}: the process has ended", pids(watched))));
    } else if profiler.is_empty() && !ready.stop.is_asked() {
        not_there(watched, *duration, say)?;
    }
    let stop = ready.stop.clone();
    let length = (!duration.is_zero()).then_some(*duration);
    let progress = Progress::show(say, length, profiler.counter());
    let start = Instant::now();
    let outcome = ready.live(&run, profiler, None)?;
    drop(progress);
    say.info(format_args!("{}; {}", outcome.stats, Used::with(outcome.reader)));
    let reader_gone = outcome.why == Why::Output;
    trace::ended(outcome.recording, outcome.why)?;
    if outcome.output.is_empty() && !reader_gone {
        return Err(failed(unseen(watched)));
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

/// One document is about one process and what belongs to it: nobody is two of them.
fn contradiction(watched: &cli::Watched) -> Result<(), Failure> {
    let Some((first, rest)) = watched.pid.split_first() else { return Ok(()) };
    let Some(other) = rest.iter().find(|pid| *pid != first) else { return Ok(()) };
    let error = anyhow!(
        "--pid {first} --pid {other}: no process is both; a profile is about one, or about all with --name in their name"
    );
    Err(Failure { code: Code::Usage, error })
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
        let mut vague = false;
        while let Some(mut looked) = looking.some(&mut *ready.heads, &interest, &stop) {
            ready.meet_reader(say);
            // Of whom not even the start is known, it is not known either which events are his.
            vague |= looked.extract_if(.., |process| process.start_ns == 0).count() > 0;
            found(profiler, ready, &looked);
        }
        vague || looking.unknown > 0
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
        // What is there, and of whom nothing was told, may yet do something.
        watched.pid.iter().try_for_each(|&pid| before::there(pid))?;
        say.error(format_args!(
            "{} could not be looked into: what it had before the start is not known",
            pids(watched)
        ));
        return Ok(());
    }
    let limit = match duration.as_secs() {
        0 => String::new(),
        seconds => format!(" for up to {seconds} s"),
    };
    say.info(format_args!("{} is there yet; waiting for one{limit}", nobody(watched)));
    Ok(())
}

/// Why there is no document.
fn unseen(watched: &cli::Watched) -> anyhow::Error {
    if watched.name.is_empty() {
        anyhow!("{} could not be looked into, and did nothing that is seen", pids(watched))
    } else {
        anyhow!("{} was seen", nobody(watched))
    }
}

fn pids(watched: &cli::Watched) -> String {
    let pids: Vec<String> = watched.pid.iter().map(|pid| format!("--pid {pid}")).collect();
    pids.join(" ")
}

fn nobody(watched: &cli::Watched) -> String {
    let quoted = |name: &OsString| format!("'{}'", printable(&name.to_string_lossy()));
    let names: Vec<String> = watched.name.iter().map(quoted).collect();
    let whose = match watched.pid.first() {
        Some(pid) if watched.follow_children => format!(" of --pid {pid} and its descendants"),
        Some(pid) => format!(" of --pid {pid}"),
        None => String::new(),
    };
    format!("no process{whose} with {} in its name", names.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::say::Loudness;

    fn watched(pid: &[u32], name: &[&str]) -> cli::Watched {
        let name = name.iter().map(OsString::from).collect();
        cli::Watched { pid: pid.to_vec(), name, follow_children: false }
    }

    #[test]
    fn nobody_is_two_processes() {
        assert!(contradiction(&watched(&[], &["a", "b"])).is_ok());
        assert!(contradiction(&watched(&[7, 7], &[])).is_ok());
        let refused = contradiction(&watched(&[7, 7, 8], &[])).unwrap_err();
        assert!(
            matches!(refused.code, Code::Usage) && refused.error.to_string().contains("--pid 8")
        );
    }

    /// The reader hung, or may not look: that is not the end of the process.
    #[test]
    fn a_process_that_lives_has_not_ended() {
        let second = Duration::from_secs(1);
        let told = |pid| not_there(&watched(&[pid], &[]), second, Say(Loudness::Quiet));
        assert!(told(std::process::id()).is_ok());
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let refused = told(ended.id()).unwrap_err();
        assert_eq!(
            refused.error.to_string(),
            format!("--pid {}: there is no such process", ended.id())
        );
        let said = unseen(&watched(&[7], &[])).to_string();
        assert!(said.starts_with("--pid 7 could not be looked into"), "{said}");
        assert_eq!(nobody(&watched(&[7], &["x"])), "no process of --pid 7 with 'x' in its name");
    }
}
