//! Durations of the parts of a start.

use std::time::{Duration, Instant};

/// Durations of the parts of [`Source::start`](crate::Source::start). The rest is for the maps: creating and filling them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartTimes {
    /// Reading the kernel's types, and checking the kernel.
    pub types: Duration,
    /// Loading the programs: the kernel verifies and compiles them.
    pub verification: Duration,
    /// Attaching the programs, and testing them on this process's own system calls.
    pub attach: Duration,
}

/// Measures successive parts.
#[derive(Debug)]
pub(crate) struct Lap(Instant);

impl Lap {
    pub(crate) fn begin() -> Lap {
        Lap(Instant::now())
    }

    /// Returns the time since the last call, or the beginning.
    pub(crate) fn next(&mut self) -> Duration {
        let begun = std::mem::replace(&mut self.0, Instant::now());
        self.0 - begun
    }
}
