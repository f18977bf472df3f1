//! The thread that writes. A slow reader blocks it, its bounded buffer blocks the pipeline, the ring fills, and the
//! kernel counts what is lost: one place where events are lost.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{Notify, mpsc};

use super::Target;

/// Chunks that may wait. With [`super::CHUNK_BYTES`] each, that is 2 MiB.
const CHUNKS: usize = 32;

/// Some whole lines.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The lines.
    pub bytes: Vec<u8>,
    /// How many events they tell.
    pub events: u64,
}

/// How a stream ended.
#[derive(Debug)]
pub struct Ended {
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

#[derive(Debug, Default)]
struct Shared {
    /// Events handed to the writer.
    taken: AtomicU64,
    written: AtomicU64,
    /// The writer's thread has ended: everything is out, or nothing more will be.
    ended: AtomicBool,
    end: Notify,
}

/// The writer's thread, seen from the pipeline.
#[derive(Debug)]
pub struct Writer {
    chunks: mpsc::Sender<Chunk>,
    shared: Arc<Shared>,
    result: std::sync::mpsc::Receiver<io::Result<()>>,
    watched: Option<OwnedFd>,
    target: String,
}

/// A place in the writer's buffer.
#[derive(Debug)]
pub struct Place<'a> {
    permit: Option<mpsc::Permit<'a, Chunk>>,
    shared: &'a Shared,
}

impl Place<'_> {
    /// Hands a chunk over.
    pub fn send(self, chunk: Chunk) {
        self.shared.taken.fetch_add(chunk.events, Ordering::Relaxed);
        if let Some(permit) = self.permit {
            permit.send(chunk);
        }
    }
}

impl Writer {
    /// Starts the thread.
    pub fn start(target: Target) -> io::Result<Writer> {
        let (chunks, received) = mpsc::channel(CHUNKS);
        let (ended, result) = std::sync::mpsc::channel();
        let shared = Arc::new(Shared::default());
        let watched = if target.has_reader { Some(target.fd.try_clone()?) } else { None };
        let name = target.name.clone();
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let outcome = run(&target, received, &theirs);
            theirs.ended.store(true, Ordering::Release);
            let _ = ended.send(outcome);
            theirs.end.notify_one();
        })?;
        Ok(Writer { chunks, shared, result, watched, target: name })
    }

    /// Waits for room in the buffer.
    pub async fn reserve(&self) -> Place<'_> {
        // Closed: the thread has ended, and what comes now counts as not written.
        let permit = self.chunks.reserve().await.ok();
        Place { permit, shared: &self.shared }
    }

    /// Comes back when the writer can write no more.
    pub async fn ended(&self) {
        while !self.shared.ended.load(Ordering::Acquire) {
            self.shared.end.notified().await;
        }
    }

    /// The pipe or socket whose reader can go away while nothing is written.
    pub fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.watched.as_ref().map(AsFd::as_fd)
    }

    /// Writes the last chunk and ends; waits until `deadline` at most.
    pub fn finish(self, last: Chunk, deadline: Instant) -> Ended {
        let Writer { chunks, shared, result, target, watched: _ } = self;
        shared.taken.fetch_add(last.events, Ordering::Relaxed);
        let mut last = Some(last);
        let outcome = loop {
            if let Some(chunk) = last.take() {
                if let Err(mpsc::error::TrySendError::Full(chunk)) = chunks.try_send(chunk) {
                    last = Some(chunk);
                }
            }
            if last.is_none() {
                drop(chunks);
                let left = deadline.saturating_duration_since(Instant::now());
                break result.recv_timeout(left).ok();
            }
            if Instant::now() >= deadline {
                break None;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        let error = outcome.and_then(Result::err);
        let reader_closed =
            error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        let written = shared.written.load(Ordering::Relaxed);
        let taken = shared.taken.load(Ordering::Relaxed);
        Ended {
            written,
            not_written: taken.saturating_sub(written),
            reader_closed,
            error: error.filter(|_| !reader_closed),
            target,
        }
    }
}

fn run(target: &Target, mut chunks: mpsc::Receiver<Chunk>, shared: &Shared) -> io::Result<()> {
    while let Some(chunk) = chunks.blocking_recv() {
        if let Err((done, error)) = write_all(target.fd.as_fd(), &chunk.bytes) {
            let (done, _) = chunk.bytes.split_at(done);
            let lines = done.iter().filter(|&&byte| byte == b'\n').count();
            let half = done.iter().rev().take_while(|&&byte| byte != b'\n').count();
            if target.regular {
                cut_back(target.fd.as_fd(), half);
            }
            // A line that is no event makes this one too high at most; never higher than the chunk.
            shared.written.fetch_add(chunk.events.min(lines as u64), Ordering::Relaxed);
            return Err(error);
        }
        shared.written.fetch_add(chunk.events, Ordering::Relaxed);
    }
    Ok(())
}

/// The error comes with the number of bytes that are out.
fn write_all(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::write(fd, rest) {
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

/// Takes the last `half` bytes, an unfinished line, off the end of a regular file.
fn cut_back(fd: BorrowedFd<'_>, half: usize) {
    if let Ok(stat) = rustix::fs::fstat(fd) {
        let len = u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(half as u64);
        let _ = rustix::fs::ftruncate(fd, len);
    }
}
