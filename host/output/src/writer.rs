//! The thread that writes. A slow reader blocks it, its bounded buffer blocks the pipeline, the ring fills, and the
//! kernel counts what is lost: one place where events are lost.

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

/// Chunks that there are: one is gathered, one is written, the others may wait.
const CHUNKS: usize = 32;
/// Chunks that may wait.
const WAITING: usize = CHUNKS - 2;
/// Bytes of all of them: the part of the event buffer that is behind the kernel's.
pub const BUFFER_BYTES: usize = CHUNKS * ROOM;

/// How much longer a writer is waited for that nothing holds up but a busy machine.
const STARVED: Duration = Duration::from_secs(1);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// How a stream ended.
#[derive(Debug)]
pub struct WriterReport {
    /// Events that are out.
    pub written: u64,
    /// Events that were given to the writer and are not out.
    pub not_written: u64,
    /// The reader closed its end.
    pub reader_closed: bool,
    /// What stopped the writer, besides a reader that went away.
    pub error: Option<io::Error>,
    /// Name of the target.
    pub target: String,
}

/// What the thread is told.
#[derive(Debug)]
enum Message {
    Write(Chunk),
    Reopen(Target),
}

#[derive(Debug, Default)]
pub(super) struct WriterState {
    /// Events handed to the writer.
    taken: AtomicU64,
    written: AtomicU64,
    /// The writer's thread is in the kernel: a reader or a disk may be holding it up.
    writing: AtomicBool,
    /// The writer's thread has ended: everything is out, or nothing more will be.
    ended: AtomicBool,
    end: Notify,
    /// Chunks that nothing is in.
    spare: Mutex<Vec<Chunk>>,
    /// How many there are in all.
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

/// The writer's thread, seen from the pipeline.
#[derive(Debug)]
pub struct Writer {
    messages: mpsc::Sender<Message>,
    shared: Arc<WriterState>,
    result: std::sync::mpsc::Receiver<io::Result<()>>,
    pipe: Option<OwnedFd>,
    target: String,
}

/// A place in the writer's buffer.
#[derive(Debug)]
pub struct WriterSlot<'a> {
    permit: Option<mpsc::Permit<'a, Message>>,
    shared: &'a WriterState,
}

impl WriterSlot<'_> {
    /// Hands a chunk over.
    pub fn send(self, chunk: Chunk) {
        self.shared.taken.fetch_add(chunk.events(), Ordering::Relaxed);
        if let Some(permit) = self.permit {
            permit.send(Message::Write(chunk));
        }
    }

    /// What comes next goes elsewhere.
    pub fn reopen(self, target: Target) {
        if let Some(permit) = self.permit {
            permit.send(Message::Reopen(target));
        }
    }
}

impl Writer {
    /// Starts the thread, with its buffer.
    pub(super) fn start(target: Target, ends: Trailer) -> io::Result<Writer> {
        Writer::with(CHUNKS, target, ends)
    }

    /// Starts the thread, for chunks that are made elsewhere.
    ///
    /// # Errors
    /// The thread cannot be started, or the target's file descriptor cannot be duplicated.
    pub fn unbuffered(target: Target) -> io::Result<Writer> {
        Writer::with(0, target, Trailer::NONE)
    }

    fn with(chunks: usize, target: Target, ends: Trailer) -> io::Result<Writer> {
        let (messages, received) = mpsc::channel(WAITING);
        let (ended, result) = std::sync::mpsc::channel();
        let spare: Vec<Chunk> = (0..chunks).map(|_| Chunk::with_room()).collect();
        let shared =
            Arc::new(WriterState { spare: spare.into(), chunks, ..WriterState::default() });
        let pipe = if target.has_reader { Some(target.fd.try_clone()?) } else { None };
        let name = target.name.clone();
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let outcome = run(target, ends, received, &theirs);
            theirs.ended.store(true, Ordering::Release);
            let _ = ended.send(outcome);
            theirs.end.notify_one();
        })?;
        Ok(Writer { messages, shared, result, pipe, target: name })
    }

    /// A chunk to gather in: one of the buffer's, as long as there is one.
    pub(super) fn spare(&self) -> Chunk {
        self.shared.spare().pop().unwrap_or_default()
    }

    /// Waits for room in the buffer.
    pub async fn reserve(&self) -> WriterSlot<'_> {
        // Closed: the thread has ended, and what comes now counts as not written.
        let permit = self.messages.reserve().await.ok();
        WriterSlot { permit, shared: &self.shared }
    }

    /// A duplicate of the pipe or socket whose reader can close its end while nothing is written.
    pub(super) fn pipe(&self) -> io::Result<Option<OwnedFd>> {
        self.pipe.as_ref().map(OwnedFd::try_clone).transpose()
    }

    /// What the writer's thread shares with the pipeline.
    pub(super) fn state(&self) -> Arc<WriterState> {
        Arc::clone(&self.shared)
    }

    /// Writes the last chunk and ends; waits for a reader or a disk until `deadline` at most.
    pub fn finish(self, last: Chunk, deadline: Instant) -> WriterReport {
        let Writer { messages, shared, result, target, pipe: _ } = self;
        shared.taken.fetch_add(last.events(), Ordering::Relaxed);
        let mut last = Some(last);
        let mut messages = Some(messages);
        let outcome = loop {
            if let (Some(chunk), Some(messages)) = (last.take(), &messages)
                && let Err(mpsc::error::TrySendError::Full(Message::Write(chunk))) =
                    messages.try_send(Message::Write(chunk))
            {
                last = Some(chunk);
            }
            if last.is_none() {
                messages = None;
            }
            match result.recv_timeout(LOOK) {
                Ok(outcome) => break Some(outcome),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let held_up = shared.writing.load(Ordering::Relaxed);
            if Instant::now() >= if held_up { deadline } else { deadline + STARVED } {
                break None;
            }
        };
        let error = outcome.and_then(Result::err);
        let reader_closed =
            error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        let written = shared.written.load(Ordering::Relaxed);
        let taken = shared.taken.load(Ordering::Relaxed);
        WriterReport {
            written,
            not_written: taken.saturating_sub(written),
            reader_closed,
            error: error.filter(|_| !reader_closed),
            target,
        }
    }
}

/// Where the next byte goes.
#[derive(Debug)]
struct Position<'a> {
    target: &'a Target,
    shared: &'a WriterState,
    ends: Trailer,
    /// Bytes of items that are out.
    items: u64,
    /// Offset of the first item, where the file can be written at any offset.
    base: Option<u64>,
}

fn run(
    mut target: Target,
    ends: Trailer,
    mut messages: mpsc::Receiver<Message>,
    shared: &WriterState,
) -> io::Result<()> {
    while let Some(next) = fill(&target, ends, &mut messages, shared)? {
        target = next;
    }
    Ok(())
}

/// Writes to one target; gives the next one, if there is one.
fn fill(
    target: &Target,
    ends: Trailer,
    messages: &mut mpsc::Receiver<Message>,
    shared: &WriterState,
) -> io::Result<Option<Target>> {
    let base = if ends == Trailer::NONE { None } else { target.offset() };
    let mut position = Position { target, shared, ends, items: 0, base };
    position.close_meanwhile()?;
    loop {
        match messages.blocking_recv() {
            Some(Message::Write(chunk)) => {
                let (events, outcome) = position.put(&chunk);
                shared.written.fetch_add(events, Ordering::Relaxed);
                outcome?;
                let mut spare = shared.spare();
                if spare.len() < shared.chunks {
                    spare.push(chunk.emptied());
                }
            }
            Some(Message::Reopen(next)) => return position.close().map(|()| Some(next)),
            None => return position.close().map(|()| None),
        }
    }
}

impl Position<'_> {
    /// Writes a chunk; how many of its events are out, whole.
    fn put(&mut self, chunk: &Chunk) -> (u64, io::Result<()>) {
        let (done, outcome) = self.write_parts(chunk);
        let (whole, events) = chunk.whole(done);
        self.items += whole as u64;
        if outcome.is_err() {
            self.cut_back(done - whole);
            // What is out stays valid, if there is room for that.
            let _ = self.close_meanwhile();
            return (events, outcome);
        }
        (events, self.close_meanwhile())
    }

    /// A pipe takes this much at once or not at all: a run that ends while nobody reads leaves no half line in it.
    fn write_parts(&self, chunk: &Chunk) -> (usize, io::Result<()>) {
        let most = if self.target.has_reader { libc::PIPE_BUF } else { usize::MAX };
        let mut start = 0;
        for end in chunk.parts(most) {
            let part = chunk.bytes.get(start..end).unwrap_or_default();
            if let Err((done, error)) = self.write(part, self.items + start as u64) {
                return (start + done, Err(error));
            }
            start = end;
        }
        (start, Ok(()))
    }

    /// In a file that can be written anywhere, the end follows each chunk; the next chunk overwrites it.
    fn close_meanwhile(&self) -> io::Result<()> {
        if self.base.is_some() { self.close() } else { Ok(()) }
    }

    fn close(&self) -> io::Result<()> {
        let end = self.ends.behind(self.items);
        self.write(end, self.items).map_err(|(_, error)| error)
    }

    /// The error comes with the number of bytes that are out. `at` counts from the first item.
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
                // Somebody else made the other side of this terminal or pipe non-blocking.
                Err(rustix::io::Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None);
                }
                Err(error) => return Err((done, error.into())),
            }
        }
        Ok(())
    }

    /// Takes an unfinished item off the end of a regular file.
    fn cut_back(&self, unfinished: usize) {
        let fd = self.target.fd.as_fd();
        let len = match self.base {
            Some(base) => base + self.items,
            None if !self.target.regular => return,
            None => match rustix::fs::fstat(fd) {
                Ok(stat) => {
                    u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(unfinished as u64)
                }
                Err(_) => return,
            },
        };
        let _ = rustix::fs::ftruncate(fd, len);
    }
}

#[cfg(test)]
mod tests;
