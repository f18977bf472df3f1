//! What an operation on this thread costs.

use std::time::{Duration, Instant};

/// Maximum part of the waiting time that counts. On a loaded machine a thread that waits once may have to wait longer for a
/// processor, for which the user is not charged.
const MAX_WAIT: Duration = Duration::from_millis(1);

/// Performs an operation and returns its cost: processor time, and a part of the time in which the thread waited.
pub(super) fn of<T>(operation: impl FnOnce() -> T) -> (T, Duration) {
    let (start, before) = (Instant::now(), Usage::of_this_thread());
    let result = operation();
    let after = Usage::of_this_thread();
    let worked = after.worked.saturating_sub(before.worked);
    let waited = if after.waits == before.waits {
        Duration::ZERO
    } else {
        start.elapsed().saturating_sub(worked).min(MAX_WAIT)
    };
    (result, worked + waited)
}

#[derive(Default)]
struct Usage {
    worked: Duration,
    /// Number of times that the thread gave up the processor.
    waits: libc::c_long,
}

impl Usage {
    fn of_this_thread() -> Usage {
        // SAFETY: the value is zero or written by the kernel, and the call accesses only it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            if libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) != 0 {
                return Usage::default();
            }
            usage
        };
        let micros = |time: libc::timeval| {
            u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or_default()
        };
        let worked = Duration::from_micros(micros(usage.ru_utime) + micros(usage.ru_stime));
        Usage { worked, waits: usage.ru_nvcsw }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_waiting_cost() {
        let ((), idle) = of(|| {});
        assert!(idle < Duration::from_millis(1), "{idle:?}");
        let spin = || {
            let start = Usage::of_this_thread().worked;
            while Usage::of_this_thread().worked - start < Duration::from_millis(20) {}
        };
        let ((), busy) = of(spin);
        assert!(busy >= Duration::from_millis(20), "{busy:?}");
        let ((), asleep) = of(|| std::thread::sleep(Duration::from_millis(30)));
        assert!(asleep >= MAX_WAIT && asleep < Duration::from_millis(20), "{asleep:?}");
    }
}
