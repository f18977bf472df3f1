//! Looks at processes on a thread of its own. Whoever makes it wait is left behind together with it, and hides nobody.
//!
//! Who looks at a process in the middle of `execve` may have to wait until that is through: for its `maps`, and in newer
//! kernels for `stat`, `exe`, `root` and `ns` too. An execution closes files, and a file system in user space takes as long
//! for that as its owner likes.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that are left behind. Each ends when its process lets it go on, or with the reader.
const MOST_STUCK: usize = 256;
/// For names of files below `/proc` and what is read from them.
const STACK_BYTES: usize = 128 << 10;

/// The processes that make somebody wait right now.
#[derive(Clone, Debug, Default)]
pub(super) struct ProbePool {
    blocked: Arc<Mutex<HashSet<u32>>>,
}

/// How long a look may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// At one of them.
    pub(super) each: Duration,
    /// At all.
    pub(super) all: Duration,
}

impl Timeouts {
    /// For a look at all processes, or at a page of them: less than a reader may take for an answer.
    pub(super) const FOR_AN_ANSWER: Timeouts =
        Timeouts { each: Duration::from_millis(100), all: Duration::from_millis(600) };
}

impl ProbePool {
    /// What is seen of these processes, in order, without those that make wait; and whether all others were looked at.
    pub(super) fn each<T: Send + 'static>(
        &self,
        pids: impl IntoIterator<Item = u32>,
        patience: Timeouts,
        look: impl Fn(u32) -> T + Clone + Send + 'static,
    ) -> (Vec<T>, bool) {
        let until = Instant::now() + patience.all;
        let blocked = self.blocked().clone();
        let pids: Vec<u32> = pids.into_iter().filter(|pid| !blocked.contains(pid)).collect();
        let (mut found, mut rest) = (Vec::new(), pids.as_slice());
        while !rest.is_empty() {
            let looked = self.some(rest, patience.each, until, look.clone(), &mut found);
            // Behind the one that makes wait.
            let Some(behind) = looked.and_then(|looked| rest.get(looked + 1..)) else {
                return (found, looked.is_some());
            };
            rest = behind;
        }
        (found, true)
    }

    /// Looks until one makes wait; how many were looked at. None: there is no time for more, or no thread.
    fn some<T: Send + 'static>(
        &self,
        pids: &[u32],
        each: Duration,
        until: Instant,
        look: impl Fn(u32) -> T + Send + 'static,
        found: &mut Vec<T>,
    ) -> Option<usize> {
        let shared = Arc::new((Mutex::new(ProbeProgress::default()), Condvar::new()));
        let (aside, theirs, told) = (self.clone(), pids.to_vec(), shared.clone());
        let work = move || {
            let (progress, end) = &*told;
            for pid in theirs {
                let seen = look(pid);
                // Left behind meanwhile, or else told: under the lock it is one of both.
                let mut progress = locked(progress);
                if progress.left_behind {
                    aside.blocked().remove(&pid);
                    return;
                }
                progress.seen.push(seen);
            }
            locked(progress).ended = true;
            end.notify_one();
        };
        if self.blocked().len() >= MOST_STUCK {
            return None;
        }
        thread::Builder::new().stack_size(STACK_BYTES).spawn(work).ok()?;
        let (progress, end) = &*shared;
        let mut progress = locked(progress);
        loop {
            let before = progress.seen.len();
            let left = until.saturating_duration_since(Instant::now());
            // Whoever waits is woken up once, not for each process.
            let waited = end.wait_timeout_while(progress, each.min(left), |it| !it.ended);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
            let looked = progress.seen.len();
            let in_time = Instant::now() < until;
            if !progress.ended && looked > before && in_time {
                continue;
            }
            found.append(&mut progress.seen);
            if progress.ended {
                return Some(looked);
            }
            progress.left_behind = true;
            self.blocked().extend(pids.get(looked));
            return in_time.then_some(looked);
        }
    }

    fn blocked(&self) -> MutexGuard<'_, HashSet<u32>> {
        locked(&self.blocked)
    }
}

/// How far a thread came.
#[derive(Debug)]
struct ProbeProgress<T> {
    /// What it saw, in order.
    seen: Vec<T>,
    /// It looked at all.
    ended: bool,
    /// Nobody waits for it any more.
    left_behind: bool,
}

impl<T> Default for ProbeProgress<T> {
    fn default() -> Self {
        ProbeProgress { seen: Vec::new(), ended: false, left_behind: false }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for a thread to be scheduled, short enough to wait for.
    const PATIENCE: Timeouts =
        Timeouts { each: Duration::from_millis(500), all: Duration::from_secs(60) };

    #[test]
    fn who_makes_wait_hides_nobody_and_is_let_be() {
        let aside = ProbePool::default();
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let gate = open.clone();
        let look = move |pid: u32| {
            if pid.is_multiple_of(3) {
                drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap());
            }
            pid
        };
        let others = vec![1, 2, 4, 5, 7];
        assert_eq!(aside.each(1..=7, PATIENCE, look.clone()), (others.clone(), true));
        assert_eq!(*aside.blocked(), HashSet::from([3, 6]));
        // They are not asked again: their threads would be two more.
        assert_eq!(aside.each([6, 1, 2, 4, 5, 3, 7], PATIENCE, look.clone()), (others, true));
        let hurry = Timeouts { all: Duration::ZERO, ..PATIENCE };
        assert!(!aside.each([9, 1], hurry, look.clone()).1, "there was no time for all");

        *open.0.lock().unwrap() = true;
        open.1.notify_all();
        let end = Instant::now() + Duration::from_secs(20);
        while !aside.blocked().is_empty() {
            assert!(Instant::now() < end, "they are not forgotten: {:?}", aside.blocked());
            thread::yield_now();
        }
        assert_eq!(aside.each([3, 6], PATIENCE, look), (vec![3, 6], true));
    }

    #[test]
    fn threads_that_are_left_behind_are_bounded() {
        let aside = ProbePool::default();
        aside.blocked().extend((0..MOST_STUCK as u32).map(|pid| 1000 + pid));
        assert_eq!(aside.each([1], PATIENCE, |pid| pid), (vec![], false));
    }
}
