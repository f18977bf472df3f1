//! Counters of a run. Every lost event is counted here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::{PluginFailure, PluginKind};

/// Losses by one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossCount {
    /// Number of losses.
    pub count: u64,
    /// Whether each loss is an event. `false` if the kernel's counter includes misses that filters would have removed.
    pub exact: bool,
}

/// Counters of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records received from the kernel.
    pub received: u64,
    /// Events passed to the output.
    pub shown: u64,
    /// Events that the host's or the plugins' filters removed, and repeated loads of a library.
    pub filtered: u64,
    /// Losses by cause.
    pub lost: BTreeMap<Cow<'static, str>, LossCount>,
    /// Failed plugin calls by plugin, kind and cause.
    pub plugin_failures: BTreeMap<(String, PluginKind, String), u64>,
}

impl Stats {
    /// Counts lost events.
    pub(crate) fn add_loss(&mut self, cause: impl Into<Cow<'static, str>>, count: u64) {
        self.add_loss_count(cause, LossCount { count, exact: true });
    }

    /// Counts losses, exact or not.
    pub(crate) fn add_loss_count(&mut self, cause: impl Into<Cow<'static, str>>, loss: LossCount) {
        if loss.count > 0 {
            let LossCount { count, exact } = loss;
            let sum =
                &mut self.lost.entry(cause.into()).or_insert(LossCount { count: 0, exact }).count;
            // A recording may contain any number.
            *sum = sum.saturating_add(count);
        }
    }

    /// Counts failed calls of a plugin.
    pub(crate) fn attribute(&mut self, failure: &PluginFailure) {
        let PluginFailure { plugin, kind, cause, count, .. } = failure;
        *self.plugin_failures.entry((plugin.clone(), *kind, cause.clone())).or_default() += count;
    }

    /// Returns the number of lost events that were counted exactly.
    pub fn lost(&self) -> u64 {
        let exact = self.lost.values().filter(|loss| loss.exact);
        exact.fold(0, |sum, loss| sum.saturating_add(loss.count))
    }
}

impl Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = counted(self.shown, "event");
        write!(f, "{shown} shown, {} filtered, {} lost", self.filtered, self.lost())?;
        let mut separator = " (";
        for (cause, loss) in &self.lost {
            let estimate = if loss.exact { "" } else { "perhaps " };
            write!(f, "{separator}{cause} {estimate}{}", loss.count)?;
            separator = ", ";
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
    fn losses_are_listed_by_cause() {
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
        stats.add_loss_count("probe_missed", LossCount { count: 9, exact: false });
        assert_eq!(
            stats.to_string(),
            "5 events shown, 2 filtered, 5 lost (malformed 1, probe_missed perhaps 9, ring_full 4); 9 records received; 0 plugin failures"
        );
        for cause in ["ring_full", "another"] {
            stats.add_loss(cause, u64::MAX);
        }
        assert_eq!(stats.lost(), u64::MAX, "counters saturate");
    }
}
