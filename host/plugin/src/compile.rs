//! Compiles where it can be left: the compiler cannot be interrupted, and a signal must not wait for it.
//!
//! What is left goes on on its thread, with no privileges, until it is done, or the program ends; its outcome is nobody's.
//! One at most is left at a time: as long as it runs, nothing else is compiled.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::component::Component;
use wasmtime::{Engine, Result as Compiled};

use super::failure::Problem;
use super::precheck::times;
use super::text::one_line;
use crypto_tracer_system::confine::{self, RetainedPrivileges};
use crypto_tracer_system::shutdown::Shutdown;

/// How long one plugin may take. Real ones take some ten milliseconds, on a slow and busy machine seconds.
const MOST: Duration = Duration::from_secs(30);
/// How often the wish to end is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// What goes on though nobody waits for it.
static LEFT: Abandoned = Abandoned(Mutex::new(Weak::new()));

struct Abandoned(Mutex<Weak<()>>);

impl Abandoned {
    fn is_running(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
    }

    fn leave(&self, running: &Arc<()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(running);
    }
}

/// Compiles a component, unless that takes too long or the run is to end meanwhile. Where components of more than the
/// usual bytes are allowed, it may take as many times longer.
pub(super) fn compile(
    engine: &Engine,
    bytes: Vec<u8>,
    most: usize,
    shutdown: &Shutdown,
) -> Result<Component, Problem> {
    let engine = engine.clone();
    let compiled =
        elsewhere(&LEFT, MOST * times(most), shutdown, move || Component::new(&engine, &bytes))?;
    compiled.map_err(damaged)
}

/// The problem of code that the engine refuses.
pub(super) fn damaged(error: wasmtime::Error) -> Problem {
    Problem::Damaged(one_line(&error.root_cause().to_string()))
}

fn elsewhere<T: Send + 'static>(
    left: &Abandoned,
    most: Duration,
    shutdown: &Shutdown,
    work: impl FnOnce() -> Compiled<T> + Send + 'static,
) -> Result<Compiled<T>, Problem> {
    if left.is_running() {
        return Err(Problem::StillCompiling);
    }
    let (tell, done) = mpsc::channel();
    let running = Arc::new(());
    let theirs = running.clone();
    let thread = thread::Builder::new().name("compile".to_owned()).spawn(move || {
        let _ = confine::thread(&RetainedPrivileges::NOTHING);
        let _ = tell.send(work());
        drop(theirs);
    });
    thread.map_err(|error| Problem::Start(format!("no thread to compile it: {error}")))?;
    let until = Instant::now() + most;
    loop {
        match done.recv_timeout(LOOK) {
            Ok(compiled) => return Ok(compiled),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Problem::Damaged("the compiler gave up".to_owned()));
            }
            // It ends with the program.
            Err(RecvTimeoutError::Timeout) if shutdown.is_requested() => {
                return Err(Problem::Stopped);
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= until => {
                left.leave(&running);
                return Err(Problem::TooSlow(most));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> (mpsc::Sender<()>, impl FnOnce() -> Compiled<()> + Send) {
        let (end, ended) = mpsc::channel();
        let wait = move || {
            let _ = ended.recv();
            Ok(())
        };
        (end, wait)
    }

    #[test]
    fn it_is_left_at_the_deadline_and_nothing_else_runs_beside_it() {
        let (left, shutdown) = (Abandoned(Mutex::new(Weak::new())), Shutdown::default());
        let short = Duration::from_millis(30);
        let (end, wait) = never();
        let began = Instant::now();
        let told = elsewhere(&left, short, &shutdown, wait).unwrap_err();
        assert!(matches!(told, Problem::TooSlow(most) if most == short));
        assert!(began.elapsed() >= short);
        let quick = || elsewhere(&left, MOST, &shutdown, || Ok(7));
        assert!(matches!(quick(), Err(Problem::StillCompiling)));
        drop(end);
        while left.is_running() {
            thread::yield_now();
        }
        assert_eq!(quick().unwrap().unwrap(), 7);
    }

    #[test]
    fn a_wish_to_end_is_not_kept_waiting() {
        let (left, shutdown) = (Abandoned(Mutex::new(Weak::new())), Shutdown::default());
        let (_end, wait) = never();
        shutdown.at(Instant::now() + Duration::from_millis(30));
        assert!(matches!(elsewhere(&left, MOST, &shutdown, wait), Err(Problem::Stopped)));
    }
}
