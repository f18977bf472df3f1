//! Exponential backoff by key: a key that fails repeatedly backs off for a time that doubles. Other keys are not affected.

use std::hash::Hash;
use std::time::{Duration, Instant};

use hashlink::LruCache;

/// Conditions and durations of backoffs.
#[derive(Clone, Copy, Debug)]
pub struct BackoffPolicy {
    /// Failures within `window` that start the first backoff.
    pub first: u32,
    /// Failures within `window` that start a further one.
    pub further: u32,
    /// Time in which failures are counted together.
    pub window: Duration,
    /// Duration of the first backoff. Each further one takes twice as long.
    pub min: Duration,
    /// Maximum duration.
    pub max: Duration,
    /// Time without a failure after which the failures of a key are forgotten.
    pub reset_after: Duration,
    /// Maximum number of keys. Beyond that, the one with the oldest last failure is evicted.
    pub max_keys: usize,
}

/// Recent failures by key.
#[derive(Debug)]
pub struct Backoff<K: Eq + Hash> {
    policy: BackoffPolicy,
    keys: LruCache<K, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// Start of the window in which they are counted.
    since: Instant,
    last: Instant,
    /// End of the last backoff.
    until: Option<Instant>,
    /// Duration of the next backoff.
    next: Duration,
}

impl<K: Eq + Hash> Backoff<K> {
    /// No key has failed yet.
    pub fn new(policy: BackoffPolicy) -> Backoff<K> {
        Backoff { policy, keys: LruCache::new(policy.max_keys) }
    }

    /// Whether the key backs off. `now` is called only after earlier failures of this key.
    pub fn is_on(&self, key: &K, now: impl FnOnce() -> Instant) -> bool {
        let until = self.keys.peek(key).and_then(|failures| failures.until);
        until.is_some_and(|until| now() < until)
    }

    /// Records a failure.
    pub fn failed(&mut self, key: K, now: Instant) {
        let policy = self.policy;
        let new = Failures { count: 0, since: now, last: now, until: None, next: policy.min };
        let earlier = self.keys.remove(&key).filter(|failures| {
            let quiet_since = failures.until.map_or(failures.last, |it| it.max(failures.last));
            now.saturating_duration_since(quiet_since) <= policy.reset_after
        });
        let mut failures = earlier.unwrap_or(new);
        if now.saturating_duration_since(failures.since) > policy.window {
            (failures.count, failures.since) = (0, now);
        }
        failures.last = now;
        failures.count += 1;
        let limit = if failures.until.is_none() { policy.first } else { policy.further };
        if failures.count >= limit {
            failures.until = Some(now + failures.next);
            failures.next = (failures.next * 2).min(policy.max);
            // Failures after the backoff start a new window.
            (failures.count, failures.since) = (0, now + failures.next);
        }
        self.keys.insert(key, failures);
    }

    /// Number of keys in the table.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the table has no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BackoffPolicy = BackoffPolicy {
        first: 3,
        further: 1,
        window: Duration::from_secs(10),
        min: Duration::from_secs(1),
        max: Duration::from_secs(4),
        reset_after: Duration::from_secs(20),
        max_keys: 4,
    };

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    /// How long the key backs off from `now`, in whole milliseconds.
    fn length(backoff: &Backoff<u32>, key: u32, now: Instant) -> u64 {
        (0..10_000).take_while(|&ms| backoff.is_on(&key, || at(now, ms))).count() as u64
    }

    #[test]
    fn backoff_starts_after_the_first_failures_and_doubles_with_further_ones() {
        let (mut backoff, mut now) = (Backoff::new(POLICY), Instant::now());
        for _ in 0..3 {
            assert_eq!(length(&backoff, 1, now), 0);
            backoff.failed(1, now);
        }
        for expected in [1000, 2000, 4000, 4000] {
            assert_eq!((length(&backoff, 1, now), length(&backoff, 2, now)), (expected, 0));
            now = at(now, expected);
            backoff.failed(1, now);
        }
    }

    #[test]
    fn failures_of_two_windows_are_not_counted_together() {
        let (mut backoff, start) = (Backoff::new(POLICY), Instant::now());
        for round in 0..100 {
            let now = at(start, round * 10_001);
            backoff.failed(1, now);
            backoff.failed(1, now);
            assert_eq!(length(&backoff, 1, now), 0, "{round}");
        }
    }

    #[test]
    fn a_quiet_key_starts_anew() {
        let (mut backoff, start) = (Backoff::new(POLICY), Instant::now());
        (0..3).for_each(|_| backoff.failed(1, start));
        let later = at(start, 1_000 + 20_001);
        backoff.failed(1, later);
        assert_eq!(length(&backoff, 1, later), 0, "the first backoff takes three failures again");
        (0..2).for_each(|_| backoff.failed(1, later));
        assert_eq!(length(&backoff, 1, later), 1000);
    }

    #[test]
    fn the_key_with_the_oldest_last_failure_is_evicted() {
        let (mut backoff, start) = (Backoff::new(POLICY), Instant::now());
        for key in [1, 2, 3, 4, 1, 1, 5] {
            backoff.failed(key, start);
        }
        assert_eq!(backoff.len(), 4);
        assert_eq!(length(&backoff, 1, start), 1000, "its failures are remembered");
        (0..2).for_each(|_| backoff.failed(2, start));
        assert_eq!(length(&backoff, 2, start), 0, "it was evicted, so two failures are too few");
    }
}
