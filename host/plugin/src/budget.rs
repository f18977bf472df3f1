//! Limits the time that a plugin's failures may take in a second, for all users together. Back-off by user is not enough:
//! one person may have thousands of user ids, and a plugin fails several times for each before it backs off.

use std::time::{Duration, Instant};

use super::backoff::FAILURES;
use super::deadline::FIRST_CHECK;
use super::limits::Limits;
use super::ticker::TICK;

const SECOND: Duration = Duration::from_secs(1);
/// Number of users for whom calls may fail up to the back-off in one second, each with the longest possible call.
const USERS: u32 = 2;

/// Time that one plugin's failures have taken.
#[derive(Debug)]
pub(super) struct Budget {
    /// Longest possible call.
    longest_call: Duration,
    limit: Duration,
    /// Start of the current second.
    since: Option<Instant>,
    spent: Duration,
    /// End of the back-off for all users.
    until: Option<Instant>,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Budget {
        let longest_call =
            limits.deadline + TICK * (u32::try_from(FIRST_CHECK).unwrap_or(u32::MAX) + 1);
        Budget {
            longest_call,
            limit: longest_call * FAILURES * USERS,
            since: None,
            spent: Duration::ZERO,
            until: None,
        }
    }

    /// Charges a failed call of a replay. The time that it took depends on the machine, but a replay must not, so a call
    /// that exceeded its deadline is charged the longest possible call, and any other call nothing.
    pub(super) fn spend_replayed(&mut self, overran: bool, now: Instant) {
        self.spend(if overran { self.longest_call } else { Duration::ZERO }, now);
    }

    /// Charges the time of a failed call, or of the new instance after it.
    pub(super) fn spend(&mut self, took: Duration, now: Instant) {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND) {
            (self.since, self.spent) = (Some(now), Duration::ZERO);
        }
        self.spent += took;
        if self.spent > self.limit {
            self.until = Some(now + SECOND);
            (self.since, self.spent) = (None, Duration::ZERO);
        }
    }

    /// Whether the plugin backs off for all users. `now` is called only after an earlier back-off.
    pub(super) fn is_spent(&self, now: impl FnOnce() -> Instant) -> bool {
        self.until.is_some_and(|until| now() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_budget_starts_a_backoff_of_one_second() {
        let mut budget = Budget::new(&Limits::default());
        assert_eq!(budget.limit, Duration::from_millis(350));
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
    fn each_second_has_its_own_budget() {
        let mut budget = Budget::new(&Limits::default());
        let start = Instant::now();
        for n in 0..100 {
            let now = start + SECOND * n;
            budget.spend(Duration::from_millis(350), now);
            assert!(!budget.is_spent(|| now));
        }
    }
}
