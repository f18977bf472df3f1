//! How long the running call has been at it.
//!
//! The ticks are wall clock: on a loaded machine they pass while the plugin does not run. So a late call is charged
//! for the processor time that it takes from the first look on. A call in time costs one reading of the wall clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Ticks until a call is looked at for the first time.
pub(super) const FIRST_LOOK: u64 = 2;

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
pub(super) struct Clock {
    processor: Duration,
    wall: Duration,
    started: Instant,
    /// This thread's processor time when the call was first found to be slow.
    slow_since: Option<Duration>,
    /// What the host needed for its answers meanwhile.
    excused: Duration,
    excused_since_slow: Duration,
}

impl Clock {
    /// A call may use so much processor time, and so much time on the wall.
    pub(super) fn start(processor: Duration, wall: Duration) -> Clock {
        let (started, none) = (Instant::now(), Duration::ZERO);
        Clock {
            processor,
            wall,
            started,
            slow_since: None,
            excused: none,
            excused_since_slow: none,
        }
    }

    /// Takes time that the host needed, not the plugin.
    pub(super) fn excuse(&mut self, time: Duration) {
        self.excused += time;
        if self.slow_since.is_some() {
            self.excused_since_slow += time;
        }
    }

    /// Whether the call may go on.
    pub(super) fn look(&mut self) -> Result<(), Overrun> {
        if self.started.elapsed().saturating_sub(self.excused) > self.wall {
            return Err(Overrun::Wall(self.wall));
        }
        let now = processor_time();
        let since = *self.slow_since.get_or_insert(now);
        let taken = now.saturating_sub(since).saturating_sub(self.excused_since_slow);
        if taken < self.processor { Ok(()) } else { Err(Overrun::Processor(self.processor)) }
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
