//! The interface between the pipeline and an output.

use std::future::{Future, pending};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::writer::WriterState;
use super::{Target, WriterReport};
use crypto_tracer_event::{Notice, RedactedEvent};

/// Receives the events that pass all stages: the last stage of the pipeline.
///
/// A new kind of output is one file that implements this trait, and one line where the command chooses it.
pub trait Output: std::fmt::Debug {
    /// Adds an event. Returns whether [`Output::flush`] must be called before the next one.
    fn event(&mut self, event: &RedactedEvent) -> bool;

    /// Adds a notice of the tracer itself: a loss, a plugin's failure, a status. Returns the same as [`Output::event`].
    fn notice(&mut self, notice: &Notice) -> bool;

    /// Passes pending data on. `None`: done. Otherwise the receiver is slow, and the future waits for it. Cancel safe: pending
    /// data is kept. By default, there is nothing to pass on.
    fn flush(&mut self) -> Option<Flush<'_>> {
        None
    }

    /// Ends the output. Pending data is written until `deadline`. By default, for an output that writes nothing itself, the
    /// report is empty.
    fn finish(self: Box<Self>, _deadline: Instant) -> WriterReport {
        WriterReport::default()
    }
}

/// A flush that waits for a slow receiver.
pub type Flush<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Drops events: the output of a session before its command has opened another one.
#[derive(Debug)]
pub struct Discard;

impl Output for Discard {
    fn event(&mut self, _event: &RedactedEvent) -> bool {
        false
    }

    fn notice(&mut self, _notice: &Notice) -> bool {
        false
    }
}

/// Controls the file descriptor of an output: reports when it breaks, and continues the stream in another target.
///
/// The default has no file descriptor and never breaks.
#[derive(Debug, Default)]
pub struct OutputControl {
    pipe: Option<OwnedFd>,
    writer: Option<Arc<WriterState>>,
    next: NextTarget,
}

/// The target in which the stream continues after its next flush.
pub(super) type NextTarget = Arc<Mutex<Option<Target>>>;

impl OutputControl {
    /// Control for an output that writes once, at its end. `pipe`: the pipe or socket that it will write to.
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

    /// At the next [`Output::flush`], ends the current target and continues the stream in `target`.
    pub fn reopen(&self, target: Target) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }
}
