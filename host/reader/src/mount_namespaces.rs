//! Who lives in which mount namespace: the file of a process that is gone may be reached by another one.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::fs::CWD;

use super::proc_probe::{ProbePool, Timeouts};
use super::protocol::HeadRequest;
use super::{procfs, statx};

/// Processes of one namespace that are remembered.
const MOST_EACH: usize = 64;
/// Of these, how many are tried.
const MOST_TRIED: usize = 4;
/// Processes that are looked at in one search.
const MOST: usize = 65_536;
/// How long one search may take.
const PATIENCE: Timeouts =
    Timeouts { each: Duration::from_millis(20), all: Duration::from_millis(45) };
/// How long what was found holds.
const HOLDS: Duration = Duration::from_millis(200);
/// How often is searched for a namespace that was not there: an attacker makes as many as he likes.
const PAUSE: Duration = Duration::from_millis(50);

/// What one search found. The processes that were silent since before the tracer are in it too, which no event told of.
#[derive(Debug)]
pub(super) struct MountNamespaces {
    aside: ProbePool,
    searched: Option<Instant>,
    /// By the namespace's inode number.
    living: HashMap<u32, Vec<u32>>,
}

impl MountNamespaces {
    pub(super) fn new(aside: ProbePool) -> MountNamespaces {
        MountNamespaces { aside, searched: None, living: HashMap::new() }
    }

    /// Living processes with the mounts and the root of the one that is gone.
    pub(super) fn of(&mut self, gone: &HeadRequest) -> Vec<u32> {
        let there = self.in_namespace(gone.mount_ns);
        there.into_iter().filter(|&pid| is_at_home(pid, gone)).take(MOST_TRIED).collect()
    }

    /// Processes that lived in this mount namespace a moment ago.
    fn in_namespace(&mut self, mount_ns: u32) -> Vec<u32> {
        let holds = if self.living.contains_key(&mount_ns) { HOLDS } else { PAUSE };
        if self.searched.is_none_or(|searched| searched.elapsed() >= holds) {
            self.search();
        }
        self.living.get(&mount_ns).cloned().unwrap_or_default()
    }

    fn search(&mut self) {
        self.living.clear();
        // A stranger who makes the reader wait would be taken for the one whose file is looked for.
        let (found, _) = self.aside.each(procfs::pids().into_iter().take(MOST), PATIENCE, |pid| {
            Some((pid, mount_ns(pid)?))
        });
        for (pid, mount_ns) in found.into_iter().flatten() {
            let there = self.living.entry(mount_ns).or_default();
            if there.len() < MOST_EACH {
                there.push(pid);
            }
        }
        self.searched = Some(Instant::now());
    }
}

/// Device and inode number of a process's root.
fn root(pid: u32) -> Option<(u32, u64)> {
    let stat = statx::known(CWD, format!("/proc/{pid}/root"))?;
    Some((statx::dev(&stat), stat.stx_ino))
}

/// Whether a process has the mounts and the root that the asking one had.
pub(super) fn is_at_home(pid: u32, asked: &HeadRequest) -> bool {
    mount_ns(pid) == Some(asked.mount_ns) && root(pid) == Some(asked.root)
}

/// The mount namespace that a process is in now.
pub(super) fn mount_ns(pid: u32) -> Option<u32> {
    u32::try_from(fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?.ino()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_shares_ones_mounts_is_found() {
        let own = mount_ns(std::process::id()).unwrap();
        let mut places = MountNamespaces::new(ProbePool::default());
        let living = places.in_namespace(own);
        assert!((1..=MOST_EACH).contains(&living.len()), "{living:?}");
        assert!(living.iter().all(|&pid| mount_ns(pid).is_none_or(|there| there == own)));
        // What is not there is not searched for again at once.
        let searched = places.searched;
        assert!(places.in_namespace(1).is_empty());
        assert_eq!(places.searched, searched);
    }
}
