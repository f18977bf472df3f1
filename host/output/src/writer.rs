//! Passes chunks to their target. The pipeline's thread writes itself as long as the target takes everything at once: waking
//! up another thread for each batch costs more than the write. When a write would block or was slow, the writer's thread
//! takes over until writes are fast again. A slow reader blocks that thread, its bounded buffer blocks the pipeline, and the
//! ring fills. During a run, a slow reader therefore loses events only in the ring, where the kernel side counts them.
//! `not_written` counts those that are still queued at the end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::chunk::{ROOM, Trailer};
use super::sink::{Mode, Sink};
use super::{Chunk, Direct, Target};
use crypto_tracer_system::shutdown::Shutdown;

/// Number of chunks: one is filled, one is written, the others are queued.
const CHUNKS: usize = 32;
/// Maximum number of queued chunks.
const QUEUED: usize = CHUNKS - 2;
/// Size of all chunks in bytes: the user-space part of the event buffer.
pub const BUFFER_BYTES: usize = CHUNKS * ROOM;

/// A write to a regular file that takes longer is slow: the disk is, or the processors are busy.
const SLOW: Duration = Duration::from_millis(2);
/// Number of fast writes in a row by the writer's thread after which the pipeline's thread writes again.
const FAST_AGAIN: u32 = 16;

/// Additional time for a writer's thread that is not in a system call: the machine is busy, not the target.
const SCHEDULING_GRACE: Duration = Duration::from_secs(1);
/// Interval at which [`Writer::finish`] checks the thread.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Result of a writer.
#[derive(Debug, Default)]
pub struct WriterReport {
    /// Events that were written.
    pub written: u64,
    /// Events that were passed to the writer and not written.
    pub not_written: u64,
    /// The reader of the pipe closed its end.
    pub reader_closed: bool,
    /// The error that stopped the writer, unless the reader closed the pipe.
    pub error: Option<io::Error>,
    /// Name of the target.
    pub target: String,
}

/// A message to the writer's thread.
#[derive(Debug)]
enum Message {
    Write(Chunk),
    Reopen(Target),
}

/// State that the writer's thread shares with the pipeline.
#[derive(Debug, Default)]
pub(super) struct WriterState {
    /// Events passed to the writer.
    pub(super) accepted: AtomicU64,
    /// Events written.
    pub(super) written: AtomicU64,
    /// A thread is in a system call, which a reader or a disk may block.
    pub(super) writing: AtomicBool,
    /// The pipeline's thread writes.
    pub(super) is_direct: AtomicBool,
    /// `None`: before the start.
    sink: Mutex<Option<Sink>>,
    /// Messages that the thread has not finished, and one until it has started.
    queued: AtomicU64,
    /// Fast writes that are missing until the pipeline's thread writes to a regular file again.
    slow: AtomicU32,
    /// The thread has ended: everything is written, or writing failed.
    ended: AtomicBool,
    end: Notify,
    /// Empty chunks.
    spare: Mutex<Vec<Chunk>>,
    /// Number of all chunks.
    chunks: usize,
}

impl WriterState {
    /// Returns when the writer's thread has ended.
    pub(super) async fn ended(&self) {
        while !self.ended.load(Ordering::Acquire) {
            self.end.notified().await;
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Chunk>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_sink(&self, f: impl FnOnce(&mut Sink) -> io::Result<()>) -> io::Result<()> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.as_mut().map_or(Ok(()), f)
    }

    /// Writes a chunk on the writer's thread.
    fn write_queued(&self, chunk: &mut Chunk) -> io::Result<()> {
        self.with_sink(|sink| {
            let begun = Instant::now();
            let (events, outcome) = sink.write_chunk(chunk, Mode::Blocking, self);
            self.written.fetch_add(events, Ordering::Relaxed);
            let missing = self.slow.load(Ordering::Relaxed).saturating_sub(1);
            let missing = if begun.elapsed() > SLOW { FAST_AGAIN } else { missing };
            self.slow.store(missing, Ordering::Relaxed);
            outcome
        })
    }

    /// Writes a chunk on the pipeline's thread. Returns false if the writer's thread must write it, or the rest of it.
    fn write_direct(&self, sink: &mut Sink, chunk: &mut Chunk) -> bool {
        let is_slow = sink.is_regular() && self.slow.load(Ordering::Relaxed) > 0;
        if is_slow || !sink.may_be_direct() {
            return false;
        }
        self.accept(chunk);
        let begun = Instant::now();
        let (events, outcome) = sink.write_chunk(chunk, Mode::Direct, self);
        self.written.fetch_add(events, Ordering::Relaxed);
        if sink.is_regular() && begun.elapsed() > SLOW {
            self.slow.store(FAST_AGAIN, Ordering::Relaxed);
        }
        outcome.is_ok()
    }

    /// Counts the events of a chunk, once.
    fn accept(&self, chunk: &mut Chunk) {
        if !std::mem::replace(&mut chunk.accepted, true) {
            self.accepted.fetch_add(chunk.events(), Ordering::Relaxed);
        }
    }

    /// Returns the result so far.
    pub(super) fn report(&self, error: Option<io::Error>, target: String) -> WriterReport {
        let reader_closed =
            error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        let written = self.written.load(Ordering::Relaxed);
        let accepted = self.accepted.load(Ordering::Relaxed);
        WriterReport {
            written,
            not_written: accepted.saturating_sub(written),
            reader_closed,
            error: error.filter(|_| !reader_closed),
            target,
        }
    }
}

/// Handle of the writer's thread.
#[derive(Debug)]
pub struct Writer {
    messages: mpsc::Sender<Message>,
    shared: Arc<WriterState>,
    result: std::sync::mpsc::Receiver<io::Result<()>>,
    /// The result, once [`Writer::failure`] has received it.
    outcome: Option<io::Result<()>>,
    pipe: Option<OwnedFd>,
    target: String,
    /// Set if the pipeline's thread may write until this request.
    direct: Option<Shutdown>,
}

/// A reserved slot in the writer's queue.
#[derive(Debug)]
pub struct WriterSlot<'a> {
    permit: Option<mpsc::Permit<'a, Message>>,
    shared: &'a WriterState,
}

impl WriterSlot<'_> {
    /// Passes a chunk to the writer.
    pub fn send(self, mut chunk: Chunk) {
        self.shared.accept(&mut chunk);
        self.pass(Message::Write(chunk));
    }

    fn pass(self, message: Message) {
        if let Some(permit) = self.permit {
            self.shared.queued.fetch_add(1, Ordering::Relaxed);
            permit.send(message);
        }
    }

    /// Writes all further chunks to `target`.
    pub fn reopen(self, target: Target) {
        self.pass(Message::Reopen(target));
    }
}

impl Writer {
    /// Starts the thread and allocates its buffer. `direct`: the pipeline's thread, which calls this, may write itself.
    pub(super) fn start(
        target: Target,
        trailer: Trailer,
        direct: Option<Direct>,
    ) -> io::Result<Writer> {
        let mut writer = Writer::with_chunks(CHUNKS, target, trailer)?;
        if let Some(direct) = direct {
            let shared = Arc::clone(&writer.shared);
            writer.direct = Some(direct.start(shared, writer.target.clone())?);
        }
        Ok(writer)
    }

    /// Starts the thread without a buffer: the caller allocates the chunks.
    ///
    /// # Errors
    /// The thread cannot be started, or the target's file descriptor cannot be duplicated.
    pub fn unbuffered(target: Target) -> io::Result<Writer> {
        Writer::with_chunks(0, target, Trailer::NONE)
    }

    fn with_chunks(chunks: usize, target: Target, trailer: Trailer) -> io::Result<Writer> {
        let (messages, received) = mpsc::channel(QUEUED);
        let (sender, result) = std::sync::mpsc::channel();
        let spare: Vec<Chunk> = (0..chunks).map(|_| Chunk::with_room()).collect();
        let pipe = if target.has_reader { Some(target.fd.try_clone()?) } else { None };
        let name = target.name.clone();
        let shared = Arc::new(WriterState {
            sink: Some(Sink::new(target, trailer)).into(),
            queued: 1.into(),
            spare: spare.into(),
            chunks,
            ..WriterState::default()
        });
        let state = Arc::clone(&shared);
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let outcome = run(received, trailer, &state);
            // First, so that a failure is available once the end is visible.
            let _ = sender.send(outcome);
            state.ended.store(true, Ordering::Release);
            state.end.notify_one();
        })?;
        Ok(Writer { messages, shared, result, outcome: None, pipe, target: name, direct: None })
    }

    /// Name of the target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns when the thread has ended, for instance because the disk is full.
    pub async fn ended(&self) {
        self.shared.ended().await;
    }

    /// Returns the numbers of events that were written, and that never will be because writing failed.
    pub fn written_and_missing(&self) -> (u64, u64) {
        let written = self.shared.written.load(Ordering::Relaxed);
        let accepted = self.shared.accepted.load(Ordering::Relaxed);
        let has_ended = self.shared.ended.load(Ordering::Acquire);
        (written, if has_ended { accepted.saturating_sub(written) } else { 0 })
    }

    /// Returns why the thread ended before [`Writer::finish`], if it did.
    pub fn failure(&mut self) -> Option<&io::Error> {
        self.outcome = self.outcome.take().or_else(|| self.result.try_recv().ok());
        self.outcome.as_ref()?.as_ref().err()
    }

    /// Writes the chunk on this thread and clears it, if the target takes it at once. Returns false if the rest of it must be
    /// passed to the writer's thread.
    pub(super) fn try_write(&self, chunk: &mut Chunk) -> bool {
        let Some(shutdown) = &self.direct else { return false };
        let shared = &*self.shared;
        // Only this thread adds messages, so a queue that is empty stays empty, and the order is kept.
        if shared.queued.load(Ordering::Acquire) > 0 {
            return false;
        }
        let Ok(mut sink) = shared.sink.try_lock() else { return false };
        // First the mark, then the check: the watchdog makes the request visible first and then looks for the mark. So either
        // it sees this write, or this write does not begin.
        shared.is_direct.store(true, Ordering::SeqCst);
        let is_written = !shutdown.is_requested()
            && sink.as_mut().is_some_and(|sink| shared.write_direct(sink, chunk));
        shared.is_direct.store(false, Ordering::SeqCst);
        if is_written {
            chunk.clear();
        }
        is_written
    }

    /// Takes an empty chunk out of the buffer, or returns a new one if none is available.
    pub(super) fn spare(&self) -> Chunk {
        self.shared.spare().pop().unwrap_or_default()
    }

    /// Reserves a slot in the queue. `None`: the queue is full.
    pub(super) fn try_reserve(&self) -> Option<WriterSlot<'_>> {
        let permit = match self.messages.try_reserve() {
            Ok(permit) => Some(permit),
            Err(mpsc::error::TrySendError::Closed(())) => None,
            Err(mpsc::error::TrySendError::Full(())) => return None,
        };
        Some(WriterSlot { permit, shared: &self.shared })
    }

    /// Waits for a free slot in the queue.
    pub async fn reserve(&self) -> WriterSlot<'_> {
        // A closed channel means that the thread has ended. Further events count as not written.
        let permit = self.messages.reserve().await.ok();
        WriterSlot { permit, shared: &self.shared }
    }

    /// Duplicates the file descriptor of a pipe or socket, whose reader can close its end at any time.
    pub(super) fn pipe(&self) -> io::Result<Option<OwnedFd>> {
        self.pipe.as_ref().map(OwnedFd::try_clone).transpose()
    }

    /// Returns the state that the thread shares.
    pub(super) fn state(&self) -> Arc<WriterState> {
        Arc::clone(&self.shared)
    }

    /// Writes the last chunk and ends the thread. Waits for a slow reader or disk until `deadline`.
    pub fn finish(self, last: Chunk, deadline: Instant) -> WriterReport {
        let Writer { messages, shared, result, outcome: received, target, .. } = self;
        let mut last = last;
        shared.accept(&mut last);
        let mut last = Some(last);
        let mut messages = Some(messages);
        let outcome = loop {
            if let Some(outcome) = received {
                break Some(outcome);
            }
            if let (Some(chunk), Some(messages)) = (last.take(), &messages)
                && let Err(mpsc::error::TrySendError::Full(Message::Write(chunk))) =
                    messages.try_send(Message::Write(chunk))
            {
                last = Some(chunk);
            }
            if last.is_none() {
                messages = None;
            }
            match result.recv_timeout(POLL_INTERVAL) {
                Ok(outcome) => break Some(outcome),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let in_system_call = shared.writing.load(Ordering::Relaxed);
            let limit = if in_system_call { deadline } else { deadline + SCHEDULING_GRACE };
            if Instant::now() >= limit {
                break None;
            }
        };
        shared.report(outcome.and_then(Result::err), target)
    }
}

fn run(
    mut messages: mpsc::Receiver<Message>,
    trailer: Trailer,
    shared: &WriterState,
) -> io::Result<()> {
    shared.with_sink(|sink| sink.write_interim_trailer(shared))?;
    shared.queued.fetch_sub(1, Ordering::Release);
    loop {
        match messages.blocking_recv() {
            Some(Message::Write(mut chunk)) => {
                shared.write_queued(&mut chunk)?;
                let mut spare = shared.spare();
                if spare.len() < shared.chunks {
                    spare.push(chunk.cleared());
                }
            }
            Some(Message::Reopen(next)) => shared.with_sink(|sink| {
                sink.write_trailer(shared)?;
                *sink = Sink::new(next, trailer);
                sink.write_interim_trailer(shared)
            })?,
            None => return shared.with_sink(|sink| sink.write_trailer(shared)),
        }
        shared.queued.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
