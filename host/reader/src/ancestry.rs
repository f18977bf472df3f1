//! All processes with their parents. The scan has to be fast, because the processes of interest continue to fork.

use super::proc_probe::{ProbePool, Probed, Timeouts};
use super::procfs;
use super::protocol::Ancestry;

/// Returns all visible processes, and whether the scan completed in time. Processes that exit meanwhile are omitted.
pub(super) fn scan(probes: &ProbePool) -> (Vec<Ancestry>, bool) {
    let pids = procfs::pids();
    let probe = |pid: u32| {
        let (ppid, start_ns) = procfs::parse_stat(&procfs::read(pid, "stat").ok()?)?;
        Some(Ancestry { pid, ppid, start_ns: Some(start_ns) })
    };
    let probed = probes.each_process(pids.iter().copied(), Timeouts::RESPONSE, probe);
    let complete = !probed.contains(&Probed::NotStarted);
    let found = pids.into_iter().zip(probed).filter_map(|(pid, probed)| match probed {
        Probed::Done(process) => process,
        // Blocked processes have children too. `status` never blocks.
        Probed::Blocked(_) | Probed::NotStarted => {
            let ppid = procfs::status_value(&procfs::read(pid, "status").ok()?, "PPid:")?;
            Some(Ancestry { pid, ppid, start_ns: None })
        }
    });
    (found.collect(), complete)
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
