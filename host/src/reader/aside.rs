//! Looks at processes on a thread of its own. Whoever makes it wait is left behind together with it, and hides nobody.
//!
//! Who looks at a process in the middle of `execve` may have to wait until that is through: for its `maps`, and in newer
//! kernels for `stat`, `exe`, `root` and `ns` too. An execution closes files, and a file system in user space takes as long
//! for that as its owner likes.

use std::collections::HashSet;
use std::sync::mpsc::{TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that are left behind. Each ends when its process lets it go on, or with the reader.
const MOST_STUCK: usize = 256;
/// For names of files below `/proc` and what is read from them.
const STACK_BYTES: usize = 128 << 10;

/// The processes that make somebody wait right now.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside {
    stuck: Arc<Mutex<HashSet<u32>>>,
}

/// How long a look may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// At one of them.
    pub(super) each: Duration,
    /// At all.
    pub(super) all: Duration,
}

impl Aside {
    /// What is seen of these processes, in order, without those that make wait; and whether all others were looked at.
    pub(super) fn each<T: Send + 'static>(
        &self,
        pids: impl IntoIterator<Item = u32>,
        patience: Patience,
        look: impl Fn(u32) -> T + Clone + Send + 'static,
    ) -> (Vec<T>, bool) {
        let until = Instant::now() + patience.all;
        let stuck = self.stuck().clone();
        let pids: Vec<u32> = pids.into_iter().filter(|pid| !stuck.contains(pid)).collect();
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
        let (tell, told) = channel();
        let (aside, theirs) = (self.clone(), pids.to_vec());
        let work = move || {
            for pid in theirs {
                let seen = look(pid);
                // Left behind meanwhile, or else told: under the lock it is one of both.
                let mut stuck = aside.stuck();
                if stuck.remove(&pid) || tell.send(seen).is_err() {
                    return;
                }
            }
        };
        if self.stuck().len() >= MOST_STUCK {
            return None;
        }
        thread::Builder::new().stack_size(STACK_BYTES).spawn(work).ok()?;
        for (looked, &pid) in pids.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let seen = told.recv_timeout(each.min(left)).or_else(|_| {
                let mut stuck = self.stuck();
                // It may have been told in between.
                told.try_recv().inspect_err(|error| {
                    if *error == TryRecvError::Empty {
                        stuck.insert(pid);
                    }
                })
            });
            match seen {
                Ok(seen) => found.push(seen),
                Err(_) => return (!left.is_zero()).then_some(looked),
            }
        }
        Some(pids.len())
    }

    fn stuck(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;

    /// Long enough for a thread to be scheduled, short enough to wait for.
    const PATIENCE: Patience =
        Patience { each: Duration::from_millis(500), all: Duration::from_secs(60) };

    #[test]
    fn who_makes_wait_hides_nobody_and_is_let_be() {
        let aside = Aside::default();
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
        assert_eq!(*aside.stuck(), HashSet::from([3, 6]));
        // They are not asked again: their threads would be two more.
        assert_eq!(aside.each([6, 1, 2, 4, 5, 3, 7], PATIENCE, look.clone()), (others, true));
        let hurry = Patience { all: Duration::ZERO, ..PATIENCE };
        assert!(!aside.each([9, 1], hurry, look.clone()).1, "there was no time for all");

        *open.0.lock().unwrap() = true;
        open.1.notify_all();
        let end = Instant::now() + Duration::from_secs(20);
        while !aside.stuck().is_empty() {
            assert!(Instant::now() < end, "they are not forgotten: {:?}", aside.stuck());
            thread::yield_now();
        }
        assert_eq!(aside.each([3, 6], PATIENCE, look), (vec![3, 6], true));
    }

    #[test]
    fn threads_that_are_left_behind_are_bounded() {
        let aside = Aside::default();
        aside.stuck().extend((0..MOST_STUCK as u32).map(|pid| 1000 + pid));
        assert_eq!(aside.each([1], PATIENCE, |pid| pid), (vec![], false));
    }
}
