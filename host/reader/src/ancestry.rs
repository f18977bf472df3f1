//! All processes with their parents. The scan has to be fast, because the processes of interest continue to fork.

use std::collections::HashSet;

use super::proc_probe::{ProbePool, Timeouts};
use super::procfs;
use super::protocol::Ancestry;

/// Returns all visible processes, and whether the scan completed in time. Processes that exit meanwhile are omitted.
pub(super) fn scan(probes: &ProbePool) -> (Vec<Ancestry>, bool) {
    let pids = procfs::pids();
    let probe = |pid: u32| {
        let (ppid, start_ns) = procfs::parse_stat(&procfs::read(pid, "stat").ok()?)?;
        Some(Ancestry { pid, ppid, start_ns: Some(start_ns) })
    };
    let (probed, complete) =
        probes.each(pids.iter().copied(), Timeouts::RESPONSE, move |pid| (pid, probe(pid)));
    let probed_pids: HashSet<u32> = probed.iter().map(|(pid, _)| *pid).collect();
    // Blocked processes have children too. `status` never blocks.
    let blocked = pids.into_iter().filter(|pid| complete && !probed_pids.contains(pid));
    let blocked = blocked.filter_map(|pid| {
        let ppid = procfs::status_value(&procfs::read(pid, "status").ok()?, "PPid:")?;
        Some(Ancestry { pid, ppid, start_ns: None })
    });
    let blocked: Vec<Ancestry> = blocked.collect();
    (probed.into_iter().filter_map(|(_, process)| process).chain(blocked).collect(), complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_this_process_with_its_parent() {
        let (processes, _) = scan(&ProbePool::default());
        let own = processes.iter().find(|process| process.pid == std::process::id()).unwrap();
        assert_eq!(own.ppid, std::os::unix::process::parent_id());
        assert!(own.start_ns > Some(0));
    }
}
