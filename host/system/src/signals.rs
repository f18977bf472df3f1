//! Signals, taken by a thread of their own: a plugin call or a slow file on the main thread does not delay them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::confine::RetainedPrivileges;
use crate::shutdown::Shutdown;

/// Word of a wish to end, for the pipeline.
#[derive(Clone, Debug)]
pub struct Signals {
    notify: Arc<Notify>,
    hangup: Arc<Notify>,
    status: Arc<Notify>,
    status_wanted: Arc<AtomicBool>,
    shutdown: Shutdown,
}

impl Signals {
    /// Blocks SIGINT, SIGTERM, SIGHUP and SIGUSR1 in this and every later thread, and starts the thread that takes them.
    /// To be called before any other thread is there.
    pub fn start(shutdown: Shutdown) -> io::Result<Signals> {
        let set = block(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1])?;
        let signals = Signals {
            notify: Arc::default(),
            hangup: Arc::default(),
            status: Arc::default(),
            status_wanted: Arc::default(),
            shutdown,
        };
        let has_terminal = has_terminal();
        let theirs = signals.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let _ = crate::confine::thread(&RetainedPrivileges::NOTHING);
            loop {
                let mut signal = 0;
                // SAFETY: both point to values that live through the call.
                if unsafe { libc::sigwait(&set, &mut signal) } != 0 {
                    continue;
                }
                match signal {
                    libc::SIGUSR1 => {
                        theirs.status_wanted.store(true, Ordering::Release);
                        theirs.status.notify_one();
                    }
                    libc::SIGHUP if !has_terminal => theirs.hangup.notify_one(),
                    _ => {
                        theirs.shutdown.request();
                        theirs.notify.notify_one();
                    }
                }
            }
        })?;
        Ok(signals)
    }

    /// Comes back when SIGHUP came to a run without a terminal: files are to be opened and read anew.
    pub async fn hung_up(&self) {
        self.hangup.notified().await;
    }

    /// Comes back when SIGUSR1 came: the run is to tell how it is.
    pub async fn status_asked(&self) {
        while !self.take_status_asked() {
            self.status.notified().await;
        }
    }

    /// Whether SIGUSR1 came, without waiting for it.
    pub fn take_status_asked(&self) -> bool {
        self.status_wanted.swap(false, Ordering::AcqRel)
    }

    /// Comes back when the run is to end.
    pub async fn asked(&self) {
        while !self.shutdown.is_requested() {
            self.notify.notified().await;
        }
    }
}

/// With one, SIGHUP says that it is gone.
fn has_terminal() -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open("/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).is_ok()
}

fn block(signals: &[libc::c_int]) -> io::Result<libc::sigset_t> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; the rest gets an initialised one.
    let (set, outcome) = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        let set = set.assume_init();
        (set, libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()))
    };
    if outcome == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(outcome)) }
}
