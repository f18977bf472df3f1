//! Compiles on a separate thread, which can be abandoned: the compiler cannot be interrupted, and shutdown must not wait
//! for it.
//!
//! An abandoned compilation continues on its thread, without privileges, until it is done or the program exits. Its result
//! is discarded. At most one compilation is abandoned at a time: nothing else is compiled while it runs.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::component::Component;
use wasmtime::{Engine, Result as Compiled};

use super::failure::Problem;
use super::precheck::size_factor;
use super::text::one_line;
use crypto_tracer_system::confine::{self, RetainedPrivileges};
use crypto_tracer_system::shutdown::Shutdown;

/// Time limit for one plugin. Typical plugins take tens of milliseconds; on a slow and busy machine, seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// Interval at which the shutdown signal is polled.
const POLL: Duration = Duration::from_millis(10);

/// The abandoned compilation.
static ABANDONED: Abandoned = Abandoned(Mutex::new(Weak::new()));

struct Abandoned(Mutex<Weak<()>>);

impl Abandoned {
    fn is_running(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
    }

    fn set(&self, running: &Arc<()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(running);
    }
}

/// Compiles a component. Fails if that exceeds the time limit, or on shutdown. The time limit grows with `max_bytes`, the
/// limit for a component's size, if that is above its default.
pub(super) fn compile(
    engine: &Engine,
    bytes: Vec<u8>,
    max_bytes: usize,
    shutdown: &Shutdown,
) -> Result<Component, Problem> {
    let engine = engine.clone();
    let compiled = on_thread(&ABANDONED, LIMIT * size_factor(max_bytes), shutdown, move || {
        Component::new(&engine, &bytes)
    })?;
    compiled.map_err(damaged)
}

/// The problem for code that the engine rejects.
pub(super) fn damaged(error: wasmtime::Error) -> Problem {
    Problem::Damaged(one_line(&error.root_cause().to_string()))
}

fn on_thread<T: Send + 'static>(
    abandoned: &Abandoned,
    limit: Duration,
    shutdown: &Shutdown,
    work: impl FnOnce() -> Compiled<T> + Send + 'static,
) -> Result<Compiled<T>, Problem> {
    if abandoned.is_running() {
        return Err(Problem::StillCompiling);
    }
    let (sender, receiver) = mpsc::channel();
    let running = Arc::new(());
    let running_on_thread = running.clone();
    let thread = thread::Builder::new().name("compile".to_owned()).spawn(move || {
        let _ = confine::confine_thread(&RetainedPrivileges::NONE);
        let _ = sender.send(work());
        drop(running_on_thread);
    });
    thread.map_err(|error| {
        Problem::Start(format!("cannot create a thread to compile it: {error}"))
    })?;
    let until = Instant::now() + limit;
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(compiled) => return Ok(compiled),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Problem::Damaged("the compiler panicked".to_owned()));
            }
            // The thread ends with the process.
            Err(RecvTimeoutError::Timeout) if shutdown.is_requested() => {
                return Err(Problem::Stopped);
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= until => {
                abandoned.set(&running);
                return Err(Problem::TooSlow(limit));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work that ends when the sender is dropped.
    fn blocked() -> (mpsc::Sender<()>, impl FnOnce() -> Compiled<()> + Send) {
        let (end, ended) = mpsc::channel();
        let wait = move || {
            let _ = ended.recv();
            Ok(())
        };
        (end, wait)
    }

    #[test]
    fn a_compilation_is_abandoned_at_its_limit_and_blocks_the_next_one() {
        let (abandoned, shutdown) = (Abandoned(Mutex::new(Weak::new())), Shutdown::default());
        let short = Duration::from_millis(30);
        let (end, wait) = blocked();
        let start = Instant::now();
        let problem = on_thread(&abandoned, short, &shutdown, wait).unwrap_err();
        assert!(matches!(problem, Problem::TooSlow(limit) if limit == short));
        assert!(start.elapsed() >= short);
        let quick = || on_thread(&abandoned, LIMIT, &shutdown, || Ok(7));
        assert!(matches!(quick(), Err(Problem::StillCompiling)));
        drop(end);
        while abandoned.is_running() {
            thread::yield_now();
        }
        assert_eq!(quick().unwrap().unwrap(), 7);
    }

    #[test]
    fn shutdown_does_not_wait_for_the_compiler() {
        let (abandoned, shutdown) = (Abandoned(Mutex::new(Weak::new())), Shutdown::default());
        let (_end, wait) = blocked();
        shutdown.at(Instant::now() + Duration::from_millis(30));
        assert!(matches!(on_thread(&abandoned, LIMIT, &shutdown, wait), Err(Problem::Stopped)));
    }
}
