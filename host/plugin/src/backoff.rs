//! Back-off by user: a plugin that repeatedly fails for one user's events is not called for that user for some time. This
//! bounds the cost that one user can cause, and one user cannot disable a plugin for others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Failures within [`WINDOW`] that start a back-off.
pub(super) const FAILURES: u8 = 5;
const WINDOW: Duration = Duration::from_secs(10);
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Maximum number of users in the table. Beyond that, the user with the oldest last failure is evicted.
const MAX_USERS: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct UserFailures {
    failures: u8,
    /// Start of the window in which they are counted.
    since: Instant,
    last: Instant,
    /// End of the back-off.
    until: Option<Instant>,
    /// Duration of the next back-off.
    next_backoff: Duration,
}

/// Recent failures of a plugin by user id.
#[derive(Debug, Default)]
pub(super) struct Backoff(HashMap<u32, UserFailures>);

impl Backoff {
    /// Whether the plugin backs off for this user. `now` is called only after earlier failures of this user.
    pub(super) fn is_on(&self, uid: u32, now: impl FnOnce() -> Instant) -> bool {
        let until = self.0.get(&uid).and_then(|user| user.until);
        until.is_some_and(|until| now() < until)
    }

    /// The plugin failed for this user.
    pub(super) fn failed(&mut self, uid: u32, now: Instant) {
        if self.0.len() >= MAX_USERS && !self.0.contains_key(&uid) {
            self.evict(now);
        }
        let user = self.0.entry(uid).or_insert(UserFailures {
            failures: 0,
            since: now,
            last: now,
            until: None,
            next_backoff: MIN_BACKOFF,
        });
        let quiet_since = user.until.unwrap_or(user.last).max(user.last);
        if now.saturating_duration_since(quiet_since) > MAX_BACKOFF {
            user.next_backoff = MIN_BACKOFF;
        }
        if now.saturating_duration_since(user.since) > WINDOW {
            (user.failures, user.since) = (0, now);
        }
        user.last = now;
        user.failures += 1;
        if user.failures >= FAILURES {
            user.until = Some(now + user.next_backoff);
            user.next_backoff = (user.next_backoff * 2).min(MAX_BACKOFF);
            // Failures after the back-off start a new window.
            (user.failures, user.since) = (0, now + user.next_backoff);
        }
    }

    /// Evicts the users without a failure for [`MAX_BACKOFF`], or else the one with the oldest last failure.
    fn evict(&mut self, now: Instant) {
        self.0.retain(|_, user| now.saturating_duration_since(user.last) <= MAX_BACKOFF);
        if self.0.len() >= MAX_USERS
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, user)| user.last).map(|(&uid, _)| uid)
        {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn fail(backoff: &mut Backoff, uid: u32, times: usize, now: Instant) {
        (0..times).for_each(|_| backoff.failed(uid, now));
    }

    #[test]
    fn five_failures_start_a_backoff_for_that_user_only() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        fail(&mut backoff, 1, 4, start);
        assert!(!backoff.is_on(1, || start));
        backoff.failed(1, at(start, 9_000));
        assert!(backoff.is_on(1, || at(start, 9_999)));
        assert!(!backoff.is_on(2, || at(start, 9_999)));
        assert!(!backoff.is_on(1, || at(start, 10_000)));
    }

    #[test]
    fn four_failures_in_ten_seconds_never_start_a_backoff() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        for round in 0..100 {
            fail(&mut backoff, 1, 4, at(start, round * 10_001));
            assert!(!backoff.is_on(1, || at(start, round * 10_001)));
        }
    }

    #[test]
    fn the_backoff_doubles_up_to_a_minute_and_resets_after_a_minute_without_failures() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            fail(&mut backoff, 1, 5, now);
            assert!(backoff.is_on(1, || at(now, seconds * 1000 - 1)), "{seconds}");
            now = at(now, seconds * 1000);
            assert!(!backoff.is_on(1, || now), "{seconds}");
        }
        now = at(now, 61_000);
        fail(&mut backoff, 1, 5, now);
        assert!(!backoff.is_on(1, || at(now, 1000)));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_latest_failures() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        for uid in 0..5000 {
            fail(&mut backoff, uid, 5, at(start, u64::from(uid)));
        }
        assert!(backoff.0.len() <= MAX_USERS);
        assert!(backoff.is_on(4999, || at(start, 5000)));
    }
}
