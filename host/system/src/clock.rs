//! The clock of a run: the machine's, or a recording's.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::boot;
use crypto_tracer_event::Timestamp;

/// Gives the time to every stage. Copies share one time.
///
/// The kernel's timestamps of events use the boot clock. The offset to wall-clock time changes whenever the wall clock is
/// set, so a live run measures it for each drain of the ring, and each frame of a recording contains it. In a replay the
/// clock shows the time of the last replayed event, so that the output does not depend on the duration of the replay.
#[derive(Clone, Debug)]
pub struct Clock(Arc<ClockState>);

#[derive(Debug)]
struct ClockState {
    /// CLOCK_REALTIME − boot clock, in nanoseconds.
    wall_offset_ns: AtomicI64,
    /// None: the machine's clock.
    replay: Option<ReplayedTime>,
}

#[derive(Debug, Default)]
struct ReplayedTime {
    /// The last event, in nanoseconds since 1970.
    now_ns: AtomicI64,
    /// The first event, and the machine's time when it was replayed.
    start: OnceLock<(i64, Instant)>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        let wall_offset_ns = AtomicI64::new(measure_wall_offset_ns());
        Clock(Arc::new(ClockState { wall_offset_ns, replay: None }))
    }

    /// The clock of a recording: [`Clock::replay_to`] advances it. Until then it gives the machine's time.
    pub fn recorded() -> Clock {
        let wall_offset_ns = AtomicI64::new(measure_wall_offset_ns());
        Clock(Arc::new(ClockState { wall_offset_ns, replay: Some(ReplayedTime::default()) }))
    }

    /// Measures again what turns boot-clock time into wall-clock time. For live runs.
    pub fn measure(&self) {
        self.0.wall_offset_ns.store(measure_wall_offset_ns(), Ordering::Relaxed);
    }

    /// Advances a recording's clock to `boot_ns` of the boot clock; `None` leaves the time as it is. `wall_offset_ns`: what
    /// turns boot-clock time into wall-clock time.
    pub fn replay_to(&self, wall_offset_ns: i64, boot_ns: Option<u64>) {
        self.0.wall_offset_ns.store(wall_offset_ns, Ordering::Relaxed);
        if let (Some(replay), Some(boot_ns)) = (&self.0.replay, boot_ns) {
            let boot_ns = i64::try_from(boot_ns).unwrap_or(i64::MAX);
            let now_ns = boot_ns.saturating_add(wall_offset_ns);
            replay.now_ns.store(now_ns, Ordering::Relaxed);
            // Last: the replay's time is used once there is a start.
            replay.start.get_or_init(|| (now_ns, Instant::now()));
        }
    }

    /// Nanoseconds that turn boot-clock time into wall-clock time.
    pub fn wall_offset_ns(&self) -> i64 {
        self.0.wall_offset_ns.load(Ordering::Relaxed)
    }

    /// Wall-clock time of a moment of the boot clock, in nanoseconds.
    pub fn wall(&self, boot_ns: u64) -> Timestamp {
        let boot_ns = i64::try_from(boot_ns).unwrap_or(i64::MAX);
        Timestamp(boot_ns.saturating_add(self.wall_offset_ns()).div_euclid(1000))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let now_ns = self.replayed_ns().unwrap_or_else(|| nanoseconds(ClockId::Realtime));
        Timestamp(now_ns.div_euclid(1000))
    }

    /// Nanoseconds since 1970, by the clock from which the kernel takes the times of files.
    pub fn file_time_ns(&self) -> i128 {
        self.replayed_ns().unwrap_or_else(|| nanoseconds(ClockId::RealtimeCoarse)).into()
    }

    /// The moment of the last replayed event, as if the recording had begun when its replay did. `None` in a live run, and
    /// before the first event.
    pub fn replayed_instant(&self) -> Option<Instant> {
        let now_ns = self.replayed_ns()?;
        let &(first_ns, began) = self.0.replay.as_ref()?.start.get()?;
        let since = u64::try_from(now_ns.saturating_sub(first_ns)).unwrap_or(0);
        began.checked_add(Duration::from_nanos(since))
    }

    fn replayed_ns(&self) -> Option<i64> {
        let replay = self.0.replay.as_ref()?;
        replay.start.get().map(|_| replay.now_ns.load(Ordering::Relaxed))
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn measure_wall_offset_ns() -> i64 {
    // Preemption between the two readings would shift all times of the drain by as much, so the quickest of a few
    // attempts counts, and the first one below 20 µs is good enough.
    let mut best = (i64::MAX, 0);
    for _ in 0..5 {
        let before = nanoseconds(ClockId::Boottime);
        let wall = nanoseconds(ClockId::Realtime);
        let took = nanoseconds(ClockId::Boottime) - before;
        best = best.min((took, wall - before - took / 2));
        if took < 20_000 {
            break;
        }
    }
    best.1.saturating_add(boot::ahead_ns())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_agrees_with_the_system() {
        let clock = Clock::system();
        let apart_us = clock.now().0 - nanoseconds(ClockId::Realtime) / 1000;
        assert!(apart_us.abs() < 1_000_000, "{apart_us}");
        let boot_ns = nanoseconds(ClockId::Boottime) - boot::ahead_ns();
        let apart_us = clock.wall(u64::try_from(boot_ns).unwrap()).0 - clock.now().0;
        assert!(apart_us.abs() < 1_000_000, "{apart_us}");
        assert_eq!(clock.replayed_instant(), None);
    }

    #[test]
    fn a_recordings_clock_stands_at_its_last_event() {
        let clock = Clock::recorded();
        assert_eq!(clock.replayed_instant(), None, "no event yet");
        clock.replay_to(-7, None);
        assert_eq!((clock.wall(1_007), clock.replayed_instant()), (Timestamp(1), None));
        let copy = clock.clone();
        clock.replay_to(1_000, Some(2_000_000));
        let began = copy.replayed_instant().unwrap();
        assert_eq!((copy.now(), copy.file_time_ns()), (Timestamp(2_001), 2_001_000));
        clock.replay_to(1_000, Some(5_000_000));
        assert_eq!(copy.replayed_instant(), Some(began + Duration::from_millis(3)));
        clock.replay_to(0, Some(0));
        assert_eq!(copy.replayed_instant(), Some(began), "time does not run before the start");
        clock.replay_to(i64::MAX, Some(u64::MAX));
        assert_eq!(copy.now(), Timestamp(i64::MAX / 1000));
    }
}
