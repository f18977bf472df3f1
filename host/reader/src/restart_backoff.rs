//! Backoff after blocked threads and hung readers. A user whose opened files repeatedly block threads of the reader is
//! excluded for an exponentially growing time, and other users are not affected. A whole reader does not hang at a file, so
//! no user is charged for that; the number of hung processes is bounded.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crypto_tracer_system::backoff::{Backoff, BackoffPolicy};

/// Number of replacements that are allowed without a delay.
const MAX_BURST: u32 = 4;
/// Interval after which one more replacement is allowed.
const REFILL_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum number of hung readers at a time. A process that is blocked in a file system cannot be killed.
const MAX_HUNG: usize = 32;
/// A user's first hang may be a coincidence. The second one starts a backoff, and each further one doubles it.
const USER_POLICY: BackoffPolicy = BackoffPolicy {
    first: 2,
    further: 1,
    window: Duration::from_secs(2 * 3600),
    min: Duration::from_secs(10),
    max: Duration::from_secs(3600),
    reset_after: Duration::from_secs(2 * 3600),
    max_keys: 1024,
};

/// Counts of blocked threads and hung readers.
#[derive(Debug)]
pub(super) struct RestartBackoff {
    /// Process IDs of readers that may still be hung.
    pids: Vec<i32>,
    /// Replacements that are allowed now.
    tokens: u32,
    /// Time of the last refill of `tokens`.
    refilled: Instant,
    users: Backoff<u32>,
}

impl Default for RestartBackoff {
    fn default() -> Self {
        RestartBackoff {
            pids: Vec::new(),
            tokens: MAX_BURST,
            refilled: Instant::now(),
            users: Backoff::new(USER_POLICY),
        }
    }
}

impl RestartBackoff {
    /// Records that files which this user opened block a thread.
    pub(super) fn record_blocked(&mut self, uid: u32) {
        self.users.failed(uid, Instant::now());
    }

    /// Records that the reader `pid` hung or ended.
    pub(super) fn record_end(&mut self, pid: i32) {
        self.record_end_at(pid, Instant::now());
    }

    fn record_end_at(&mut self, pid: i32, now: Instant) {
        self.pids.push(pid);
        self.refill(now);
        self.tokens = self.tokens.saturating_sub(1);
    }

    /// Records that no reader could be started.
    pub(super) fn record_failed_start(&mut self) {
        self.refill(Instant::now());
        self.tokens = self.tokens.saturating_sub(1);
    }

    /// Whether another reader may be started.
    pub(super) fn allows_restart(&mut self) -> bool {
        self.pids.retain(|&pid| is_running(pid));
        self.allows_restart_at(Instant::now())
    }

    fn allows_restart_at(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens > 0 && self.pids.len() < MAX_HUNG
    }

    fn refill(&mut self, now: Instant) {
        while self.tokens < MAX_BURST && now.duration_since(self.refilled) >= REFILL_INTERVAL {
            self.tokens += 1;
            self.refilled += REFILL_INTERVAL;
        }
        if self.tokens == MAX_BURST {
            self.refilled = now;
        }
    }

    /// Whether files opened by this user are excluded now.
    pub(super) fn is_backing_off(&self, uid: u32) -> bool {
        self.is_backing_off_at(uid, Instant::now())
    }

    fn is_backing_off_at(&self, uid: u32, now: Instant) -> bool {
        self.users.is_on(&uid, || now)
    }
}

fn is_running(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: u32 = 1;
    const OTHER: u32 = 2;

    #[test]
    fn the_second_hang_of_a_user_starts_a_backoff_for_that_user_only() {
        let (mut backoff, start) = (RestartBackoff::default(), Instant::now());
        backoff.users.failed(HOSTILE, start);
        assert!(!backoff.is_backing_off_at(HOSTILE, start), "one hang may be a coincidence");
        let mut now = start;
        for seconds in [10, 20, 40, 80] {
            backoff.users.failed(HOSTILE, now);
            assert!(
                backoff.is_backing_off_at(HOSTILE, now) && !backoff.is_backing_off_at(OTHER, now)
            );
            now += Duration::from_secs(seconds);
            assert!(!backoff.is_backing_off_at(HOSTILE, now));
            assert!(backoff.is_backing_off_at(HOSTILE, now - Duration::from_millis(1)));
        }
        for _ in 0..40 {
            backoff.users.failed(HOSTILE, now);
        }
        assert!(!backoff.is_backing_off_at(HOSTILE, now + USER_POLICY.max));
        now += USER_POLICY.max + USER_POLICY.reset_after + Duration::from_millis(1);
        backoff.users.failed(HOSTILE, now);
        assert!(!backoff.is_backing_off_at(HOSTILE, now), "the count is reset");
    }

    #[test]
    fn restarts_are_limited_to_a_burst_that_refills() {
        let (mut backoff, start) = (RestartBackoff::default(), Instant::now());
        for uid in 0..MAX_BURST {
            assert!(backoff.allows_restart_at(start), "{uid}");
            backoff.record_end_at(1, start);
        }
        assert!(!backoff.allows_restart_at(start));
        assert!(!backoff.allows_restart_at(start + REFILL_INTERVAL / 2));
        let later = start + REFILL_INTERVAL;
        assert!(backoff.allows_restart_at(later));
        backoff.record_end_at(1, later);
        assert!(!backoff.allows_restart_at(later));
        let much_later = later + REFILL_INTERVAL * 100;
        for uid in 0..MAX_BURST {
            assert!(backoff.allows_restart_at(much_later), "{uid}");
            backoff.record_end_at(1, much_later);
        }
        assert!(!backoff.allows_restart_at(much_later));
    }

    #[test]
    fn the_number_of_hung_readers_is_bounded() {
        let mut backoff = RestartBackoff::default();
        let own = i32::try_from(std::process::id()).unwrap();
        let start = Instant::now();
        for _ in 0..MAX_HUNG {
            backoff.tokens = MAX_BURST;
            assert!(backoff.allows_restart());
            backoff.record_end_at(own, start);
        }
        backoff.tokens = MAX_BURST;
        assert!(!backoff.allows_restart());
        backoff.pids.pop();
        backoff.pids.push(i32::MAX);
        assert!(backoff.allows_restart(), "one of them has exited");
    }
}
