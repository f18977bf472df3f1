//! `profile`: one document about some processes, from a run that traces them.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::document::{self, failed};
use super::preflight;
use super::process_walk::ProcessWalk;
use super::trace::{self, RunRequest, Session};
use crate::cli::{self, Processes, Trace};
use crate::error::{ExitStatus, Failure};
use crate::progress::RunProgress;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::RunSummary as Counted;
use crypto_tracer_pipeline::select::ShownKinds;
use crypto_tracer_pipeline::{EndReason, ProfileCollector, ProfileTarget, Sink, wall_now};
use crypto_tracer_reader::{ExistingProcess, ProcessDetails, Spawner};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::usage::Used;

/// Traces until the processes have ended, or the duration is over.
pub(super) fn profile(
    arguments: &cli::ProfileArgs,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let cli::ProfileArgs { duration, watched, capture, print, plugins } = arguments;
    let processes = Processes { duration: *duration, watched: watched.clone() };
    let trace = Trace { processes, ..Trace::default() };
    let run = RunRequest {
        kinds: ShownKinds::ALL,
        trace: &trace,
        plugins,
        capture,
        output: print.output.as_deref(),
        // The end of one that has taken another name is to be seen too.
        names_in_kernel: false,
        console,
    };
    contradiction(watched)?;
    let Some(begun) = trace::begin(&run, spawner)? else { return Ok(()) };
    let target = document::target(print, begun.new, &begun.shutdown)?;
    let Some(target) = target else { return Ok(()) };
    let pipe = target.pipe().map_err(failed)?;
    let (select, redact) = (begun.select.clone(), !print.no_redact);
    let meant = meant(watched, &begun.seen);
    let whose =
        ProfileTarget { select, follow_children: watched.follow_children, pids: meant.clone() };
    let mut collector = ProfileCollector::new(whose, redact, pipe, console);
    let mut ready = begun.ready(&run)?;
    find(&mut collector, &mut ready, meant.as_deref(), console);
    if collector.is_empty() && collector.is_over() {
        return Err(failed(anyhow!("{}: the process has ended", pids(watched))));
    } else if collector.is_empty() && !ready.shutdown.is_requested() {
        not_there(watched, *duration, console)?;
    }
    let shutdown = ready.shutdown.clone();
    let length = (!duration.is_zero()).then_some(*duration);
    let progress = RunProgress::show(console, length, collector.counter());
    let start = Instant::now();
    let outcome = ready.live(&run, collector, None)?;
    drop(progress);
    console.info(format_args!("{}; {}", outcome.stats, Used::with(outcome.reader)));
    let reader_gone = outcome.why == EndReason::Output;
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
    document::print(&profile, print, target, &shutdown)
}

/// One document is about one process and what belongs to it: nobody is two of them.
fn contradiction(watched: &cli::Watched) -> Result<(), Failure> {
    let Some((first, rest)) = watched.pid.split_first() else { return Ok(()) };
    let Some(other) = rest.iter().find(|pid| *pid != first) else { return Ok(()) };
    let error = anyhow!(
        "--pid {first} --pid {other}: no process is both; a profile is about one, or about all with --name in their name"
    );
    Err(Failure { code: ExitStatus::Usage, error })
}

/// All processes that are there and can be meant; None: any.
fn meant(watched: &cli::Watched, seen: &[ExistingProcess]) -> Option<Vec<u32>> {
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
fn find(
    collector: &mut ProfileCollector,
    ready: &mut Session,
    pids: Option<&[u32]>,
    console: Console,
) {
    let looking = match pids {
        Some(pids) => Some(ProcessWalk::into(pids)),
        None => ProcessWalk::into_all(&mut *ready.heads),
    };
    let unknown = looking.is_none_or(|mut looking| {
        let shutdown = ready.shutdown.clone();
        let interest = ready.plugins.interest().clone();
        let mut vague = false;
        while let Some(mut looked) = looking.some(&mut *ready.heads, &interest, &shutdown) {
            ready.register_reader(console);
            // Of whom not even the start is known, it is not known either which events are his.
            vague |= looked.extract_if(.., |process| process.start_ns == 0).count() > 0;
            found(collector, ready, &looked);
        }
        vague || looking.unknown > 0
    });
    if unknown && !ready.shutdown.is_requested() {
        console
            .error("not all processes could be looked into: some may be missing from the profile");
    }
}

fn found(collector: &mut ProfileCollector, ready: &mut Session, looked: &[ProcessDetails]) {
    for process in looked {
        if !ready.own.contains(&process.pid) && collector.wants(process) {
            collector.found(process, &mut *ready.heads, &mut ready.plugins);
        }
    }
}

/// A process id is there now or never; for a name there is time.
fn not_there(watched: &cli::Watched, duration: Duration, console: Console) -> Result<(), Failure> {
    if watched.name.is_empty() {
        // What is there, and of whom nothing was told, may yet do something.
        watched.pid.iter().try_for_each(|&pid| preflight::there(pid))?;
        console.error(format_args!(
            "{} could not be looked into: what it had before the start is not known",
            pids(watched)
        ));
        return Ok(());
    }
    let limit = match duration.as_secs() {
        0 => String::new(),
        seconds => format!(" for up to {seconds} s"),
    };
    console.info(format_args!("{} is there yet; waiting for one{limit}", nobody(watched)));
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
    use crypto_tracer_system::console::Verbosity;

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
            matches!(refused.code, ExitStatus::Usage)
                && refused.error.to_string().contains("--pid 8")
        );
    }

    /// The reader hung, or may not look: that is not the end of the process.
    #[test]
    fn a_process_that_lives_has_not_ended() {
        let second = Duration::from_secs(1);
        let told = |pid| not_there(&watched(&[pid], &[]), second, Console(Verbosity::Quiet));
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
