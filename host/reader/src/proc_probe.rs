//! Probes processes on a separate thread. A thread that blocks is abandoned with its process, and the other processes
//! are probed on a new thread.
//!
//! An access to a process in the middle of `execve` may block until `execve` completes: on `maps`, and in newer kernels
//! on `stat`, `exe`, `root` and `ns` too. `execve` closes files, and a FUSE file system can delay that indefinitely.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum number of abandoned threads. Each ends when its process unblocks, or with the reader.
const MAX_BLOCKED: usize = 256;
/// Enough for paths below `/proc` and the content of those files.
const STACK_BYTES: usize = 128 << 10;

/// The processes that block a probe now. Clones share the set.
#[derive(Clone, Debug, Default)]
pub(super) struct ProbePool {
    blocked: Arc<Mutex<HashSet<u32>>>,
}

/// How long probes may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For one process.
    pub(super) each: Duration,
    /// For all processes.
    pub(super) total: Duration,
}

impl Timeouts {
    /// For one response about all processes or a page of them: below the timeout after which a reader counts as hung.
    pub(super) const RESPONSE: Timeouts =
        Timeouts { each: Duration::from_millis(100), total: Duration::from_millis(600) };
}

impl ProbePool {
    /// Returns the results of the probes in the order of `pids`, without blocked processes, and whether all others were
    /// probed in time.
    pub(super) fn each<T: Send + 'static>(
        &self,
        pids: impl IntoIterator<Item = u32>,
        timeouts: Timeouts,
        probe: impl Fn(u32) -> T + Clone + Send + 'static,
    ) -> (Vec<T>, bool) {
        let deadline = Instant::now() + timeouts.total;
        let blocked = self.blocked().clone();
        let pids: Vec<u32> = pids.into_iter().filter(|pid| !blocked.contains(pid)).collect();
        let (mut results, mut rest) = (Vec::new(), pids.as_slice());
        while !rest.is_empty() {
            let probed =
                self.until_blocked(rest, timeouts.each, deadline, probe.clone(), &mut results);
            // Continues after the blocked process.
            let Some(after) = probed.and_then(|probed| rest.get(probed + 1..)) else {
                return (results, probed.is_some());
            };
            rest = after;
        }
        (results, true)
    }

    /// Probes until a process blocks, and returns how many were probed. `None`: the time is over, or no thread could be
    /// started.
    fn until_blocked<T: Send + 'static>(
        &self,
        pids: &[u32],
        each: Duration,
        deadline: Instant,
        probe: impl Fn(u32) -> T + Send + 'static,
        results: &mut Vec<T>,
    ) -> Option<usize> {
        let shared = Arc::new((Mutex::new(ProbeProgress::default()), Condvar::new()));
        let (pool, thread_pids, thread_shared) = (self.clone(), pids.to_vec(), shared.clone());
        let work = move || {
            let (progress, finished) = &*thread_shared;
            for pid in thread_pids {
                let result = probe(pid);
                // Under the lock, either the result is recorded or the thread is already abandoned.
                let mut progress = locked(progress);
                if progress.abandoned {
                    pool.blocked().remove(&pid);
                    return;
                }
                progress.results.push(result);
            }
            locked(progress).finished = true;
            finished.notify_one();
        };
        if self.blocked().len() >= MAX_BLOCKED {
            return None;
        }
        thread::Builder::new().stack_size(STACK_BYTES).spawn(work).ok()?;
        let (progress, finished) = &*shared;
        let mut progress = locked(progress);
        loop {
            let before = progress.results.len();
            let remaining = deadline.saturating_duration_since(Instant::now());
            // The thread notifies once at its end, not after each process.
            let waited =
                finished.wait_timeout_while(progress, each.min(remaining), |it| !it.finished);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
            let probed = progress.results.len();
            let in_time = Instant::now() < deadline;
            if !progress.finished && probed > before && in_time {
                continue;
            }
            results.append(&mut progress.results);
            if progress.finished {
                return Some(probed);
            }
            progress.abandoned = true;
            self.blocked().extend(pids.get(probed));
            return in_time.then_some(probed);
        }
    }

    fn blocked(&self) -> MutexGuard<'_, HashSet<u32>> {
        locked(&self.blocked)
    }
}

/// Progress of a probing thread.
#[derive(Debug)]
struct ProbeProgress<T> {
    /// In the order of the processes.
    results: Vec<T>,
    /// All processes were probed.
    finished: bool,
    /// The thread must discard its result and exit.
    abandoned: bool,
}

impl<T> Default for ProbeProgress<T> {
    fn default() -> Self {
        ProbeProgress { results: Vec::new(), finished: false, abandoned: false }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough for a thread to be scheduled, and short enough to wait for.
    const TIMEOUTS: Timeouts =
        Timeouts { each: Duration::from_millis(500), total: Duration::from_secs(60) };

    #[test]
    fn blocked_processes_are_skipped_until_they_unblock() {
        let probes = ProbePool::default();
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let gate = open.clone();
        let probe = move |pid: u32| {
            if pid.is_multiple_of(3) {
                drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap());
            }
            pid
        };
        let others = vec![1, 2, 4, 5, 7];
        assert_eq!(probes.each(1..=7, TIMEOUTS, probe.clone()), (others.clone(), true));
        assert_eq!(*probes.blocked(), HashSet::from([3, 6]));
        // A second probe of a blocked process would block another thread.
        assert_eq!(probes.each([6, 1, 2, 4, 5, 3, 7], TIMEOUTS, probe.clone()), (others, true));
        let no_time = Timeouts { total: Duration::ZERO, ..TIMEOUTS };
        assert!(!probes.each([9, 1], no_time, probe.clone()).1, "incomplete without time");

        *open.0.lock().unwrap() = true;
        open.1.notify_all();
        let end = Instant::now() + Duration::from_secs(20);
        while !probes.blocked().is_empty() {
            assert!(Instant::now() < end, "still blocked: {:?}", probes.blocked());
            thread::yield_now();
        }
        assert_eq!(probes.each([3, 6], TIMEOUTS, probe), (vec![3, 6], true));
    }

    #[test]
    fn the_number_of_abandoned_threads_is_bounded() {
        let probes = ProbePool::default();
        probes.blocked().extend((0..MAX_BLOCKED as u32).map(|pid| 1000 + pid));
        assert_eq!(probes.each([1], TIMEOUTS, |pid| pid), (vec![], false));
    }
}
