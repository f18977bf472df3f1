//! Finds processes by mount namespace: another process of the namespace still sees the file of a process that exited.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::CWD;

use super::proc_probe::{ProbePool, Probed, Timeouts};
use super::protocol::HeadRequest;
use super::{procfs, statx};

/// Maximum number of processes kept per namespace.
const MAX_PER_NAMESPACE: usize = 64;
/// Maximum number of processes returned for a request.
const MAX_TRIED: usize = 4;
/// Maximum number of processes in a scan.
const MAX_SCANNED: usize = 65_536;
/// How long a scan may take.
const TIMEOUTS: Timeouts = Timeouts {
    stall: Duration::from_millis(2),
    each: Duration::from_millis(10),
    total: Duration::from_millis(15),
};
/// How long the processes of a namespace are cached.
const CACHE_TTL: Duration = Duration::from_millis(200);
/// Minimum interval between scans for unknown namespaces, of which an attacker can create any number.
const MIN_SCAN_INTERVAL: Duration = Duration::from_millis(50);

/// Processes by mount namespace, from the last scan of `/proc`. Includes processes that have caused no event.
#[derive(Debug)]
pub(super) struct MountNamespaces {
    probes: ProbePool,
    /// Locked during a scan, so that requests share it.
    scan: Mutex<Scan>,
}

#[derive(Debug, Default)]
struct Scan {
    at: Option<Instant>,
    /// Process IDs by the namespace's inode number.
    processes: HashMap<u32, Vec<u32>>,
}

impl MountNamespaces {
    pub(super) fn new(probes: ProbePool) -> MountNamespaces {
        MountNamespaces { probes, scan: Mutex::default() }
    }

    /// Returns processes with the mount namespace and root of the process in `request`, which has exited.
    pub(super) fn substitutes(&self, request: &HeadRequest) -> Vec<u32> {
        let pids = self.in_namespace(request.mount_ns);
        pids.into_iter().filter(|&pid| has_same_view(pid, request)).take(MAX_TRIED).collect()
    }

    /// Returns processes that were in this mount namespace at the time of the last scan.
    fn in_namespace(&self, mount_ns: u32) -> Vec<u32> {
        let mut scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = scan.processes.contains_key(&mount_ns);
        let max_age = if is_known { CACHE_TTL } else { MIN_SCAN_INTERVAL };
        if scan.at.is_none_or(|at| at.elapsed() >= max_age) {
            *scan = Scan::of_all(&self.probes);
        }
        scan.processes.get(&mount_ns).cloned().unwrap_or_default()
    }
}

impl Scan {
    fn of_all(probes: &ProbePool) -> Scan {
        let mut processes = HashMap::<u32, Vec<u32>>::new();
        // Without the probe pool, a process that blocks would be blamed on the user who opened the requested file.
        let pids = procfs::pids().into_iter().take(MAX_SCANNED);
        let found = probes.each_process(pids, TIMEOUTS, |pid| Some((pid, mount_ns(pid)?)));
        for (pid, mount_ns) in found.into_iter().filter_map(Probed::done).flatten() {
            let pids = processes.entry(mount_ns).or_default();
            if pids.len() < MAX_PER_NAMESPACE {
                pids.push(pid);
            }
        }
        Scan { at: Some(Instant::now()), processes }
    }
}

/// Device and inode number of a process's root.
fn root(pid: u32) -> Option<(u32, u64)> {
    let stat = statx::cached(CWD, format!("/proc/{pid}/root"))?;
    Some((statx::dev(&stat), stat.stx_ino))
}

/// Whether a process has the mount namespace and root of the process that opened the file.
pub(super) fn has_same_view(pid: u32, request: &HeadRequest) -> bool {
    mount_ns(pid) == Some(request.mount_ns) && root(pid) == Some(request.root)
}

/// Inode number of a process's current mount namespace.
pub(super) fn mount_ns(pid: u32) -> Option<u32> {
    u32::try_from(fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?.ino()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_processes_of_the_same_mount_namespace() {
        let own = mount_ns(std::process::id()).unwrap();
        let namespaces = MountNamespaces::new(ProbePool::default());
        let pids = namespaces.in_namespace(own);
        assert!((1..=MAX_PER_NAMESPACE).contains(&pids.len()), "{pids:?}");
        assert!(pids.iter().all(|&pid| mount_ns(pid).is_none_or(|mount_ns| mount_ns == own)));
        // An unknown namespace does not trigger another scan at once.
        let scanned = || namespaces.scan.lock().unwrap().at;
        let before = scanned();
        assert!(namespaces.in_namespace(1).is_empty());
        assert_eq!(scanned(), before);
    }
}
