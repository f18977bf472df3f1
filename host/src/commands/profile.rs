//! `profile`: traces some processes and prints one document about them.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::document::{self, failed};
use super::preflight;
use super::process_walk::ProcessWalk;
use super::run_request::RunRequest;
use super::session::{self, SessionBuilder};
use super::setup;
use crate::cli::{self, Processes, Trace};
use crate::error::{ExitStatus, Failure};
use crate::progress::RunProgress;
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::OutputControl;
use crypto_tracer_output::document::RunSummary;
use crypto_tracer_pipeline::{
    EndReason, Observer as _, ProfileCollector, ProfileTarget, Redaction,
};
use crypto_tracer_reader::{ExistingProcess, Spawner};
use crypto_tracer_system::console::Console;

/// Traces until the processes have ended or the duration is over.
pub(super) fn profile(
    arguments: &cli::ProfileArgs,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let cli::ProfileArgs { duration, watched, capture, print, plugins } = arguments;
    let processes = Processes { duration: *duration, watched: watched.clone() };
    let trace = Trace { processes, ..Trace::default() };
    let run = RunRequest {
        kinds: EventKinds::ALL,
        trace: &trace,
        plugins,
        capture,
        redaction: Redaction { enabled: !print.no_redact, extended: false },
        needs_assets: false,
        output: print.to.output.as_deref(),
        // A process may change its name, and its exit must be observed.
        names_in_kernel: false,
        console,
    };
    check_pids(watched)?;
    let Some(mut builder) = SessionBuilder::attach(&run, spawner, None)? else { return Ok(()) };
    let shutdown = builder.pipeline.shutdown.clone();
    let target = document::target(&print.to, builder.new_file, &shutdown)?;
    let Some(target) = target else { return Ok(()) };
    let control = OutputControl::of_pipe(target.pipe().map_err(failed)?);
    let candidates = candidates(watched, &builder.existing);
    let (select, clock) = (builder.pipeline.select.clone(), builder.pipeline.clock.clone());
    let follow_children = watched.follow_children;
    let profiled = ProfileTarget { select, follow_children, pids: candidates.clone() };
    let collector = ProfileCollector::new(profiled, builder.reader(), clock.clone(), console);
    builder.pipeline.observers.push(Box::new(collector.clone()));
    builder.confine(&run, run.output)?;
    add_existing(&collector, &mut builder, candidates.as_deref());
    if collector.is_empty() && collector.is_complete() {
        return Err(failed(anyhow!("{}: the process has ended", pids(watched))));
    } else if collector.is_empty() && !shutdown.is_requested() {
        report_no_process(watched, *duration, console)?;
    }
    let length = (!duration.is_zero()).then_some(*duration);
    let progress = RunProgress::show(console, length, collector.counter(), None);
    let start = Instant::now();
    let session = builder.build(&run, (Box::new(collector.clone()), control), None)?;
    let outcome = session::block_on(session)?;
    drop(progress);
    setup::report_counters(&outcome.stats, outcome.reader, console);
    let output_closed = outcome.reason == EndReason::Output;
    session::check_end(outcome.recording, outcome.reason)?;
    if collector.is_empty() && !output_closed {
        return Err(failed(empty_profile(watched)));
    }
    let summary = RunSummary {
        at: clock.now(),
        duration: start.elapsed(),
        total_events: outcome.stats.shown,
        events_lost: outcome.stats.lost(),
        list_processes: watched.follow_children || !watched.name.is_empty(),
    };
    let (profile, stale) = collector.take();
    let profile = profile.finish(summary, &stale);
    document::print(&profile, &print.to, target, &shutdown)
}

/// Refuses two different `--pid`, which no process matches.
fn check_pids(watched: &cli::Watched) -> Result<(), Failure> {
    let Some((first, rest)) = watched.pid.split_first() else { return Ok(()) };
    let Some(other) = rest.iter().find(|pid| *pid != first) else { return Ok(()) };
    let error =
        anyhow!("--pid {first} --pid {other}: no process has both; give one --pid, or --name");
    Err(Failure { code: ExitStatus::Usage, error })
}

/// The existing processes that can match. `None`: any process can, also one that starts later.
fn candidates(watched: &cli::Watched, existing: &[ExistingProcess]) -> Option<Vec<u32>> {
    match watched.pid.as_slice() {
        [] => None,
        pids if watched.follow_children => {
            let family = session::family(pids, existing);
            Some(
                existing.iter().map(|process| process.pid).filter(|&pid| family.has(pid)).collect(),
            )
        }
        pids => Some(pids.to_vec()),
    }
}

/// Adds the existing processes, with their libraries and files. `pids`: the processes that can match, if known.
fn add_existing(collector: &ProfileCollector, builder: &mut SessionBuilder, pids: Option<&[u32]>) {
    let shutdown = builder.pipeline.shutdown.clone();
    let walk = match pids {
        Some(pids) => Some(ProcessWalk::of(pids)),
        None => ProcessWalk::of_all(&mut *builder.pipeline.stages.reader),
    };
    let is_incomplete = walk.is_none_or(|mut walk| {
        let interest = builder.pipeline.stages.plugins.interest().clone();
        let mut has_unidentified = false;
        loop {
            let reader = &mut *builder.pipeline.stages.reader;
            let Some(mut processes) = walk.next(reader, &interest, &shutdown) else { break };
            builder.register_reader();
            // Events cannot be attributed to a process without its start time.
            has_unidentified |= processes.extract_if(.., |it| it.start_ns == 0).count() > 0;
            for process in processes {
                if !builder.is_own(process.pid) && collector.wants(&process) {
                    collector.add_existing(&process, &mut builder.pipeline.stages);
                }
            }
        }
        has_unidentified || walk.unidentified > 0
    });
    if is_incomplete && !shutdown.is_requested() {
        builder
            .pipeline
            .console
            .error("cannot inspect all processes: some may be missing from the profile");
    }
}

/// Reports that no existing process was added. It is an error if the process of `--pid` does not exist.
fn report_no_process(
    watched: &cli::Watched,
    duration: Duration,
    console: Console,
) -> Result<(), Failure> {
    if watched.name.is_empty() {
        // A process that cannot be inspected may still have events.
        watched.pid.iter().try_for_each(|&pid| preflight::check_exists(pid))?;
        console.error(format_args!(
            "cannot inspect {}: its earlier libraries and files are unknown",
            pids(watched)
        ));
        return Ok(());
    }
    let limit = match duration.as_secs() {
        0 => String::new(),
        seconds => format!(" for up to {seconds} s"),
    };
    console.info(format_args!("{} yet; waiting for one{limit}", no_process(watched)));
    Ok(())
}

/// The error of a profile without a process.
fn empty_profile(watched: &cli::Watched) -> anyhow::Error {
    if watched.name.is_empty() {
        anyhow!("cannot inspect {}, and it had no events", pids(watched))
    } else {
        anyhow!("{} had events", no_process(watched))
    }
}

fn pids(watched: &cli::Watched) -> String {
    let pids: Vec<String> = watched.pid.iter().map(|pid| format!("--pid {pid}")).collect();
    pids.join(" ")
}

fn no_process(watched: &cli::Watched) -> String {
    let quoted = |name: &OsString| format!("'{}'", printable(&name.to_string_lossy()));
    let names: Vec<String> = watched.name.iter().map(quoted).collect();
    let origin = match watched.pid.first() {
        Some(pid) if watched.follow_children => format!(" of --pid {pid} and its descendants"),
        Some(pid) => format!(" of --pid {pid}"),
        None => String::new(),
    };
    format!("no process{origin} with {} in its name", names.join(" and "))
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
    fn two_different_pids_are_refused() {
        assert!(check_pids(&watched(&[], &["a", "b"])).is_ok());
        assert!(check_pids(&watched(&[7, 7], &[])).is_ok());
        let refused = check_pids(&watched(&[7, 7, 8], &[])).unwrap_err();
        assert!(
            matches!(refused.code, ExitStatus::Usage)
                && refused.error.to_string().contains("--pid 8")
        );
    }

    /// The reader process may have blocked, or may have no permission.
    #[test]
    fn a_running_process_that_cannot_be_inspected_is_not_an_error() {
        let second = Duration::from_secs(1);
        let report =
            |pid| report_no_process(&watched(&[pid], &[]), second, Console(Verbosity::Quiet));
        assert!(report(std::process::id()).is_ok());
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let refused = report(ended.id()).unwrap_err();
        assert_eq!(
            refused.error.to_string(),
            format!("--pid {}: there is no such process", ended.id())
        );
        let message = empty_profile(&watched(&[7], &[])).to_string();
        assert!(message.starts_with("cannot inspect --pid 7"), "{message}");
        assert_eq!(
            no_process(&watched(&[7], &["x"])),
            "no process of --pid 7 with 'x' in its name"
        );
    }
}
