//! What a run counted. Nothing is lost that is not in here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::{PluginFailure, PluginKind};

/// What one cause took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossCount {
    /// How many.
    pub count: u64,
    /// Events, one by one; false where the kernel counts misses of any kind, of events that nobody wanted too.
    pub exact: bool,
}

/// Counters of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that came from the kernel.
    pub received: u64,
    /// Events that were given to the output.
    pub shown: u64,
    /// Events that the host's filters or the plugins' left out, and library loads that were told before.
    pub filtered: u64,
    /// What is missing, by cause.
    pub lost: BTreeMap<Cow<'static, str>, LossCount>,
    /// Plugin calls that failed, by plugin, kind and cause.
    pub plugin_failures: BTreeMap<(String, PluginKind, String), u64>,
}

impl Stats {
    /// Counts events that are missing.
    pub fn add_loss(&mut self, cause: impl Into<Cow<'static, str>>, count: u64) {
        self.miss(cause, LossCount { count, exact: true });
    }

    /// Counts what is missing, or may be.
    pub fn miss(&mut self, cause: impl Into<Cow<'static, str>>, missing: LossCount) {
        if missing.count > 0 {
            let LossCount { count, exact } = missing;
            let sum =
                &mut self.lost.entry(cause.into()).or_insert(LossCount { count: 0, exact }).count;
            // A recording may claim any number.
            *sum = sum.saturating_add(count);
        }
    }

    /// Counts calls of a plugin that failed.
    pub fn attribute(&mut self, failure: &PluginFailure) {
        let PluginFailure { plugin, kind, cause, count, .. } = failure;
        *self.plugin_failures.entry((plugin.clone(), *kind, cause.clone())).or_default() += count;
    }

    /// All events that are missing, as far as they were counted one by one.
    pub fn lost(&self) -> u64 {
        let exact = self.lost.values().filter(|missing| missing.exact);
        exact.fold(0, |sum, missing| sum.saturating_add(missing.count))
    }
}

impl Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = counted(self.shown, "event");
        write!(f, "{shown} shown, {} filtered, {} lost", self.filtered, self.lost())?;
        let mut open = " (";
        for (cause, missing) in &self.lost {
            let about = if missing.exact { "" } else { "perhaps " };
            write!(f, "{open}{cause} {about}{}", missing.count)?;
            open = ", ";
        }
        if !self.lost.is_empty() {
            f.write_str(")")?;
        }
        let failures: u64 = self.plugin_failures.values().sum();
        let (received, failures) =
            (counted(self.received, "record"), counted(failures, "plugin failure"));
        write!(f, "; {received} received; {failures}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_by_cause() {
        let mut stats = Stats { received: 9, shown: 5, filtered: 2, ..Stats::default() };
        assert_eq!(
            stats.to_string(),
            "5 events shown, 2 filtered, 0 lost; 9 records received; 0 plugin failures"
        );
        stats.add_loss("ring_full", 0);
        assert!(stats.lost.is_empty());
        stats.add_loss("ring_full", 3);
        stats.add_loss("ring_full", 1);
        stats.add_loss("malformed", 1);
        stats.miss("probe_missed", LossCount { count: 9, exact: false });
        assert_eq!(
            stats.to_string(),
            "5 events shown, 2 filtered, 5 lost (malformed 1, probe_missed perhaps 9, ring_full 4); 9 records received; 0 plugin failures"
        );
        for cause in ["ring_full", "another"] {
            stats.add_loss(cause, u64::MAX);
        }
        assert_eq!(stats.lost(), u64::MAX, "no number wraps around");
    }
}
