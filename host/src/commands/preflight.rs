//! What is known of the processes that are there before a run.

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

/// How long the look at `/proc` may take before the run starts without it.
const SCAN: Duration = Duration::from_secs(4);
/// How long where the run cannot do without it.
const SCAN_NEEDED: Duration = Duration::from_secs(10);
/// In `/proc/PID/stat`: a kernel thread. Before Linux 6.8 `status` does not tell.
const PF_KTHREAD: u64 = 0x0020_0000;

/// Whether `--pid` names anything at all.
pub(super) fn there(pid: u32) -> Result<(), Failure> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Another user's process answers that it may not be signalled: it is there.
    if raw.is_none_or(|raw| test_kill_process(raw) == Err(Errno::SRCH)) {
        return Err(failed(anyhow!("--pid {pid}: there is no such process")));
    }
    Ok(())
}

/// Whether `--pid` names a process that a run can see anything of.
pub(super) fn check(pid: u32) -> Result<(), Failure> {
    there(pid)?;
    // A thread answers a signal too. What `/proc` does not show is taken for what it was given as.
    let text = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let status = text("status");
    // It may make wait whoever asks for more.
    let stat = if status.contains("\nKthread:") { String::new() } else { text("stat") };
    match unfit(pid, &status, &stat) {
        Some(why) => Err(failed(anyhow!("--pid {pid}: {why}"))),
        None => Ok(()),
    }
}

/// Why nothing would ever be seen of it.
fn unfit(pid: u32, status: &str, stat: &str) -> Option<String> {
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let process: Option<u32> = value("Tgid:").and_then(|value| value.parse().ok());
    if let Some(process) = process.filter(|&process| process != pid) {
        return Some(format!("that is a thread of process {process}"));
    }
    let is_dead = value("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    // Of one whose first thread ended before the others there is more to see.
    if is_dead && value("Threads:").is_none_or(|threads| matches!(threads, "0" | "1")) {
        return Some("it has ended already, and its parent has not taken note of it".to_owned());
    }
    // Field 9 of proc(5), counted behind the name, which may hold any byte.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let flags = behind.split_ascii_whitespace().nth(6).and_then(|flags| flags.parse::<u64>().ok());
    let kernels = value("Kthread:") == Some("1") || flags.is_some_and(|it| it & PF_KTHREAD != 0);
    kernels.then(|| "it is one of the kernel's own, which open no files".to_owned())
}

/// All processes that are there already. `follow`: whose descendants are wanted is only to know from them. Of what
/// they have mapped, what somebody is interested in.
pub(super) fn scan(
    reader: &mut ReaderClient,
    interest: &Interest,
    follow: bool,
    shutdown: &Shutdown,
    console: Console,
) -> Result<Vec<ExistingProcess>, Failure> {
    let patience = if follow { SCAN_NEEDED } else { SCAN };
    let Some((seen, hidden)) = reader.scan(interest, Instant::now() + patience, shutdown) else {
        return unseen(follow, shutdown, console).map(|()| Vec::new());
    };
    if hidden > 0 {
        let processes = counted(hidden, "process");
        console.error(format_args!("cannot read {processes}: earlier libraries are unknown"));
    }
    Ok(seen)
}

/// Names to the kernel side all that descend from this process already; those that they make from then on it finds by
/// itself. Whoever is made between a look and the naming of its parent is found by the next look: until there is nobody.
pub(super) fn follow(
    pids: &[u32],
    source: &mut Source,
    reader: &mut ReaderClient,
    shutdown: &Shutdown,
    console: Console,
) -> Result<(), Failure> {
    let until = Instant::now() + SCAN_NEEDED;
    loop {
        let Some(kin) = reader.kin(until, shutdown) else { return unseen(true, shutdown, console) };
        let children: Vec<(u32, u32)> = kin.iter().map(|one| (one.ppid, one.pid)).collect();
        let family = Family::of(pids, &children);
        let members = kin.iter().filter(|one| family.has(one.pid));
        let keys: Vec<ProcessKey> = members
            .filter_map(|one| Some(ProcessKey { tgid: one.pid, start_ns: one.start_ns? }))
            .collect();
        let named = source.follow(&keys).map_err(|error| Failure::new(ExitStatus::Probe, error))?;
        if named == 0 {
            return Ok(());
        }
    }
}

/// The look took too long: a run that cannot do without it does not start.
fn unseen(follow: bool, shutdown: &Shutdown, console: Console) -> Result<(), Failure> {
    // Then it was given up because of that.
    if shutdown.is_requested() {
        return Ok(());
    }
    if follow {
        return Err(failed(anyhow!(
            "--follow-children: /proc could not be read in time, so the descendants are not known"
        )));
    }
    console
        .error("/proc could not be read in time: what processes had before the start is not known");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_system::console::Verbosity;
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    #[test]
    fn a_thread_is_no_process() {
        // SAFETY: no memory is involved.
        let tid = || u32::try_from(unsafe { libc::gettid() }).unwrap();
        let own = std::process::id();
        assert!(check(own).is_ok());
        // Tests run on threads of their own; this one certainly does.
        let (thread, refused) = std::thread::spawn(move || (tid(), check(tid()))).join().unwrap();
        let said = format!("{:#}", refused.unwrap_err().error);
        assert_eq!(said, format!("--pid {thread}: that is a thread of process {own}"));
    }

    #[test]
    fn kernel_threads_are_told_by_old_and_new_kernels() {
        let status = |kthread| format!("Name:\tx\nTgid:\t7\nPid:\t7\n{kthread}");
        let stat = |flags| format!("7 (a) R) S 2 0 0 0 -1 {flags} 0 0");
        let told = |kthread, flags: u64| unfit(7, &status(kthread), &stat(flags)).is_some();
        assert!(told("Kthread:\t1\n", 0) && told("", PF_KTHREAD | 64));
        assert!(!told("Kthread:\t0\n", 0x0040_0000) && !told("", 64));
        assert_eq!(unfit(7, "", ""), None, "hidden, or no /proc");
    }

    #[test]
    fn nothing_more_comes_from_a_zombie() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let waited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), waited).unwrap();
        let refused = check(child.id()).unwrap_err();
        child.wait().unwrap();
        assert!(format!("{:#}", refused.error).contains("it has ended already"));
        let of = |state: &str, threads: &str| {
            let status =
                format!("Name:\tx\nState:\t{state} (word)\nTgid:\t7\nThreads:\t{threads}\n");
            unfit(7, &status, "").is_some()
        };
        assert!(of("Z", "1") && of("X", "0") && !of("Z", "2") && !of("S", "1"));
    }

    #[test]
    fn descendants_that_are_not_known_are_a_failure() {
        let (shutdown, console) = (Shutdown::default(), Console(Verbosity::Quiet));
        assert!(unseen(false, &shutdown, console).is_ok());
        let said = format!("{:#}", unseen(true, &shutdown, console).unwrap_err().error);
        assert!(said.contains("--follow-children") && said.contains("/proc"), "{said}");
        shutdown.request();
        assert!(unseen(true, &shutdown, console).is_ok(), "asked to end, it ends");
    }
}
