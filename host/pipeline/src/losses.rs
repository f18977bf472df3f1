//! Reports losses in the stream, at most once a second.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::stats::LossCount;
use crypto_tracer_event::Loss;

/// Minimum interval between two reports.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Minimum interval between two reads of the counters that find no loss: reading them takes system calls.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The losses that were reported.
#[derive(Debug, Default)]
pub(super) struct LossReporter {
    reported: BTreeMap<Cow<'static, str>, u64>,
    next: Option<Instant>,
    checked: Option<Instant>,
}

impl LossReporter {
    /// Returns the earliest time of the next report.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.next.unwrap_or(now)
    }

    /// Returns when to read the counters if no event arrives until then.
    pub(super) fn next_idle(&self, now: Instant) -> Instant {
        self.checked.map_or(now, |checked| checked + REPORT_INTERVAL)
    }

    /// Returns the losses since the last call. `total`: all losses by cause.
    pub(super) fn take_new(
        &mut self,
        total: &BTreeMap<Cow<'static, str>, LossCount>,
        now: Instant,
    ) -> Vec<Loss> {
        let losses: Vec<Loss> = total
            .iter()
            .filter_map(|(cause, &LossCount { count, exact })| {
                let cause = cause.clone();
                let reported = self.reported.insert(cause.clone(), count).unwrap_or(0);
                let count = count.checked_sub(reported).filter(|&count| count > 0)?;
                Some(Loss { count, cause, exact })
            })
            .collect();
        self.checked = Some(now);
        self.next = Some(now + if losses.is_empty() { CHECK_INTERVAL } else { REPORT_INTERVAL });
        losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_reported_once() {
        let mut reporter = LossReporter::default();
        let now = Instant::now();
        let count = |count| LossCount { count, exact: true };
        let mut total = BTreeMap::from([("ring_full".into(), count(3))]);
        assert_eq!(reporter.next(now), now);
        let loss = |count| Loss { count, cause: "ring_full".into(), exact: true };
        assert_eq!(reporter.take_new(&total, now), [loss(3)]);
        assert_eq!(reporter.next(now), now + REPORT_INTERVAL);
        assert_eq!(reporter.next_idle(now), now + REPORT_INTERVAL);
        assert_eq!(reporter.take_new(&total, now), []);
        assert_eq!(reporter.next(now), now + CHECK_INTERVAL);
        total.insert("ring_full".into(), count(5));
        assert_eq!(reporter.take_new(&total, now), [loss(2)]);
    }
}
