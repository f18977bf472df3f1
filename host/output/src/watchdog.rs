//! Ends the process if a direct write blocks the pipeline's thread after a shutdown request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::writer::{WriterReport, WriterState};
use crypto_tracer_system::shutdown::Shutdown;

/// Time from the shutdown request until a direct write counts as blocked. The rest of the documented 100 ms is for the
/// report.
const PATIENCE: Duration = Duration::from_millis(70);
/// The same for a thread that is not blocked but waits for a processor: the machine is busy, not the target.
const SCHEDULING_GRACE: Duration = Duration::from_secs(1);
/// Interval of the checks after a shutdown request.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// The thread has little to do.
const STACK_BYTES: usize = 128 << 10;

/// Permits direct writes: the pipeline's thread writes itself as long as the target takes everything at once.
pub struct Direct {
    /// The shutdown request of the run. After it, the writer's thread writes.
    pub shutdown: Shutdown,
    /// Reports the run and ends the process, because a write still blocks the pipeline's thread after the request.
    pub on_stall: Box<dyn FnOnce(WriterReport) + Send>,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").field("shutdown", &self.shutdown).finish_non_exhaustive()
    }
}

impl Direct {
    /// Starts the thread, which sleeps until the shutdown request. Call it on the pipeline's thread.
    pub(super) fn start(
        self,
        shared: Arc<WriterState>,
        target: String,
    ) -> std::io::Result<Shutdown> {
        let shutdown = self.shutdown.clone();
        let pipeline = rustix::thread::gettid();
        let watch = move || {
            self.shutdown.wait();
            if is_stalled(&shared, &|| is_runnable(pipeline)) {
                (self.on_stall)(shared.report(None, target));
            }
        };
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(watch)?;
        Ok(shutdown)
    }
}

/// Waits for the end of the direct write that was in progress at the shutdown request. No other one follows. Returns whether
/// it blocks.
fn is_stalled(shared: &WriterState, is_runnable: &dyn Fn() -> bool) -> bool {
    let requested = Instant::now();
    while shared.is_direct.load(Ordering::SeqCst) {
        let waited = requested.elapsed();
        if waited >= SCHEDULING_GRACE || (waited >= PATIENCE && !is_runnable()) {
            return true;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    false
}

/// Whether the thread runs or waits for a processor. `false` also if that cannot be read.
fn is_runnable(thread: rustix::thread::Pid) -> bool {
    let stat = std::fs::read(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero()));
    let stat = stat.unwrap_or_default();
    // The state follows the name, which may contain any character, in parentheses.
    let state = stat.iter().rposition(|&byte| byte == b')').and_then(|at| stat.get(at + 2));
    state == Some(&b'R')
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn watched(is_direct: bool) -> (Arc<WriterState>, mpsc::Receiver<WriterReport>, Shutdown) {
        let shared = Arc::new(WriterState::default());
        shared.is_direct.store(is_direct, Ordering::SeqCst);
        let (sender, reports) = mpsc::channel();
        let shutdown = Shutdown::default();
        let direct = Direct {
            shutdown: shutdown.clone(),
            on_stall: Box::new(move |report| sender.send(report).unwrap()),
        };
        // The thread that starts it is the one that the write blocks: it waits for the report.
        let shutdown = direct.start(Arc::clone(&shared), "a disk".to_owned()).unwrap();
        (shared, reports, shutdown)
    }

    #[test]
    fn a_write_that_blocks_after_the_request_is_reported_with_its_events() {
        let (shared, reports, shutdown) = watched(true);
        shared.accepted.store(7, Ordering::Relaxed);
        shared.written.store(4, Ordering::Relaxed);
        shutdown.request();
        let report = reports.recv().unwrap();
        assert_eq!((report.written, report.not_written), (4, 3));
        assert_eq!(report.target, "a disk");
    }

    #[test]
    fn a_run_without_a_blocked_write_is_not_disturbed() {
        for ends in [true, false] {
            let (shared, reports, shutdown) = watched(ends);
            shutdown.request();
            shared.is_direct.store(false, Ordering::SeqCst);
            assert!(reports.recv().is_err(), "the thread ended without a report");
        }
    }

    #[test]
    fn a_thread_that_waits_for_a_processor_has_more_time() {
        let shared = WriterState::default();
        shared.is_direct.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        assert!(is_stalled(&shared, &|| true));
        assert!(begun.elapsed() >= SCHEDULING_GRACE);
        assert!(is_runnable(rustix::thread::gettid()));
    }
}
