//! The clock behind call deadlines. It sleeps for good while no plugin runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// How long a tick is.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// Ticks without a call before the clock goes to sleep: waking it costs a system call.
const IDLE_TICKS: u32 = 200;

#[derive(Debug, Default)]
struct TickerState {
    /// Counts starts and ends of calls.
    edges: AtomicU64,
    /// Calls that run: one, and an instance that is made elsewhere.
    running: AtomicU64,
    asleep: AtomicBool,
    shutdown: AtomicBool,
}

/// The thread that ticks.
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
                let _ = crypto_tracer_system::confine::thread(
                    &crypto_tracer_system::confine::RetainedPrivileges::NOTHING,
                );
                tick(&shared, &engine);
            }
        })?;
        Ok(Ticker { shared, thread: Some(thread) })
    }

    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        // SeqCst on both sides: either we see it asleep, or it sees us calling before it falls asleep.
        self.shared.running.fetch_add(1, SeqCst);
        self.shared.edges.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.wake();
        }
        let out = call();
        self.shared.running.fetch_sub(1, SeqCst);
        self.shared.edges.fetch_add(1, SeqCst);
        out
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

fn tick(shared: &TickerState, engine: &Engine) {
    let (mut seen, mut idle) = (0, 0);
    while !shared.shutdown.load(SeqCst) {
        thread::sleep(TICK);
        engine.increment_epoch();
        let edges = shared.edges.load(SeqCst);
        let quiet = edges == seen && shared.running.load(SeqCst) == 0;
        idle = if quiet { idle + 1 } else { 0 };
        seen = edges;
        if idle > IDLE_TICKS {
            shared.asleep.store(true, SeqCst);
            while shared.edges.load(SeqCst) == seen && !shared.shutdown.load(SeqCst) {
                thread::park();
            }
            shared.asleep.store(false, SeqCst);
            idle = 0;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
