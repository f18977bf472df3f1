//! Tells what was lost: in the stream at most once a second, whenever something was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::stats::LossCount;
use crypto_tracer_event::Loss;

/// How often each cause is told at most.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// How often the counters are looked at while there is nothing to tell: a look costs system calls.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct LossReporter {
    told: BTreeMap<Cow<'static, str>, u64>,
    next: Option<Instant>,
    looked: Option<Instant>,
}

impl LossReporter {
    /// When the counters are worth a look again.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.next.unwrap_or(now)
    }

    /// When the counters are to be looked at though nothing else happens.
    pub(super) fn look_again(&self, now: Instant) -> Instant {
        self.looked.map_or(now, |looked| looked + EVERY)
    }

    /// What is new since the last word. `total`: all that was lost, by cause.
    pub(super) fn news(
        &mut self,
        total: &BTreeMap<Cow<'static, str>, LossCount>,
        now: Instant,
    ) -> Vec<Loss> {
        let news: Vec<Loss> = total
            .iter()
            .filter_map(|(cause, &LossCount { count, exact })| {
                let cause = cause.clone();
                let told = self.told.insert(cause.clone(), count).unwrap_or(0);
                let count = count.checked_sub(told).filter(|&count| count > 0)?;
                Some(Loss { count, cause, exact })
            })
            .collect();
        self.looked = Some(now);
        self.next = Some(now + if news.is_empty() { LOOK } else { EVERY });
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let mut teller = LossReporter::default();
        let now = Instant::now();
        let missing = |count| LossCount { count, exact: true };
        let mut total = BTreeMap::from([("ring_full".into(), missing(3))]);
        assert_eq!(teller.next(now), now);
        let loss = |count| Loss { count, cause: "ring_full".into(), exact: true };
        assert_eq!(teller.news(&total, now), [loss(3)]);
        assert_eq!(teller.next(now), now + EVERY);
        assert_eq!(teller.look_again(now), now + EVERY);
        assert_eq!(teller.news(&total, now), []);
        assert_eq!(teller.next(now), now + LOOK);
        total.insert("ring_full".into(), missing(5));
        assert_eq!(teller.news(&total, now), [loss(2)]);
    }
}
