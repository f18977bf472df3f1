//! Reports on the run itself: `status` in the stream and, with `--verbose`, the counters on standard error.

use std::time::{Duration, Instant};

use crate::stats::Stats;
use crypto_tracer_capture::Attached;
use crypto_tracer_event::{
    Notice, Status, StatusMissingHeads, StatusPlugin, StatusProbe, StatusRecording, Timestamp,
};
use crypto_tracer_plugin::Plugins;

/// Interval of the counters with `--verbose`.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);

/// Schedule of the reports.
#[derive(Debug, Default)]
pub struct StatusSchedule {
    interval: Option<Duration>,
    next_status: Option<Instant>,
    requested: bool,
    next_counters: Option<Instant>,
    reported: Stats,
}

impl StatusSchedule {
    /// `interval`: interval of `status`; `None` if it is printed on request only. `verbose`: with counters every second.
    pub fn new(interval: Option<Duration>, verbose: bool) -> StatusSchedule {
        let now = Instant::now();
        StatusSchedule {
            interval,
            next_status: interval.map(|interval| now + interval),
            next_counters: verbose.then_some(now + COUNTERS_INTERVAL),
            ..StatusSchedule::default()
        }
    }

    /// Changes the interval of `status`; `None` if it is printed on request only.
    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
        self.next_status = interval.map(|interval| Instant::now() + interval);
    }

    /// Requests a `status` now.
    pub(super) fn request(&mut self) {
        self.requested = true;
    }

    /// Returns the time of the next scheduled report.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next_status.into_iter().chain(self.next_counters).min()
    }

    /// Returns whether `status` is due, and schedules the next one.
    pub(super) fn status_is_due(&mut self, now: Instant) -> bool {
        let due = self.next_status.is_some_and(|next| next <= now);
        if due {
            self.next_status = self.interval.map(|interval| now + interval);
        }
        due | std::mem::take(&mut self.requested)
    }

    /// Returns whether the counters are due, and schedules the next ones.
    pub(super) fn counters_are_due(&mut self, now: Instant) -> bool {
        let due = self.next_counters.is_some_and(|next| next <= now);
        if due {
            self.next_counters = Some(now + COUNTERS_INTERVAL);
        }
        due
    }

    /// Returns the counters and their change since the last call; `None` if they have not changed.
    pub(super) fn counters(&mut self, total: Stats) -> Option<String> {
        if total == self.reported {
            return None;
        }
        let text = format!("{total} (+{} shown)", total.shown - self.reported.shown);
        self.reported = total;
        Some(text)
    }
}

/// Returns the current state of the run.
pub(super) fn status(
    stats: &Stats,
    plugins: &Plugins,
    attached: &[Attached],
    recording: Option<StatusRecording>,
    at: Timestamp,
) -> Notice {
    let probes = attached.iter().map(|probe| StatusProbe {
        name: probe.rung,
        hook: probe.hook.clone(),
        cannot_see: probe.cannot_see.iter().map(|spot| spot.what.to_string()).collect(),
    });
    let plugins = plugins.running().iter().map(|plugin| StatusPlugin {
        kind: plugin.kind.as_str(),
        name: plugin.name.to_string(),
        version: plugin.version.to_string(),
        sha256: plugin.sha256.to_string(),
    });
    let causes = stats.lost.iter().map(|(cause, loss)| (cause.to_string(), loss.count));
    let missing_heads = stats.missing_heads.iter();
    let missing_heads =
        missing_heads.map(|(&(uid, head), &count)| StatusMissingHeads { uid, head, count });
    let status = Status {
        received: stats.received,
        shown: stats.shown,
        filtered: stats.filtered,
        skipped: stats.skipped,
        lost: stats.lost(),
        lost_by_cause: causes.collect(),
        plugin_failures: stats.plugin_failures.values().sum(),
        missing_heads: missing_heads.collect(),
        recording,
        probes: probes.collect(),
        plugins: plugins.collect(),
    };
    Notice::Status(at, Box::new(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_due_at_its_interval_and_on_request() {
        let interval = Duration::from_secs(60);
        let mut schedule = StatusSchedule::new(Some(interval), false);
        let now = Instant::now();
        assert!(!schedule.status_is_due(now));
        schedule.request();
        assert!(schedule.status_is_due(now));
        assert!(!schedule.status_is_due(now));
        assert!(schedule.status_is_due(now + interval));
        assert_eq!(schedule.next(), Some(now + 2 * interval));
        assert!(!schedule.status_is_due(now + interval));
        schedule.set_interval(None);
        assert_eq!((schedule.next(), schedule.status_is_due(now + 9 * interval)), (None, false));
        schedule.set_interval(Some(interval / 2));
        assert!(schedule.next().is_some_and(|next| next < now + interval));
        let mut never = StatusSchedule::new(None, false);
        assert_eq!((never.next(), never.status_is_due(now + interval)), (None, false));
    }

    #[test]
    fn counters_are_due_every_second_and_returned_if_changed() {
        let mut schedule = StatusSchedule::new(None, true);
        let now = Instant::now();
        assert!(!schedule.counters_are_due(now));
        assert!(
            schedule.counters_are_due(now + COUNTERS_INTERVAL)
                && !schedule.counters_are_due(now + COUNTERS_INTERVAL)
        );
        assert!(schedule.next().is_some());
        assert_eq!(schedule.counters(Stats::default()), None);
        let stats = |shown| Stats { shown, ..Stats::default() };
        assert!(schedule.counters(stats(5)).is_some_and(|text| text.ends_with("(+5 shown)")));
        assert!(schedule.counters(stats(7)).is_some_and(|text| text.ends_with("(+2 shown)")));
        assert_eq!(schedule.counters(stats(7)), None);
    }
}
