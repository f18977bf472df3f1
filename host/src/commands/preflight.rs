//! Checks and lookups of existing processes before a run.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::document::failed;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_capture::Source;
use crypto_tracer_event::ProcessKey;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_pipeline::enrich::RunningProcess;
use crypto_tracer_pipeline::{Family, LiveReader};
use crypto_tracer_reader::{ExistingProcess, ReaderClient};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;

/// Time limit for reading `/proc`. After it, the run starts without its data.
const SCAN_TIMEOUT: Duration = Duration::from_secs(4);
/// Time limit for reading `/proc` if the run needs its data.
const REQUIRED_SCAN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the check of one `--pid`.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Checks whether the process of `--pid` exists.
pub(super) fn check_exists(pid: u32) -> Result<(), Failure> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // EPERM is the answer for a process of another user.
    if raw.is_none_or(|raw| test_kill_process(raw) == Err(Errno::SRCH)) {
        return Err(failed(anyhow!("--pid {pid}: there is no such process")));
    }
    Ok(())
}

/// Checks whether `--pid` is a process that a run can trace. A process that `/proc` does not show, or whose files there
/// block, passes.
pub(super) fn check(
    pid: u32,
    reader: &mut ReaderClient,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    check_exists(pid)?;
    match reader.unobservable(pid, Instant::now() + CHECK_TIMEOUT, shutdown) {
        Some(reason) => Err(failed(anyhow!("--pid {pid}: {reason}"))),
        None => Ok(()),
    }
}

/// Returns the start time of the process of `--pid`. `None`: `/proc` does not show it, or blocks.
pub(super) fn start_time(pid: u32, reader: &mut ReaderClient, shutdown: &Shutdown) -> Option<u64> {
    let found = reader.inspect(&[pid], None, Instant::now() + CHECK_TIMEOUT, shutdown)?;
    found.first().map(|process| process.start_ns).filter(|&start_ns| start_ns != 0)
}

/// Fails if the process of `--pid` has ended since its start time was read: another one may have its pid.
pub(super) fn check_still_exists(
    pid: u32,
    started: Option<u64>,
    reader: &mut ReaderClient,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    check_exists(pid)?;
    match (started, start_time(pid, reader, shutdown)) {
        (Some(before), Some(now)) if before != now => {
            Err(failed(anyhow!("--pid {pid}: the process has ended")))
        }
        _ => Ok(()),
    }
}

/// Returns the existing processes, with their mapped libraries of interest. `follow`: the run needs the result to find
/// descendants.
pub(super) fn scan(
    reader: &mut ReaderClient,
    interest: &Interest,
    follow: bool,
    shutdown: &Shutdown,
    console: Console,
) -> Result<Vec<ExistingProcess>, Failure> {
    let timeout = if follow { REQUIRED_SCAN_TIMEOUT } else { SCAN_TIMEOUT };
    let Some((existing, hidden)) = reader.scan(interest, Instant::now() + timeout, shutdown) else {
        return scan_timed_out(follow, shutdown, console).map(|()| Vec::new());
    };
    if hidden > 0 {
        let processes = counted(hidden, "process");
        console.error(format_args!("cannot read {processes}: earlier libraries are unknown"));
    }
    Ok(existing)
}

/// Returns the running processes, for the ancestors of those that start later.
pub(super) fn running(
    reader: &mut LiveReader,
    shutdown: &Shutdown,
    console: Console,
) -> Vec<RunningProcess> {
    let (running, is_complete) = RunningProcess::all(reader, Instant::now() + SCAN_TIMEOUT);
    // The request interrupted the scan.
    if !is_complete && !shutdown.is_requested() {
        console.error("cannot read /proc in time: some ancestors of processes are unknown");
    }
    running
}

/// Adds all existing descendants of `pids` to the kernel side's table, which follows their later children itself. A child
/// that is forked between the scan and the insertion of its parent is found by the next scan, so scans are repeated until
/// they find no new process. Returns the pids of all of them.
pub(super) fn follow(
    pids: &[u32],
    source: &mut Source,
    reader: &mut ReaderClient,
    shutdown: &Shutdown,
    console: Console,
) -> Result<Vec<u32>, Failure> {
    let until = Instant::now() + REQUIRED_SCAN_TIMEOUT;
    loop {
        let Some(ancestry) = reader.ancestry(until, shutdown) else {
            return scan_timed_out(true, shutdown, console).map(|()| pids.to_vec());
        };
        let children: Vec<(u32, u32)> =
            ancestry.iter().map(|process| (process.ppid, process.pid)).collect();
        let family = Family::of(pids, &children);
        let members = ancestry.iter().filter(|process| family.has(process.pid));
        let keys: Vec<ProcessKey> = members
            .filter_map(|it| Some(ProcessKey { tgid: it.pid, start_ns: it.start_ns? }))
            .collect();
        let added = source.follow(&keys).map_err(|error| Failure::new(ExitStatus::Probe, error))?;
        if added == 0 {
            return Ok(keys.into_iter().map(|key| key.tgid).collect());
        }
    }
}

/// Reports that a scan of `/proc` took too long. It is an error if the run needs the result.
fn scan_timed_out(follow: bool, shutdown: &Shutdown, console: Console) -> Result<(), Failure> {
    // The request interrupted the scan.
    if shutdown.is_requested() {
        return Ok(());
    }
    if follow {
        return Err(failed(anyhow!(
            "--follow-children: cannot read /proc in time, so the descendants are unknown"
        )));
    }
    console.error("cannot read /proc in time: earlier libraries of processes are unknown");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_system::console::Verbosity;

    #[test]
    fn unknown_descendants_are_a_failure() {
        let (shutdown, console) = (Shutdown::default(), Console(Verbosity::Quiet));
        assert!(scan_timed_out(false, &shutdown, console).is_ok());
        let message = format!("{:#}", scan_timed_out(true, &shutdown, console).unwrap_err().error);
        assert!(message.contains("--follow-children") && message.contains("/proc"), "{message}");
        shutdown.request();
        assert!(scan_timed_out(true, &shutdown, console).is_ok(), "after a shutdown request");
    }
}
