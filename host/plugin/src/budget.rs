//! How much time a plugin's failures may take in a second, whoever they are for: a user may have thousands of user ids, and
//! for each of them a plugin may fail a few times before it rests.

use std::time::{Duration, Instant};

use super::backoff::FAILURES;
use super::deadline::FIRST_LOOK;
use super::limits::Limits;
use super::ticker::TICK;

const SECOND: Duration = Duration::from_secs(1);
/// Users for whom it may fail in one second until it rests for them, with all the time that a call may take.
const USERS: u32 = 2;

/// The time of one plugin's failures.
#[derive(Debug)]
pub(super) struct Budget {
    /// All that one call may take.
    call: Duration,
    most: Duration,
    since: Option<Instant>,
    spent: Duration,
    /// It rests for everybody.
    until: Option<Instant>,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Budget {
        let call = limits.deadline + TICK * (u32::try_from(FIRST_LOOK).unwrap_or(u32::MAX) + 1);
        Budget {
            call,
            most: call * u32::from(FAILURES) * USERS,
            since: None,
            spent: Duration::ZERO,
            until: None,
        }
    }

    /// A call failed in a replay. What that took depends on the machine, and a replay says the same on each: a call that
    /// overran took all that it may, any other nothing.
    pub(super) fn spend_replayed(&mut self, overran: bool, now: Instant) {
        self.spend(if overran { self.call } else { Duration::ZERO }, now);
    }

    /// A failure, or what followed from it, took this long.
    pub(super) fn spend(&mut self, took: Duration, now: Instant) {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND) {
            (self.since, self.spent) = (Some(now), Duration::ZERO);
        }
        self.spent += took;
        if self.spent > self.most {
            self.until = Some(now + SECOND);
            (self.since, self.spent) = (None, Duration::ZERO);
        }
    }

    /// Whether the plugin rests for everybody. `now` is asked for only when it did before.
    pub(super) fn is_spent(&self, now: impl FnOnce() -> Instant) -> bool {
        self.until.is_some_and(|until| now() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_failures_is_followed_by_one_of_rest() {
        let mut budget = Budget::new(&Limits::default());
        assert_eq!(budget.most, Duration::from_millis(350));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for n in 0..10 {
            budget.spend(Duration::from_millis(35), at(n));
        }
        assert!(!budget.is_spent(|| at(10)));
        budget.spend(Duration::from_millis(1), at(999));
        assert!(budget.is_spent(|| at(1998)));
        assert!(!budget.is_spent(|| at(1999)));
    }

    #[test]
    fn what_failed_in_an_earlier_second_is_forgotten() {
        let mut budget = Budget::new(&Limits::default());
        let start = Instant::now();
        for n in 0..100 {
            let now = start + SECOND * n;
            budget.spend(Duration::from_millis(350), now);
            assert!(!budget.is_spent(|| now));
        }
    }
}
