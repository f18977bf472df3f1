//! Measures the running call against its limits.
//!
//! Epochs advance in wall time: on a loaded machine they pass while the plugin does not run. So a slow call is charged for
//! the processor time that it uses after the first check. A fast call costs one reading of the wall clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Epochs until a call is checked for the first time.
pub(super) const FIRST_CHECK: u64 = 2;

/// Minimum processor time after the first check of a call that is ended. A late call with less has only waited for a
/// processor.
const MIN_PROCESSOR: Duration = Duration::from_millis(1);

/// Reason why a call was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overrun {
    #[error("ran for more than {0:?} of processor time")]
    Processor(Duration),
    #[error("ran for more than {0:?}")]
    Wall(Duration),
    #[error("was interrupted by the end of the run")]
    Stopped,
}

/// Limits of the running call, and the time that it has taken.
#[derive(Debug)]
pub(super) struct CallTimer {
    processor: Duration,
    wall: Duration,
    start: Instant,
    /// This thread's processor time at the first check.
    slow_since: Option<Duration>,
    /// Wall time that the call waited for the host.
    discounted: Duration,
}

impl CallTimer {
    /// Starts a call with limits of processor time and wall time.
    pub(super) fn start(processor: Duration, wall: Duration) -> CallTimer {
        let (start, discounted) = (Instant::now(), Duration::ZERO);
        CallTimer { processor, wall, start, slow_since: None, discounted }
    }

    /// Excludes time that the host needed from the wall time.
    pub(super) fn discount(&mut self, time: Duration) {
        self.discounted += time;
    }

    /// Estimated processor time of the call: the wall time until the first check, the processor time after it.
    pub(super) fn taken(&self) -> Duration {
        let unchecked = super::ticker::TICK * u32::try_from(FIRST_CHECK).unwrap_or(u32::MAX);
        let since = self.slow_since.map_or(Duration::ZERO, |since| processor_time() - since);
        self.start.elapsed().min(unchecked) + since
    }

    /// Fails if the call has exceeded a limit.
    pub(super) fn check(&mut self) -> Result<(), Overrun> {
        let now = processor_time();
        let since = *self.slow_since.get_or_insert(now);
        let taken = now.saturating_sub(since);
        if taken >= self.processor {
            return Err(Overrun::Processor(self.processor));
        }
        // A call that only waited for a processor finishes soon once it has one. Ending it would gain nothing, and would
        // redact texts because the machine is busy.
        let late = self.start.elapsed().saturating_sub(self.discounted) > self.wall;
        if late && taken >= MIN_PROCESSOR { Err(Overrun::Wall(self.wall)) } else { Ok(()) }
    }
}

/// Processor time of this thread.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    fn work(time: Duration) {
        let start = processor_time();
        while processor_time() - start < time {}
    }

    #[test]
    fn waiting_for_a_processor_is_not_an_overrun() {
        let mut timer = CallTimer::start(Duration::from_secs(10), SHORT);
        std::thread::sleep(SHORT * 2);
        assert_eq!(timer.check(), Ok(()), "the call used no processor time");
        work(MIN_PROCESSOR);
        assert_eq!(timer.check(), Err(Overrun::Wall(SHORT)));
    }

    #[test]
    fn processor_time_counts_from_the_first_check() {
        let mut timer = CallTimer::start(SHORT, Duration::from_secs(3600));
        work(SHORT * 2);
        assert_eq!(timer.check(), Ok(()));
        work(SHORT);
        assert_eq!(timer.check(), Err(Overrun::Processor(SHORT)));
    }

    #[test]
    fn host_time_is_discounted() {
        let mut timer = CallTimer::start(Duration::from_secs(10), SHORT);
        std::thread::sleep(SHORT * 2);
        timer.discount(Duration::from_secs(3600));
        assert_eq!(timer.check(), Ok(()));
        work(MIN_PROCESSOR);
        assert_eq!(timer.check(), Ok(()));
    }
}
