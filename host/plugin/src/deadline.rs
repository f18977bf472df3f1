//! How long the running call has been at it.
//!
//! The ticks are wall clock: on a loaded machine they pass while the plugin does not run. So a late call is charged
//! for the processor time that it takes from the first look on. A call in time costs one reading of the wall clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Ticks until a call is looked at for the first time.
pub(super) const FIRST_LOOK: u64 = 2;

/// Processor time, beyond the first look, of a call that is late through no fault of its own.
const HARMLESS: Duration = Duration::from_millis(1);

/// Why a call is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overrun {
    #[error("ran for more than {0:?} of processor time")]
    Processor(Duration),
    #[error("ran for more than {0:?}")]
    Wall(Duration),
    #[error("was ended with the run")]
    Stopped,
}

/// The running call's times.
#[derive(Debug)]
pub(super) struct CallTimer {
    processor: Duration,
    wall: Duration,
    started: Instant,
    /// This thread's processor time when the call was first found to be slow.
    slow_since: Option<Duration>,
    /// How long the host let it wait for answers. It waits for others then, and uses no processor.
    excused: Duration,
}

impl CallTimer {
    /// A call may use so much processor time, and so much time on the wall.
    pub(super) fn start(processor: Duration, wall: Duration) -> CallTimer {
        let (started, excused) = (Instant::now(), Duration::ZERO);
        CallTimer { processor, wall, started, slow_since: None, excused }
    }

    /// Takes time that the host needed, not the plugin.
    pub(super) fn discount(&mut self, time: Duration) {
        self.excused += time;
    }

    /// How much of the processor the call took, as far as that is known: until the first look, all the time that passed.
    pub(super) fn taken(&self) -> Duration {
        let unseen = super::ticker::TICK * u32::try_from(FIRST_LOOK).unwrap_or(u32::MAX);
        let since = self.slow_since.map_or(Duration::ZERO, |since| processor_time() - since);
        self.started.elapsed().min(unseen) + since
    }

    /// Whether the call may go on.
    pub(super) fn look(&mut self) -> Result<(), Overrun> {
        let now = processor_time();
        let since = *self.slow_since.get_or_insert(now);
        let taken = now.saturating_sub(since);
        if taken >= self.processor {
            return Err(Overrun::Processor(self.processor));
        }
        // A call that only waited for a processor is done in no time, now that it has one: ending it would win
        // nothing, and hide texts because a machine is busy.
        let late = self.started.elapsed().saturating_sub(self.excused) > self.wall;
        if late && taken >= HARMLESS { Err(Overrun::Wall(self.wall)) } else { Ok(()) }
    }
}

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
    fn what_waits_is_not_late_and_what_works_is() {
        let mut clock = CallTimer::start(Duration::from_secs(10), SHORT);
        std::thread::sleep(SHORT * 2);
        assert_eq!(clock.look(), Ok(()), "it had no processor");
        work(HARMLESS);
        assert_eq!(clock.look(), Err(Overrun::Wall(SHORT)));
    }

    #[test]
    fn work_counts_from_the_first_look_on() {
        let mut clock = CallTimer::start(SHORT, Duration::from_secs(3600));
        work(SHORT * 2);
        assert_eq!(clock.look(), Ok(()));
        work(SHORT);
        assert_eq!(clock.look(), Err(Overrun::Processor(SHORT)));
    }

    #[test]
    fn waiting_for_the_host_is_excused() {
        let mut clock = CallTimer::start(Duration::from_secs(10), SHORT);
        std::thread::sleep(SHORT * 2);
        clock.discount(Duration::from_secs(3600));
        assert_eq!(clock.look(), Ok(()));
        work(HARMLESS);
        assert_eq!(clock.look(), Ok(()));
    }
}
