//! The writer's thread. A slow reader blocks the thread, the thread's bounded buffer blocks the pipeline, and the ring
//! fills. During a run, a slow reader therefore loses events only in the ring, where the kernel side counts them.
//! `not_written` counts those that are still queued at the end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{Notify, mpsc};

use super::chunk::{ROOM, Trailer};
use super::{Chunk, Target};

/// Number of chunks: one is filled, one is written, the others are queued.
const CHUNKS: usize = 32;
/// Maximum number of queued chunks.
const QUEUED: usize = CHUNKS - 2;
/// Size of all chunks in bytes: the user-space part of the event buffer.
pub const BUFFER_BYTES: usize = CHUNKS * ROOM;

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
    accepted: AtomicU64,
    /// Events written.
    written: AtomicU64,
    /// The thread is in a system call, which a reader or a disk may block.
    writing: AtomicBool,
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
}

/// A reserved slot in the writer's queue.
#[derive(Debug)]
pub struct WriterSlot<'a> {
    permit: Option<mpsc::Permit<'a, Message>>,
    shared: &'a WriterState,
}

impl WriterSlot<'_> {
    /// Passes a chunk to the writer.
    pub fn send(self, chunk: Chunk) {
        self.shared.accepted.fetch_add(chunk.events(), Ordering::Relaxed);
        if let Some(permit) = self.permit {
            permit.send(Message::Write(chunk));
        }
    }

    /// Writes all further chunks to `target`.
    pub fn reopen(self, target: Target) {
        if let Some(permit) = self.permit {
            permit.send(Message::Reopen(target));
        }
    }
}

impl Writer {
    /// Starts the thread and allocates its buffer.
    pub(super) fn start(target: Target, trailer: Trailer) -> io::Result<Writer> {
        Writer::with_chunks(CHUNKS, target, trailer)
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
        let shared =
            Arc::new(WriterState { spare: spare.into(), chunks, ..WriterState::default() });
        let pipe = if target.has_reader { Some(target.fd.try_clone()?) } else { None };
        let name = target.name.clone();
        let state = Arc::clone(&shared);
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let outcome = run(target, trailer, received, &state);
            // First, so that a failure is available once the end is visible.
            let _ = sender.send(outcome);
            state.ended.store(true, Ordering::Release);
            state.end.notify_one();
        })?;
        Ok(Writer { messages, shared, result, outcome: None, pipe, target: name })
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
        let Writer { messages, shared, result, outcome: received, target, pipe: _ } = self;
        shared.accepted.fetch_add(last.events(), Ordering::Relaxed);
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
        let error = outcome.and_then(Result::err);
        let reader_closed =
            error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        let written = shared.written.load(Ordering::Relaxed);
        let accepted = shared.accepted.load(Ordering::Relaxed);
        WriterReport {
            written,
            not_written: accepted.saturating_sub(written),
            reader_closed,
            error: error.filter(|_| !reader_closed),
            target,
        }
    }
}

/// Write position in a target.
#[derive(Debug)]
struct Position<'a> {
    target: &'a Target,
    shared: &'a WriterState,
    trailer: Trailer,
    /// Bytes of items written.
    item_bytes: u64,
    /// Offset of the first item in a file that can be written at any offset.
    base: Option<u64>,
}

fn run(
    mut target: Target,
    trailer: Trailer,
    mut messages: mpsc::Receiver<Message>,
    shared: &WriterState,
) -> io::Result<()> {
    while let Some(next) = write_target(&target, trailer, &mut messages, shared)? {
        target = next;
    }
    Ok(())
}

/// Writes to one target until it is replaced or the channel is closed. Returns the next target.
fn write_target(
    target: &Target,
    trailer: Trailer,
    messages: &mut mpsc::Receiver<Message>,
    shared: &WriterState,
) -> io::Result<Option<Target>> {
    let base = if trailer == Trailer::NONE { None } else { target.offset() };
    let mut position = Position { target, shared, trailer, item_bytes: 0, base };
    position.write_interim_trailer()?;
    loop {
        match messages.blocking_recv() {
            Some(Message::Write(chunk)) => {
                let (events, outcome) = position.write_chunk(&chunk);
                shared.written.fetch_add(events, Ordering::Relaxed);
                outcome?;
                let mut spare = shared.spare();
                if spare.len() < shared.chunks {
                    spare.push(chunk.cleared());
                }
            }
            Some(Message::Reopen(next)) => return position.write_trailer().map(|()| Some(next)),
            None => return position.write_trailer().map(|()| None),
        }
    }
}

impl Position<'_> {
    /// Writes a chunk. Returns the number of its events that were written completely.
    fn write_chunk(&mut self, chunk: &Chunk) -> (u64, io::Result<()>) {
        let (done, outcome) = self.write_parts(chunk);
        let (complete, events) = chunk.complete(done);
        self.item_bytes += complete as u64;
        if outcome.is_err() {
            self.remove_partial_item(done - complete);
            // Keeps the written part valid, if there is space for the trailer.
            let _ = self.write_interim_trailer();
            return (events, outcome);
        }
        (events, self.write_interim_trailer())
    }

    /// Writes a chunk in parts. A pipe accepts up to `PIPE_BUF` bytes atomically, so a run that ends while the pipe is
    /// full leaves no partial line in it, unless the line exceeds `PIPE_BUF` or the target is a socket.
    fn write_parts(&self, chunk: &Chunk) -> (usize, io::Result<()>) {
        let max = if self.target.has_reader { libc::PIPE_BUF } else { usize::MAX };
        let mut start = 0;
        for end in chunk.parts(max) {
            let part = chunk.bytes.get(start..end).unwrap_or_default();
            if let Err((done, error)) = self.write(part, self.item_bytes + start as u64) {
                return (start + done, Err(error));
            }
            start = end;
        }
        (start, Ok(()))
    }

    /// Writes the trailer after each chunk if the file can be written at any offset; the next chunk overwrites it.
    fn write_interim_trailer(&self) -> io::Result<()> {
        if self.base.is_some() { self.write_trailer() } else { Ok(()) }
    }

    fn write_trailer(&self) -> io::Result<()> {
        let trailer = self.trailer.after(self.item_bytes);
        self.write(trailer, self.item_bytes).map_err(|(_, error)| error)
    }

    /// Writes bytes at the offset `at` after the first item. An error contains the number of bytes written.
    fn write(&self, bytes: &[u8], at: u64) -> Result<(), (usize, io::Error)> {
        self.shared.writing.store(true, Ordering::Relaxed);
        let outcome = self.write_all(bytes, at);
        self.shared.writing.store(false, Ordering::Relaxed);
        outcome
    }

    fn write_all(&self, bytes: &[u8], at: u64) -> Result<(), (usize, io::Error)> {
        let fd = self.target.fd.as_fd();
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let written = match self.base {
                Some(base) => rustix::io::pwrite(fd, rest, base + at + done as u64),
                None => rustix::io::write(fd, rest),
            };
            match written {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                // Another process set O_NONBLOCK on this terminal or pipe.
                Err(rustix::io::Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None);
                }
                Err(error) => return Err((done, error.into())),
            }
        }
        Ok(())
    }

    /// Truncates a regular file to remove the `partial` bytes of an incomplete item.
    fn remove_partial_item(&self, partial: usize) {
        let fd = self.target.fd.as_fd();
        let len = match self.base {
            Some(base) => base + self.item_bytes,
            None if !self.target.regular => return,
            None => match rustix::fs::fstat(fd) {
                Ok(stat) => u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(partial as u64),
                Err(_) => return,
            },
        };
        let _ = rustix::fs::ftruncate(fd, len);
    }
}

#[cfg(test)]
mod tests;
