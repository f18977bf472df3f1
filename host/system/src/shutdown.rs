//! Shutdown signal, polled by everything that can block.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Shutdown request, set by a signal or by the end of the run's duration and never reset. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<ShutdownState>);

#[derive(Debug, Default)]
struct ShutdownState {
    requested: AtomicBool,
    deadline: OnceLock<Instant>,
    waiting: Mutex<()>,
    changed: Condvar,
}

impl ShutdownState {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes up [`Shutdown::wait`]. The lock orders the change before or after its check, never between check and wait.
    fn notify(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }
}

impl Shutdown {
    /// Requests the shutdown now.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        self.0.notify();
    }

    /// Requests the shutdown at `deadline`. Calls after the first have no effect.
    pub fn at(&self, deadline: Instant) {
        let _ = self.0.deadline.set(deadline);
        self.0.notify();
    }

    /// Whether a shutdown is requested or the deadline has passed.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
            || self.0.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }

    /// Blocks the thread until a shutdown is requested or the deadline has passed, without periodic wake-ups.
    pub fn wait(&self) {
        let mut guard = self.0.lock();
        while !self.is_requested() {
            guard = match self.0.deadline.get() {
                Some(deadline) => {
                    let remaining = deadline.saturating_duration_since(Instant::now());
                    let waited = self.0.changed.wait_timeout(guard, remaining);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waiting_ends_with_the_request() {
        let shutdown = Shutdown::default();
        let waiting = shutdown.clone();
        let thread = std::thread::spawn(move || waiting.wait());
        shutdown.request();
        thread.join().unwrap();
        shutdown.wait();
    }

    #[test]
    fn waiting_ends_at_a_deadline_that_is_set_later() {
        let shutdown = Shutdown::default();
        let waiting = shutdown.clone();
        let thread = std::thread::spawn(move || waiting.wait());
        shutdown.at(Instant::now() + Duration::from_millis(1));
        thread.join().unwrap();
        assert!(shutdown.is_requested());
    }
}
