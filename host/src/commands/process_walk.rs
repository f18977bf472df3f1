//! Inspects many processes. A process that blocks the reader does not prevent the inspection of the others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crypto_tracer_event::interest::Interest;
use crypto_tracer_pipeline::ProcessInspector;
use crypto_tracer_reader::ProcessDetails;
use crypto_tracer_system::shutdown::Shutdown;

/// Number of processes that are inspected together and kept in memory.
const PAGE: usize = 64;
/// Time limit for a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for a single process. It is halved with each timeout, down to [`MIN_TIMEOUT`].
const SINGLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Minimum time limit: the time after which the client regards a reader as blocked.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The processes that remain to be inspected.
#[derive(Debug)]
pub(super) struct ProcessWalk {
    pending: VecDeque<WalkStep>,
    /// Number of single processes that blocked the reader.
    timeouts: u32,
    /// Number of processes that could not be identified.
    pub(super) unidentified: u64,
}

#[derive(Debug)]
enum WalkStep {
    /// Inspect these processes together.
    Inspect(Vec<u32>),
    /// Identify this process only: its inspection blocked the reader.
    Identify(u32),
}

impl ProcessWalk {
    /// A walk over these processes.
    pub(super) fn of(pids: &[u32]) -> ProcessWalk {
        let pending = pids.chunks(PAGE).map(|pids| WalkStep::Inspect(pids.to_vec())).collect();
        ProcessWalk { pending, timeouts: 0, unidentified: 0 }
    }

    /// A walk over all processes. Returns `None` if the reader did not answer in time.
    pub(super) fn of_all(inspector: &mut dyn ProcessInspector) -> Option<ProcessWalk> {
        inspector.all_pids(Instant::now() + PAGE_TIMEOUT).map(|pids| ProcessWalk::of(&pids))
    }

    /// Inspects the next processes. Returns `None` at the end, or if a shutdown is requested. `inspector` may be another
    /// one in each call.
    pub(super) fn next(
        &mut self,
        inspector: &mut dyn ProcessInspector,
        interest: &Interest,
        shutdown: &Shutdown,
    ) -> Option<Vec<ProcessDetails>> {
        let step = self.pending.pop_front().filter(|_| !shutdown.is_requested())?;
        let (pids, interest, timeout) = match &step {
            WalkStep::Inspect(pids) if pids.len() > 1 => {
                (pids.as_slice(), Some(interest), PAGE_TIMEOUT)
            }
            WalkStep::Inspect(pid) => (pid.as_slice(), Some(interest), self.single_timeout()),
            WalkStep::Identify(pid) => (std::slice::from_ref(pid), None, PAGE_TIMEOUT),
        };
        if let Some(processes) = inspector.inspect(pids, interest, Instant::now() + timeout) {
            return Some(processes);
        }
        if shutdown.is_requested() {
            return None;
        }
        match step {
            WalkStep::Inspect(pids) => match pids[..] {
                [pid] => {
                    self.timeouts += 1;
                    self.pending.push_front(WalkStep::Identify(pid));
                }
                // Finds the blocking process.
                _ => pids.iter().rev().for_each(|&pid| {
                    self.pending.push_front(WalkStep::Inspect(vec![pid]));
                }),
            },
            WalkStep::Identify(_) => self.unidentified += 1,
        }
        Some(Vec::new())
    }

    fn single_timeout(&self) -> Duration {
        (SINGLE_TIMEOUT / (1 << self.timeouts.min(8))).max(MIN_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_reader::WantedCgroup;

    /// Times out for some processes.
    #[derive(Debug)]
    struct BlockingInspector {
        /// Processes that cannot be inspected.
        inspect: Vec<u32>,
        /// Processes that cannot be identified.
        identify: Vec<u32>,
        timeouts: u32,
    }

    impl ProcessInspector for BlockingInspector {
        fn cgroups(&mut self, _: &[WantedCgroup], _: Instant) -> Vec<(u64, Option<String>)> {
            Vec::new()
        }

        fn all_pids(&mut self, _: Instant) -> Option<Vec<u32>> {
            Some((1..=200).collect())
        }

        fn inspect(
            &mut self,
            pids: &[u32],
            interest: Option<&Interest>,
            _: Instant,
        ) -> Option<Vec<ProcessDetails>> {
            let readable = interest.is_some();
            let blocking = if readable { &self.inspect } else { &self.identify };
            if pids.iter().any(|pid| blocking.contains(pid)) {
                self.timeouts += 1;
                return None;
            }
            let details = |&pid| ProcessDetails { pid, readable, ..ProcessDetails::default() };
            Some(pids.iter().map(details).collect())
        }
    }

    #[test]
    fn a_blocking_process_does_not_hide_others() {
        let mut inspector =
            BlockingInspector { inspect: vec![7, 8, 150], identify: vec![150], timeouts: 0 };
        let mut walk = ProcessWalk::of_all(&mut inspector).unwrap();
        let mut all = Vec::new();
        let shutdown = Shutdown::default();
        while let Some(page) = walk.next(&mut inspector, &Interest::default(), &shutdown) {
            all.extend(page);
        }
        assert!(all.is_sorted_by_key(|process| process.pid));
        let unreadable: Vec<u32> =
            all.iter().filter(|process| !process.readable).map(|process| process.pid).collect();
        assert_eq!((all.len(), unreadable, walk.unidentified), (199, vec![7, 8], 1));
        // Two pages, three single processes, and one identification.
        assert_eq!(inspector.timeouts, 6);
        shutdown.request();
        let mut walk = ProcessWalk::of(&[1]);
        assert_eq!(walk.next(&mut inspector, &Interest::default(), &shutdown), None);
    }
}
