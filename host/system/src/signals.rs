//! Signals, handled by a dedicated thread, so that a plugin call or a slow file on the main thread does not delay them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::confine::RetainedPrivileges;
use crate::shutdown::Shutdown;

/// Makes a write beyond the file size limit (`RLIMIT_FSIZE`) fail with an error. By default SIGXFSZ ends the process in the
/// middle of the write, without a report of what was not written.
pub fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal involves no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Notifications about received signals. Clones share the state.
#[derive(Clone, Debug)]
pub struct Signals {
    notify: Arc<Notify>,
    hangup: Arc<Notify>,
    status: Arc<Notify>,
    status_requested: Arc<AtomicBool>,
    /// A signal that requests a shutdown ends the process at once.
    ends_at_once: Arc<Mutex<bool>>,
    shutdown: Shutdown,
}

impl Signals {
    /// Blocks SIGINT, SIGTERM, SIGHUP and SIGUSR1 in this and every later thread, and starts the thread that waits for
    /// them. Call it while the process has a single thread.
    ///
    /// # Errors
    /// The signals could not be blocked, or the thread could not be started.
    pub fn start(shutdown: Shutdown) -> io::Result<Signals> {
        let set = block(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1])?;
        let signals = Signals {
            notify: Arc::default(),
            hangup: Arc::default(),
            status: Arc::default(),
            status_requested: Arc::default(),
            ends_at_once: Arc::default(),
            shutdown,
        };
        let has_terminal = has_terminal();
        let handles = signals.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let _ = crate::confine::confine_thread(&RetainedPrivileges::NONE);
            loop {
                let mut signal = 0;
                // SAFETY: both references are valid for the call.
                if unsafe { libc::sigwait(&set, &mut signal) } != 0 {
                    continue;
                }
                match signal {
                    libc::SIGUSR1 => {
                        handles.status_requested.store(true, Ordering::Release);
                        handles.status.notify_one();
                    }
                    libc::SIGHUP if !has_terminal => handles.hangup.notify_one(),
                    _ => handles.shut_down(),
                }
            }
        })?;
        Ok(signals)
    }

    /// Runs the startup of a run. A signal that requests a shutdown meanwhile ends the process at once, with exit code 0: the
    /// kernel's verifier, the attachment of probes and a slow file do not notice such a request. `task` must leave nothing
    /// that the end of the process does not remove.
    pub fn during_startup<T>(&self, task: impl FnOnce() -> T) -> T {
        *self.ends_at_once() = true;
        let result = task();
        *self.ends_at_once() = false;
        result
    }

    fn ends_at_once(&self) -> MutexGuard<'_, bool> {
        self.ends_at_once.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut_down(&self) {
        self.shutdown.request();
        // The guard is held, so the startup cannot end before the process does.
        let ends_at_once = self.ends_at_once();
        if *ends_at_once {
            // SAFETY: _exit ends the process at once. During the startup, no output is buffered.
            unsafe { libc::_exit(0) };
        }
        drop(ends_at_once);
        self.notify.notify_one();
    }

    /// Waits for SIGHUP in a run without a terminal, which requests a reload: the pipeline reopens its output and reads
    /// its configuration again.
    pub async fn hung_up(&self) {
        self.hangup.notified().await;
    }

    /// Waits for SIGUSR1, which requests a status report.
    pub async fn status_asked(&self) {
        while !self.take_status_asked() {
            self.status.notified().await;
        }
    }

    /// Returns without waiting whether SIGUSR1 was received since the last call.
    pub fn take_status_asked(&self) -> bool {
        self.status_requested.swap(false, Ordering::AcqRel)
    }

    /// Waits for a signal that requests a shutdown. Returns at once if a shutdown is already requested.
    pub async fn asked(&self) {
        while !self.shutdown.is_requested() {
            self.notify.notified().await;
        }
    }
}

/// Whether this process has a controlling terminal. If so, SIGHUP means that the terminal was closed, and ends the run.
fn has_terminal() -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open("/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).is_ok()
}

fn block(signals: &[libc::c_int]) -> io::Result<libc::sigset_t> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before any other use.
    let (set, error) = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        let set = set.assume_init();
        (set, libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()))
    };
    if error == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(error)) }
}
