//! Lines on standard error. A closed standard error is nobody's loss: nothing fails for it.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crypto_tracer_event::printable::shortened;

/// How long a line waits for room, in nanoseconds.
const PATIENCE_NS: i64 = 20_000_000;

/// A progress bar stands in the last line.
static BAR: AtomicBool = AtomicBool::new(false);
/// Takes the bar away; it is drawn again below.
const CLEAR: &str = "\r\u{1b}[2K";

/// Whether a progress bar is shown.
pub fn bar(shown: bool) {
    BAR.store(shown, Ordering::Relaxed);
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// The start and the end of a run, and warnings.
    Normal,
    /// What is attached, which plugins run.
    Verbose,
}

/// Prints lines up to a loudness.
#[derive(Clone, Copy, Debug)]
pub struct Console(pub Verbosity);

impl Console {
    /// An error: always said.
    pub fn error(self, message: impl Display) {
        line(&message);
    }

    /// A line that `--quiet` hides.
    pub fn info(self, message: impl Display) {
        if self.0 >= Verbosity::Normal {
            line(&message);
        }
    }

    /// A line that `--verbose` shows.
    pub fn detail(self, message: impl Display) {
        if self.0 >= Verbosity::Verbose {
            line(&message);
        }
    }
}

fn line(message: &dyn Display) {
    let clear = if BAR.load(Ordering::Relaxed) { CLEAR } else { "" };
    let message = shortened(&message.to_string());
    let text = format!("{clear}crypto-tracer: {message}\n");
    let stderr = std::io::stderr();
    // Whoever stopped reading this misses lines; the trace does not wait for it.
    let timeout = Timespec { tv_sec: 0, tv_nsec: PATIENCE_NS };
    let mut watched = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut watched, Some(&timeout)) == Ok(0) {
        return;
    }
    // One write of what a pipe takes at once: lines of several processes stay whole, and none blocks.
    let end = text.floor_char_boundary(libc::PIPE_BUF - 1);
    let mut line = text.split_at(end).0.to_owned();
    if !line.ends_with('\n') {
        line.push('\n');
    }
    let _ = stderr.lock().write_all(line.as_bytes());
}
