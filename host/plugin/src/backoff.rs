//! A plugin that keeps failing for one user's events rests for that user, so that nobody can make it cost much,
//! and nobody can silence it for others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Failures within [`WITHIN`] that send a plugin to rest.
pub(super) const FAILURES: u8 = 5;
const WITHIN: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Users that are remembered; beyond that the one who has been quiet for longest is forgotten.
const MOST_USERS: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct UserFailures {
    failures: u8,
    /// When the first of them was.
    since: Instant,
    last: Instant,
    until: Option<Instant>,
    next_rest: Duration,
}

/// Who made a plugin fail lately.
#[derive(Debug, Default)]
pub(super) struct Backoff(HashMap<u32, UserFailures>);

impl Backoff {
    /// Whether the plugin rests for this user. `now` is asked for only when somebody made it fail before.
    pub(super) fn is_on(&self, uid: u32, now: impl FnOnce() -> Instant) -> bool {
        let until = self.0.get(&uid).and_then(|user| user.until);
        until.is_some_and(|until| now() < until)
    }

    /// The plugin failed for this user.
    pub(super) fn failed(&mut self, uid: u32, now: Instant) {
        if self.0.len() >= MOST_USERS && !self.0.contains_key(&uid) {
            self.forget(now);
        }
        let user = self.0.entry(uid).or_insert(UserFailures {
            failures: 0,
            since: now,
            last: now,
            until: None,
            next_rest: SHORTEST,
        });
        let quiet_since = user.until.unwrap_or(user.last).max(user.last);
        if now.saturating_duration_since(quiet_since) > LONGEST {
            user.next_rest = SHORTEST;
        }
        if now.saturating_duration_since(user.since) > WITHIN {
            (user.failures, user.since) = (0, now);
        }
        user.last = now;
        user.failures += 1;
        if user.failures >= FAILURES {
            user.until = Some(now + user.next_rest);
            user.next_rest = (user.next_rest * 2).min(LONGEST);
            // What comes after the rest counts anew.
            (user.failures, user.since) = (0, now + user.next_rest);
        }
    }

    /// Makes room: those who made nothing fail for long, or at least the quietest.
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, user| now.saturating_duration_since(user.last) <= LONGEST);
        if self.0.len() >= MOST_USERS
            && let Some(quietest) =
                self.0.iter().min_by_key(|(_, user)| user.last).map(|(&uid, _)| uid)
        {
            self.0.remove(&quietest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn fail(rest: &mut Backoff, uid: u32, times: usize, now: Instant) {
        (0..times).for_each(|_| rest.failed(uid, now));
    }

    #[test]
    fn five_failures_of_one_user_and_only_for_that_user() {
        let (mut rest, start) = (Backoff::default(), Instant::now());
        fail(&mut rest, 1, 4, start);
        assert!(!rest.is_on(1, || start));
        rest.failed(1, at(start, 9_000));
        assert!(rest.is_on(1, || at(start, 9_999)));
        assert!(!rest.is_on(2, || at(start, 9_999)));
        assert!(!rest.is_on(1, || at(start, 10_000)));
    }

    #[test]
    fn four_in_ten_seconds_are_borne_for_ever() {
        let (mut rest, start) = (Backoff::default(), Instant::now());
        for round in 0..100 {
            fail(&mut rest, 1, 4, at(start, round * 10_001));
            assert!(!rest.is_on(1, || at(start, round * 10_001)));
        }
    }

    #[test]
    fn the_rest_doubles_up_to_a_minute_and_starts_small_after_a_quiet_one() {
        let (mut rest, mut now) = (Backoff::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            fail(&mut rest, 1, 5, now);
            assert!(rest.is_on(1, || at(now, seconds * 1000 - 1)), "{seconds}");
            now = at(now, seconds * 1000);
            assert!(!rest.is_on(1, || now), "{seconds}");
        }
        now = at(now, 61_000);
        fail(&mut rest, 1, 5, now);
        assert!(!rest.is_on(1, || at(now, 1000)));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_latest() {
        let (mut rest, start) = (Backoff::default(), Instant::now());
        for uid in 0..5000 {
            fail(&mut rest, uid, 5, at(start, u64::from(uid)));
        }
        assert!(rest.0.len() <= MOST_USERS);
        assert!(rest.is_on(4999, || at(start, 5000)));
    }
}
