//! What the pipeline needs of every kind of output.

use std::future::{Future, pending};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Target;
use super::writer::WriterState;
use crypto_tracer_event::{Notice, RedactedEvent};

/// Takes the events that pass all stages: the last stage of the pipeline.
///
/// A new kind of output is one file that implements this trait, and one line where the command chooses it.
pub trait Output {
    /// What remains when the run has ended: how much a stream has written, what a document has gathered.
    type Finished;

    /// Takes an event. Returns whether [`Output::flush`] must be called before the next one.
    fn event(&mut self, event: &RedactedEvent) -> bool;

    /// Takes a notice of the tracer itself: a loss, a plugin's failure, a status. Returns the same as [`Output::event`].
    fn notice(&mut self, notice: &Notice) -> bool;

    /// Passes on what is pending; waits while the receiver is slow. Dropped while it waits, it keeps what is pending.
    fn flush(&mut self) -> impl Future<Output = ()>;

    /// Ends the output. What is pending is written until `deadline`.
    fn finish(self, deadline: Instant) -> Self::Finished;
}

/// The file descriptor of an output, seen from the run: whether it can still be written, and where to go on.
///
/// The default controls nothing: an output without a file descriptor never breaks.
#[derive(Debug, Default)]
pub struct OutputControl {
    pipe: Option<OwnedFd>,
    writer: Option<Arc<WriterState>>,
    next: NextTarget,
}

/// The target at which the stream continues after its next flush.
pub(super) type NextTarget = Arc<Mutex<Option<Target>>>;

impl OutputControl {
    /// For an output that writes once, at its end. `pipe`: the pipe or socket that it will write to.
    pub fn of_pipe(pipe: Option<OwnedFd>) -> OutputControl {
        OutputControl { pipe, ..OutputControl::default() }
    }

    pub(super) fn of_writer(
        pipe: Option<OwnedFd>,
        writer: Arc<WriterState>,
        next: NextTarget,
    ) -> OutputControl {
        OutputControl { pipe, writer: Some(writer), next }
    }

    /// The pipe or socket whose reader can close its end while nothing is written.
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Returns when nothing more can be written.
    pub async fn broken(&self) {
        match &self.writer {
            Some(writer) => writer.ended().await,
            None => pending().await,
        }
    }

    /// With the next [`Output::flush`], what was written so far is ended, and the stream continues in `target`.
    pub fn reopen(&self, target: Target) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }
}
