//! Counters of a run for another thread.

use std::sync::{Arc, Mutex, PoisonError};

use crate::stats::Stats;

/// The counters of a run as of its last flush. Another thread reports them if a write blocks the pipeline's thread. Clones
/// share the counters.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Arc<Mutex<Stats>>);

impl Snapshot {
    /// Updates the numbers of events, which takes no allocation.
    pub(super) fn update(&self, stats: &Stats) {
        let mut snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.received = stats.received;
        snapshot.shown = stats.shown;
        snapshot.filtered = stats.filtered;
    }

    /// Updates all counters.
    pub(super) fn replace(&self, stats: Stats) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_events_are_newer_than_the_losses() {
        let snapshot = Snapshot::default();
        let mut stats = Stats { shown: 3, ..Stats::default() };
        stats.add_loss("ring_full", 2);
        snapshot.replace(stats.clone());
        stats.shown = 5;
        stats.add_loss("ring_full", 1);
        let reader = snapshot.clone();
        snapshot.update(&stats);
        assert_eq!((reader.stats().shown, reader.stats().lost()), (5, 2));
    }
}
