//! Lines on standard error. A closed standard error is nobody's loss: nothing fails for it.

use std::fmt::Display;
use std::io::Write;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Errors only.
    Quiet,
    /// The start and the end of a run, and warnings.
    Normal,
    /// What is attached, which plugins run.
    Verbose,
}

/// Prints lines up to a loudness.
#[derive(Clone, Copy, Debug)]
pub struct Say(pub Loudness);

impl Say {
    /// An error: always said.
    pub fn error(self, message: impl Display) {
        line(&message);
    }

    /// A line that `--quiet` hides.
    pub fn info(self, message: impl Display) {
        if self.0 >= Loudness::Normal {
            line(&message);
        }
    }

    /// A line that `--verbose` shows.
    pub fn detail(self, message: impl Display) {
        if self.0 >= Loudness::Verbose {
            line(&message);
        }
    }
}

fn line(message: &dyn Display) {
    let text = format!("crypto-tracer: {message}\n");
    // One write, so that lines of several processes stay whole.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
