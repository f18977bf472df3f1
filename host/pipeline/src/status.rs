//! Word of the run itself: `status` in the stream, and with `--verbose` the counters on standard error.

use std::time::{Duration, Instant};

use crate::stats::Stats;
use crypto_tracer_capture::Attached;
use crypto_tracer_event::{Notice, Status, StatusPlugin, StatusProbe, Timestamp};
use crypto_tracer_plugin::Plugins;

/// How often counters are told with `--verbose`.
const SECOND: Duration = Duration::from_secs(1);

/// When it is due.
#[derive(Debug, Default)]
pub struct StatusSchedule {
    every: Option<Duration>,
    next_status: Option<Instant>,
    asked: bool,
    next_counters: Option<Instant>,
    told: Stats,
}

impl StatusSchedule {
    /// `every`: how often `status` comes, besides when it is asked for. `verbose`: with counters every second.
    pub fn new(every: Option<Duration>, verbose: bool) -> StatusSchedule {
        let now = Instant::now();
        StatusSchedule {
            every,
            next_status: every.map(|every| now + every),
            next_counters: verbose.then_some(now + SECOND),
            ..StatusSchedule::default()
        }
    }

    /// From now on `status` comes so often; None: only when it is asked for.
    pub(super) fn come_every(&mut self, every: Option<Duration>) {
        self.every = every;
        self.next_status = every.map(|every| Instant::now() + every);
    }

    /// Status is wanted now.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// When there is something to tell next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next_status.into_iter().chain(self.next_counters).min()
    }

    /// Whether the stream is to be told now.
    pub(super) fn status_is_due(&mut self, now: Instant) -> bool {
        let due = self.next_status.is_some_and(|next| next <= now);
        if due {
            self.next_status = self.every.map(|every| now + every);
        }
        due | std::mem::take(&mut self.asked)
    }

    /// Whether counters are to be told now. Only when they have changed is there anything to tell.
    pub(super) fn counters_are_due(&mut self, now: Instant) -> bool {
        let due = self.next_counters.is_some_and(|next| next <= now);
        if due {
            self.next_counters = Some(now + SECOND);
        }
        due
    }

    /// What is new in the counters since the last time; None: nothing.
    pub(super) fn counters(&mut self, total: Stats) -> Option<String> {
        if total == self.told {
            return None;
        }
        let text = format!("{total} (+{} shown)", total.shown - self.told.shown);
        self.told = total;
        Some(text)
    }
}

/// The state of the run at this moment.
pub(super) fn status(
    stats: &Stats,
    plugins: &Plugins,
    attached: &[Attached],
    at: Timestamp,
) -> Notice {
    let probes = attached.iter().map(|probe| StatusProbe {
        name: probe.probe,
        hook: probe.hook.clone(),
        cannot_see: probe.cannot_see.iter().map(|unseen| unseen.what.to_string()).collect(),
    });
    let plugins = plugins.running().iter().map(|plugin| StatusPlugin {
        kind: plugin.kind.as_str(),
        name: plugin.name.to_string(),
        version: plugin.version.to_string(),
        sha256: plugin.sha256.to_string(),
    });
    let causes = stats.lost.iter().map(|(cause, missing)| (cause.to_string(), missing.count));
    let status = Status {
        received: stats.received,
        shown: stats.shown,
        filtered: stats.filtered,
        lost: stats.lost(),
        lost_by_cause: causes.collect(),
        plugin_failures: stats.plugin_failures.values().sum(),
        probes: probes.collect(),
        plugins: plugins.collect(),
    };
    Notice::Status(at, Box::new(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_comes_every_so_often_and_when_it_is_asked_for() {
        let every = Duration::from_secs(60);
        let mut schedule = StatusSchedule::new(Some(every), false);
        let now = Instant::now();
        assert!(!schedule.status_is_due(now));
        schedule.ask();
        assert!(schedule.status_is_due(now));
        assert!(!schedule.status_is_due(now));
        assert!(schedule.status_is_due(now + every));
        assert_eq!(schedule.next(), Some(now + 2 * every));
        assert!(!schedule.status_is_due(now + every));
        // A reload says otherwise.
        schedule.come_every(None);
        assert_eq!((schedule.next(), schedule.status_is_due(now + 9 * every)), (None, false));
        schedule.come_every(Some(every / 2));
        assert!(schedule.next().is_some_and(|next| next < now + every));
        let mut never = StatusSchedule::new(None, false);
        assert_eq!((never.next(), never.status_is_due(now + every)), (None, false));
    }

    #[test]
    fn counters_come_every_second_in_which_something_happened() {
        let mut schedule = StatusSchedule::new(None, true);
        let now = Instant::now();
        assert!(!schedule.counters_are_due(now));
        assert!(
            schedule.counters_are_due(now + SECOND) && !schedule.counters_are_due(now + SECOND)
        );
        assert!(schedule.next().is_some());
        assert_eq!(schedule.counters(Stats::default()), None);
        let stats = |shown| Stats { shown, ..Stats::default() };
        assert!(schedule.counters(stats(5)).is_some_and(|text| text.ends_with("(+5 shown)")));
        assert!(schedule.counters(stats(7)).is_some_and(|text| text.ends_with("(+2 shown)")));
        assert_eq!(schedule.counters(stats(7)), None);
    }
}
