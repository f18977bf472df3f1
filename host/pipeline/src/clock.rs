//! The wall clock, and how it stands to the boot clock by which the kernel side tells times.

use rustix::time::{ClockId, clock_gettime};

use crypto_tracer_event::Timestamp;
use crypto_tracer_system::boot;

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// What turns boot clock into wall clock. The clock may be set at any time, so it is read for each drain.
pub(super) fn wall_offset_ns() -> i64 {
    // The thread may have to wait between two looks at clocks, and all times of the drain would be wrong by as much:
    // of a few tries the quickest is taken, and the first quick one will do.
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

/// The wall clock at a moment of the boot clock.
pub(super) fn wall_of(boot_ns: u64) -> Timestamp {
    let boot_ns = i64::try_from(boot_ns).unwrap_or(i64::MAX);
    Timestamp(boot_ns.saturating_add(wall_offset_ns()).div_euclid(1000))
}

/// The time of day.
pub fn wall_now() -> Timestamp {
    Timestamp(nanoseconds(ClockId::Realtime).div_euclid(1000))
}
