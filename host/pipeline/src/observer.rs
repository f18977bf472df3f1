//! What watches a run without printing.

use std::time::Instant;

use super::PluginStages;
use crypto_tracer_event::{EnrichedEvent, KernelEvent};

/// Watches the events of a run. Most runs have no observer.
pub trait Observer: std::fmt::Debug {
    /// Sees each event as it comes from the kernel, whether it is selected or not.
    fn on_kernel_event(&mut self, event: &KernelEvent) {
        let _ = event;
    }

    /// Sees each event that passes the host's filters.
    fn on_selected(&mut self, event: &EnrichedEvent) {
        let _ = event;
    }

    /// Called once for each batch, after its last event was selected and before its first one is classified.
    fn on_batch_selected(&mut self, stages: &mut PluginStages) {
        let _ = stages;
    }

    /// When [`Observer::on_due`] is to be called; `None`: never.
    fn next_due(&self) -> Option<Instant> {
        None
    }

    /// Called after a drain. `now` may be earlier than [`Observer::next_due`].
    fn on_due(&mut self, now: Instant) {
        let _ = now;
    }

    /// Whether the run has nothing more to wait for.
    fn is_complete(&self) -> bool {
        false
    }
}
