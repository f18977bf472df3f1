//! The wish to end, seen by everything that could keep the program from ending.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Set once, by a signal or by the run's duration; never taken back. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<ShutdownState>);

#[derive(Debug, Default)]
struct ShutdownState {
    asked: AtomicBool,
    deadline: OnceLock<Instant>,
}

impl Shutdown {
    /// Ends the run.
    pub fn request(&self) {
        self.0.asked.store(true, Ordering::Release);
    }

    /// Ends the run at this moment; only the first call counts.
    pub fn at(&self, deadline: Instant) {
        let _ = self.0.deadline.set(deadline);
    }

    /// Whether the run is to end now.
    pub fn is_requested(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
            || self.0.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }
}
