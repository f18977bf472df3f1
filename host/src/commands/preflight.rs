//! Checks and lookups of existing processes before a run.

use std::fs;
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
use crypto_tracer_pipeline::Family;
use crypto_tracer_reader::{ExistingProcess, ReaderClient};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;

/// Time limit for reading `/proc`. After it, the run starts without its data.
const SCAN_TIMEOUT: Duration = Duration::from_secs(4);
/// Time limit for reading `/proc` if the run needs its data.
const REQUIRED_SCAN_TIMEOUT: Duration = Duration::from_secs(10);
/// Flag of a kernel thread in `/proc/PID/stat`. `/proc/PID/status` has it since Linux 6.8.
const PF_KTHREAD: u64 = 0x0020_0000;

/// Checks whether the process of `--pid` exists.
pub(super) fn check_exists(pid: u32) -> Result<(), Failure> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // EPERM is the answer for a process of another user.
    if raw.is_none_or(|raw| test_kill_process(raw) == Err(Errno::SRCH)) {
        return Err(failed(anyhow!("--pid {pid}: there is no such process")));
    }
    Ok(())
}

/// Checks whether `--pid` is a process that a run can trace.
pub(super) fn check(pid: u32) -> Result<(), Failure> {
    check_exists(pid)?;
    // A thread id passes the first check too. A process whose `/proc` files cannot be read passes.
    let text = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let status = text("status");
    // Reading `stat` may block on the process, so it is read only if necessary.
    let stat = if status.contains("\nKthread:") { String::new() } else { text("stat") };
    match untraceable(pid, &status, &stat) {
        Some(reason) => Err(failed(anyhow!("--pid {pid}: {reason}"))),
        None => Ok(()),
    }
}

/// Returns why a process never has events.
fn untraceable(pid: u32, status: &str, stat: &str) -> Option<String> {
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let tgid: Option<u32> = value("Tgid:").and_then(|value| value.parse().ok());
    if let Some(tgid) = tgid.filter(|&tgid| tgid != pid) {
        return Some(format!("this is a thread of process {tgid}"));
    }
    let is_dead = value("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    // Other threads may run after the first one has ended.
    if is_dead && value("Threads:").is_none_or(|threads| matches!(threads, "0" | "1")) {
        return Some("the process is a zombie: it has ended".to_owned());
    }
    // Field 9 of proc(5), counted from the end of the name, which may contain any byte.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let flags = fields.split_ascii_whitespace().nth(6).and_then(|flags| flags.parse::<u64>().ok());
    let is_kthread =
        value("Kthread:") == Some("1") || flags.is_some_and(|flags| flags & PF_KTHREAD != 0);
    is_kthread.then(|| "this is a kernel thread, which opens no files".to_owned())
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

/// Adds all existing descendants of `pids` to the kernel side's table, which follows their later children itself. A child
/// that is forked between the scan and the insertion of its parent is found by the next scan, so scans are repeated until
/// they find no new process.
pub(super) fn follow(
    pids: &[u32],
    source: &mut Source,
    reader: &mut ReaderClient,
    shutdown: &Shutdown,
    console: Console,
) -> Result<(), Failure> {
    let until = Instant::now() + REQUIRED_SCAN_TIMEOUT;
    loop {
        let Some(ancestry) = reader.kin(until, shutdown) else {
            return scan_timed_out(true, shutdown, console);
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
            return Ok(());
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
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    #[test]
    fn a_thread_id_is_refused() {
        // SAFETY: no memory is involved.
        let tid = || u32::try_from(unsafe { libc::gettid() }).unwrap();
        let own = std::process::id();
        assert!(check(own).is_ok());
        let (thread, refused) = std::thread::spawn(move || (tid(), check(tid()))).join().unwrap();
        let message = format!("{:#}", refused.unwrap_err().error);
        assert_eq!(message, format!("--pid {thread}: this is a thread of process {own}"));
    }

    #[test]
    fn kernel_threads_of_old_and_new_kernels_are_refused() {
        let status = |kthread| format!("Name:\tx\nTgid:\t7\nPid:\t7\n{kthread}");
        let stat = |flags| format!("7 (a) R) S 2 0 0 0 -1 {flags} 0 0");
        let is_refused =
            |kthread, flags: u64| untraceable(7, &status(kthread), &stat(flags)).is_some();
        assert!(is_refused("Kthread:\t1\n", 0) && is_refused("", PF_KTHREAD | 64));
        assert!(!is_refused("Kthread:\t0\n", 0x0040_0000) && !is_refused("", 64));
        assert_eq!(untraceable(7, "", ""), None, "hidden, or no /proc");
    }

    #[test]
    fn a_zombie_is_refused() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let waited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), waited).unwrap();
        let refused = check(child.id()).unwrap_err();
        child.wait().unwrap();
        assert!(format!("{:#}", refused.error).contains("it has ended"));
        let of = |state: &str, threads: &str| {
            let status =
                format!("Name:\tx\nState:\t{state} (word)\nTgid:\t7\nThreads:\t{threads}\n");
            untraceable(7, &status, "").is_some()
        };
        assert!(of("Z", "1") && of("X", "0") && !of("Z", "2") && !of("S", "1"));
    }

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
