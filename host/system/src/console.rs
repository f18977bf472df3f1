//! Messages on standard error. Errors of writing them are ignored. A message is one line; control characters in it are
//! escaped here, so that no caller can forget it.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crypto_tracer_event::printable::{printable, shortened};

/// How long a message waits until standard error is writable, in nanoseconds.
const WRITE_TIMEOUT_NS: i64 = 20_000_000;

/// Whether the last line of the terminal shows a progress bar.
static BAR: AtomicBool = AtomicBool::new(false);
/// Clears the line of the progress bar, which is then drawn again below the message.
const CLEAR_LINE: &str = "\r\u{1b}[2K";

/// Sets whether the last line of the terminal shows a progress bar.
pub fn bar(shown: bool) {
    BAR.store(shown, Ordering::Relaxed);
}

/// Which messages are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Also start and end of a run, and warnings.
    Normal,
    /// Also details, for instance attached probes and loaded plugins.
    Verbose,
}

/// Prints messages up to a verbosity.
#[derive(Clone, Copy, Debug)]
pub struct Console(pub Verbosity);

impl Console {
    /// Prints an error, with every verbosity.
    pub fn error(self, message: impl Display) {
        print(&message);
    }

    /// Prints a message unless `--quiet` is set.
    pub fn info(self, message: impl Display) {
        if self.0 >= Verbosity::Normal {
            print(&message);
        }
    }

    /// Prints a message if `--verbose` is set.
    pub fn detail(self, message: impl Display) {
        if self.0 >= Verbosity::Verbose {
            print(&message);
        }
    }
}

/// Returns the message as one line that changes nothing on a terminal.
fn line_of(message: &dyn Display) -> String {
    shortened(&printable(&message.to_string()))
}

fn print(message: &dyn Display) {
    let clear = if BAR.load(Ordering::Relaxed) { CLEAR_LINE } else { "" };
    let text = format!("{clear}crypto-tracer: {}\n", line_of(message));
    let stderr = std::io::stderr();
    // If the pipe is full, the message is dropped, so that the trace does not block.
    let timeout = Timespec { tv_sec: 0, tv_nsec: WRITE_TIMEOUT_NS };
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut fds, Some(&timeout)) == Ok(0) {
        return;
    }
    // A write of at most PIPE_BUF bytes is atomic: lines of several processes do not mix, and the write does not block.
    let end = text.floor_char_boundary(libc::PIPE_BUF - 1);
    let mut line = text.split_at(end).0.to_owned();
    if !line.ends_with('\n') {
        line.push('\n');
    }
    let _ = stderr.lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Names of files, processes and plugins are parts of messages.
        #[test]
        fn a_message_is_one_line_without_escape_sequences(text in any::<String>()) {
            let line = line_of(&format_args!("cannot open {text}: \u{1b}[2J\u{202e}"));
            prop_assert!(!line.contains(char::is_control) && !line.contains('\u{202e}'), "{line:?}");
        }
    }
}
