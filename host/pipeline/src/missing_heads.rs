//! Reports the users whose heads were late or denied, once a minute during a run.

use std::time::{Duration, Instant};

use crate::stats::Stats;

/// Minimum interval between two reports, and between the start and the first one.
const INTERVAL: Duration = Duration::from_secs(60);

/// When to report.
#[derive(Debug)]
pub(super) struct MissingHeadsReporter {
    next: Instant,
    /// Number of missing heads in the last report.
    reported: u64,
}

impl MissingHeadsReporter {
    pub(super) fn new(now: Instant) -> MissingHeadsReporter {
        MissingHeadsReporter { next: now + INTERVAL, reported: 0 }
    }

    /// Returns the report if there are more missing heads than in the last one and the interval has passed.
    pub(super) fn due(&mut self, stats: &Stats, now: Instant) -> Option<String> {
        if now < self.next {
            return None;
        }
        let count = stats.missing_heads.values().sum();
        if count == self.reported {
            return None;
        }
        (self.next, self.reported) = (now + INTERVAL, count);
        stats.missing_heads_summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_event::HeadOutcome;

    #[test]
    fn new_missing_heads_are_reported_once_a_minute() {
        let start = Instant::now();
        let mut reporter = MissingHeadsReporter::new(start);
        let mut stats = Stats::default();
        stats.missing_heads.insert((Some(1000), HeadOutcome::Late), 3);
        assert_eq!(reporter.due(&stats, start), None, "the end of a short run reports them");
        let report = reporter.due(&stats, start + INTERVAL).unwrap();
        assert!(report.contains("user 1000 3 late"), "{report}");
        assert_eq!(reporter.due(&stats, start + 2 * INTERVAL), None, "no new ones");
        stats.missing_heads.insert((Some(7), HeadOutcome::Denied), 1);
        assert!(reporter.due(&stats, start + 2 * INTERVAL).is_some_and(|it| it.contains("user 7")));
        stats.missing_heads.insert((Some(7), HeadOutcome::Denied), 2);
        assert_eq!(reporter.due(&stats, start + 2 * INTERVAL), None);
    }
}
