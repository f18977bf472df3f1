//! Looks into many processes, some of which may make the reader hang: they hide nobody.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crypto_tracer_event::interest::Interest;
use crypto_tracer_pipeline::HeadReader;
use crypto_tracer_reader::ProcessDetails;
use crypto_tracer_system::shutdown::Shutdown;

/// Processes that are looked into at once, and held in memory.
const PAGE: usize = 64;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long for one alone; shorter each time that it was in vain, but no shorter than a reader hangs.
const ALONE: Duration = Duration::from_secs(3);
const SHORTEST: Duration = Duration::from_secs(1);

/// Those that are still to be looked into.
#[derive(Debug)]
pub(super) struct ProcessWalk {
    waiting: VecDeque<WalkStep>,
    /// How often one alone made the reader hang.
    in_vain: u32,
    /// Processes of which not even could be known who they are.
    pub(super) unknown: u64,
}

#[derive(Debug)]
enum WalkStep {
    /// Into these together.
    Into(Vec<u32>),
    /// Only who this one is: what it has makes the reader hang.
    At(u32),
}

impl ProcessWalk {
    /// Into these.
    pub(super) fn into(pids: &[u32]) -> ProcessWalk {
        let waiting = pids.chunks(PAGE).map(|pids| WalkStep::Into(pids.to_vec())).collect();
        ProcessWalk { waiting, in_vain: 0, unknown: 0 }
    }

    /// Into all there are. None: nobody could be asked.
    pub(super) fn into_all(ask: &mut dyn HeadReader) -> Option<ProcessWalk> {
        ask.all_pids(Instant::now() + PATIENCE).map(|pids| ProcessWalk::into(&pids))
    }

    /// Some more of those that are there. None: that was all, or the end is asked for. The reader may be another one
    /// from one call to the next.
    pub(super) fn some(
        &mut self,
        ask: &mut dyn HeadReader,
        interest: &Interest,
        shutdown: &Shutdown,
    ) -> Option<Vec<ProcessDetails>> {
        let look = self.waiting.pop_front().filter(|_| !shutdown.is_requested())?;
        let (pids, interest, patience) = match &look {
            WalkStep::Into(pids) if pids.len() > 1 => (pids.as_slice(), Some(interest), PATIENCE),
            WalkStep::Into(pid) => (pid.as_slice(), Some(interest), self.patience()),
            WalkStep::At(pid) => (std::slice::from_ref(pid), None, PATIENCE),
        };
        if let Some(looked) = ask.look(pids, interest, Instant::now() + patience) {
            return Some(looked);
        }
        if shutdown.is_requested() {
            return None;
        }
        match look {
            WalkStep::Into(pids) => match pids[..] {
                [pid] => {
                    self.in_vain += 1;
                    self.waiting.push_front(WalkStep::At(pid));
                }
                // Which of them it is shows one by one.
                _ => pids.iter().rev().for_each(|&pid| {
                    self.waiting.push_front(WalkStep::Into(vec![pid]));
                }),
            },
            WalkStep::At(_) => self.unknown += 1,
        }
        Some(Vec::new())
    }

    fn patience(&self) -> Duration {
        (ALONE / (1 << self.in_vain.min(8))).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_pipeline::Inspected;
    use crypto_tracer_reader::{HeadResponse, Wanted};

    /// Hangs whenever it is to look into one of these.
    #[derive(Debug)]
    struct Hangs {
        into: Vec<u32>,
        at: Vec<u32>,
        lost: u32,
    }

    impl HeadReader for Hangs {
        fn ask(&mut self, files: &[Wanted], _: Instant) -> Vec<Option<HeadResponse>> {
            vec![None; files.len()]
        }

        fn cgroups(&mut self, wanted: &[(u64, u32)], _: Instant) -> Vec<Option<String>> {
            vec![None; wanted.len()]
        }

        fn all_pids(&mut self, _: Instant) -> Option<Vec<u32>> {
            Some((1..=200).collect())
        }

        fn look(&mut self, pids: &[u32], interest: Option<&Interest>, _: Instant) -> Inspected {
            let readable = interest.is_some();
            let hangs = if readable { &self.into } else { &self.at };
            if pids.iter().any(|pid| hangs.contains(pid)) {
                self.lost += 1;
                return None;
            }
            let looked = |&pid| ProcessDetails { pid, readable, ..ProcessDetails::default() };
            Some(pids.iter().map(looked).collect())
        }
    }

    #[test]
    fn who_makes_the_reader_hang_hides_nobody() {
        let mut ask = Hangs { into: vec![7, 8, 150], at: vec![150], lost: 0 };
        let mut looking = ProcessWalk::into_all(&mut ask).unwrap();
        let mut seen = Vec::new();
        let shutdown = Shutdown::default();
        while let Some(some) = looking.some(&mut ask, &Interest::default(), &shutdown) {
            seen.extend(some);
        }
        assert!(seen.is_sorted_by_key(|process| process.pid));
        let hidden: Vec<u32> =
            seen.iter().filter(|process| !process.readable).map(|process| process.pid).collect();
        assert_eq!((seen.len(), hidden, looking.unknown), (199, vec![7, 8], 1));
        // Two pages, three processes, and one of them again.
        assert_eq!(ask.lost, 6);
        shutdown.request();
        let mut again = ProcessWalk::into(&[1]);
        assert_eq!(again.some(&mut ask, &Interest::default(), &shutdown), None);
    }
}
