//! Whether a process is one of which a trace never sees anything.

use super::procfs;
use super::protocol::Unobservable;

/// Flag of a kernel thread in `/proc/PID/stat`.
pub(super) const PF_KTHREAD: u64 = 0x0020_0000;

/// Returns why this process cannot be traced. `None`: it can, or `/proc` does not show it.
pub(super) fn of(pid: u32) -> Option<Unobservable> {
    let status = procfs::read(pid, "status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    // A process that hangs inside execve blocks readers of its stat file, so it is read only on kernels whose status has
    // no line for kernel threads (before Linux 6.8).
    let stat = if status.contains("\nKthread:") {
        Vec::new()
    } else {
        procfs::read(pid, "stat").unwrap_or_default()
    };
    reason(pid, &status, &stat)
}

fn reason(pid: u32, status: &str, stat: &[u8]) -> Option<Unobservable> {
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let process: Option<u32> = value("Tgid:").and_then(|value| value.parse().ok());
    if let Some(process) = process.filter(|&process| process != pid) {
        return Some(Unobservable::Thread(process));
    }
    let is_dead = value("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    // If the first thread of a process has ended, its other threads still cause events.
    if is_dead && value("Threads:").is_none_or(|threads| matches!(threads, "0" | "1")) {
        return Some(Unobservable::Zombie);
    }
    let flags = procfs::stat_field(stat, procfs::STAT_FLAGS);
    let is_kernel_thread =
        value("Kthread:") == Some("1") || flags.is_some_and(|flags| flags & PF_KTHREAD != 0);
    is_kernel_thread.then_some(Unobservable::KernelThread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    #[test]
    fn a_thread_is_not_a_process() {
        // SAFETY: no memory is involved.
        let tid = || u32::try_from(unsafe { libc::gettid() }).unwrap();
        let own = std::process::id();
        assert_eq!(of(own), None);
        // The test harness may run this test on the main thread; a new thread never is.
        let found = std::thread::spawn(move || of(tid())).join().unwrap();
        assert_eq!(found, Some(Unobservable::Thread(own)));
    }

    #[test]
    fn old_and_new_kernels_identify_kernel_threads() {
        let status = |kthread| format!("Name:\tx\nTgid:\t7\nPid:\t7\n{kthread}");
        let stat = |flags| format!("7 (a) R) S 2 0 0 0 -1 {flags} 0 0");
        let is_kernel_thread = |kthread, flags: u64| {
            let found = reason(7, &status(kthread), stat(flags).as_bytes());
            found == Some(Unobservable::KernelThread)
        };
        assert!(is_kernel_thread("Kthread:\t1\n", 0) && is_kernel_thread("", PF_KTHREAD | 64));
        assert!(!is_kernel_thread("Kthread:\t0\n", 0x0040_0000) && !is_kernel_thread("", 64));
        assert_eq!(reason(7, "", b""), None, "hidden, or no /proc");
    }

    #[test]
    fn a_zombie_causes_no_events() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), options).unwrap();
        let found = of(child.id());
        child.wait().unwrap();
        assert_eq!(found, Some(Unobservable::Zombie));
        let is_zombie = |state: &str, threads: &str| {
            let status =
                format!("Name:\tx\nState:\t{state} (word)\nTgid:\t7\nThreads:\t{threads}\n");
            reason(7, &status, b"") == Some(Unobservable::Zombie)
        };
        assert!(is_zombie("Z", "1") && is_zombie("X", "0"));
        assert!(!is_zombie("Z", "2") && !is_zombie("S", "1"));
    }
}
