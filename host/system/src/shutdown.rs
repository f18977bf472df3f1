//! Shutdown signal, polled by everything that can block.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Shutdown request, set by a signal or by the end of the run's duration and never reset. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<ShutdownState>);

#[derive(Debug, Default)]
struct ShutdownState {
    requested: AtomicBool,
    deadline: OnceLock<Instant>,
}

impl Shutdown {
    /// Requests the shutdown now.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::Release);
    }

    /// Requests the shutdown at `deadline`. Calls after the first have no effect.
    pub fn at(&self, deadline: Instant) {
        let _ = self.0.deadline.set(deadline);
    }

    /// Whether a shutdown is requested or the deadline has passed.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
            || self.0.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }
}
