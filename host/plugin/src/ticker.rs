//! Increments the engine's epoch, which drives call deadlines. The thread parks while no plugin runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// Interval between two epochs.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// Ticks without a call before the thread parks. Unparking it costs a system call.
const IDLE_TICKS: u32 = 200;

#[derive(Debug, Default)]
struct TickerState {
    /// Number of starts and ends of calls.
    edges: AtomicU64,
    /// Calls in progress: at most one, plus one for each instance that another thread creates.
    running: AtomicU64,
    parked: AtomicBool,
    shutdown: AtomicBool,
}

/// The ticker thread.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<TickerState>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Ticker> {
        let shared = Arc::new(TickerState::default());
        let thread = thread::Builder::new().name("plugin-clock".to_owned()).spawn({
            let (shared, engine) = (shared.clone(), engine.clone());
            move || {
                let _ = crypto_tracer_system::confine::confine_thread(
                    &crypto_tracer_system::confine::RetainedPrivileges::NONE,
                );
                tick(&shared, &engine);
            }
        })?;
        Ok(Ticker { shared, thread: Some(thread) })
    }

    /// Runs `call` while the ticker is active.
    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        // SeqCst on both sides: either this thread sees that the ticker is parked, or the ticker sees the new edge before
        // it parks.
        self.shared.running.fetch_add(1, SeqCst);
        self.shared.edges.fetch_add(1, SeqCst);
        if self.shared.parked.load(SeqCst) {
            self.unpark();
        }
        let out = call();
        self.shared.running.fetch_sub(1, SeqCst);
        self.shared.edges.fetch_add(1, SeqCst);
        out
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

fn tick(shared: &TickerState, engine: &Engine) {
    let (mut last_edges, mut idle) = (0, 0);
    while !shared.shutdown.load(SeqCst) {
        thread::sleep(TICK);
        engine.increment_epoch();
        let edges = shared.edges.load(SeqCst);
        let quiet = edges == last_edges && shared.running.load(SeqCst) == 0;
        idle = if quiet { idle + 1 } else { 0 };
        last_edges = edges;
        if idle > IDLE_TICKS {
            shared.parked.store(true, SeqCst);
            while shared.edges.load(SeqCst) == last_edges && !shared.shutdown.load(SeqCst) {
                thread::park();
            }
            shared.parked.store(false, SeqCst);
            idle = 0;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, SeqCst);
        self.unpark();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
