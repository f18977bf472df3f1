//! Writes to a target. One thread at a time has the sink: usually the pipeline's, and the writer's own while a write blocks
//! or is slow.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ReadWriteFlags};

use super::chunk::Trailer;
use super::writer::WriterState;
use super::{Chunk, Target};

/// A target with the write position in it.
#[derive(Debug)]
pub(super) struct Sink {
    target: Target,
    trailer: Trailer,
    /// Bytes of items written in earlier chunks.
    item_bytes: u64,
    /// Offset of the first item in a file that can be written at any offset.
    base: Option<u64>,
    /// The kernel does not support `RWF_NOWAIT` for this target.
    refuses_nowait: bool,
}

/// How to write when the target takes nothing at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Waits: the writer's thread.
    Blocking,
    /// Stops with `WouldBlock`: the pipeline's thread. A write to a regular file may still take its time.
    Direct,
}

impl Sink {
    pub(super) fn new(target: Target, trailer: Trailer) -> Sink {
        let base = if trailer == Trailer::NONE { None } else { target.offset() };
        Sink { target, trailer, item_bytes: 0, base, refuses_nowait: false }
    }

    /// Whether the pipeline's thread may write: to pipes and sockets, which it writes without blocking, and to regular files
    /// of file systems that depend on no other machine or process.
    pub(super) fn may_be_direct(&self) -> bool {
        self.target.has_reader || (self.target.regular && !self.target.is_remote)
    }

    /// Whether a write takes its time although the target has no reader that could block it.
    pub(super) fn is_regular(&self) -> bool {
        self.target.regular
    }

    /// Writes the rest of a chunk, and notes in it what was written. Returns the number of events that were completed.
    pub(super) fn write_chunk(
        &mut self,
        chunk: &mut Chunk,
        mode: Mode,
        shared: &WriterState,
    ) -> (u64, io::Result<()>) {
        let (_, events_before) = chunk.complete(chunk.written);
        let outcome = self.write_parts(chunk, mode, shared);
        let (complete, events) = chunk.complete(chunk.written);
        let events = events - events_before;
        match outcome {
            Ok(()) => {
                self.item_bytes += complete as u64;
                let outcome = self.write_interim_trailer(shared);
                if outcome.is_err() && mode == Mode::Direct {
                    self.item_bytes -= complete as u64;
                }
                (events, outcome)
            }
            // The writer's thread continues, or finds the same error.
            Err(error) if mode == Mode::Direct => (events, Err(error)),
            Err(error) => {
                self.item_bytes += complete as u64;
                self.remove_partial_item(chunk.written - complete);
                // Keeps the written part valid, if there is space for the trailer.
                let _ = self.write_interim_trailer(shared);
                (events, Err(error))
            }
        }
    }

    /// Writes a chunk in parts. A pipe accepts up to `PIPE_BUF` bytes atomically, so a run that ends while the pipe is
    /// full leaves no partial line in it, unless the line exceeds `PIPE_BUF` or the target is a socket.
    fn write_parts(
        &mut self,
        chunk: &mut Chunk,
        mode: Mode,
        shared: &WriterState,
    ) -> io::Result<()> {
        let max = if self.target.has_reader { libc::PIPE_BUF } else { usize::MAX };
        let written = chunk.written;
        let mut done = written;
        let mut outcome = Ok(());
        for end in chunk.parts(max).filter(|&end| end > written) {
            let part = chunk.bytes.get(done..end).unwrap_or_default();
            if let Err((more, error)) = self.write(part, done as u64, mode, shared) {
                done += more;
                outcome = Err(error);
                break;
            }
            done = end;
        }
        chunk.written = done;
        outcome
    }

    /// Writes the trailer after each chunk if the file can be written at any offset; the next chunk overwrites it.
    pub(super) fn write_interim_trailer(&mut self, shared: &WriterState) -> io::Result<()> {
        if self.base.is_some() { self.write_trailer(shared) } else { Ok(()) }
    }

    pub(super) fn write_trailer(&mut self, shared: &WriterState) -> io::Result<()> {
        let trailer = self.trailer.after(self.item_bytes);
        self.write(trailer, 0, Mode::Blocking, shared).map_err(|(_, error)| error)
    }

    /// Writes bytes at the offset `at` after the items of earlier chunks. An error contains the number of bytes written.
    fn write(
        &mut self,
        bytes: &[u8],
        at: u64,
        mode: Mode,
        shared: &WriterState,
    ) -> Result<(), (usize, io::Error)> {
        shared.writing.store(true, Ordering::Relaxed);
        let outcome = self.write_all(bytes, self.item_bytes + at, mode);
        shared.writing.store(false, Ordering::Relaxed);
        outcome
    }

    fn write_all(&mut self, bytes: &[u8], at: u64, mode: Mode) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let written = match self.base {
                Some(base) => rustix::io::pwrite(&self.target.fd, rest, base + at + done as u64),
                None if mode == Mode::Direct && self.target.has_reader => self.write_now(rest),
                None => rustix::io::write(&self.target.fd, rest),
            };
            match written {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                // Another process set O_NONBLOCK on this terminal or pipe.
                Err(Errno::AGAIN) if mode == Mode::Blocking => {
                    let _ = poll(&mut [PollFd::new(&self.target.fd, PollFlags::OUT)], None);
                }
                Err(error) => return Err((done, error.into())),
            }
        }
        Ok(())
    }

    /// Writes to a pipe or socket what it takes at once.
    fn write_now(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let fd = self.target.fd.as_fd();
        if !self.refuses_nowait {
            // The offset -1 stands for the file's own position, the only one that a pipe has.
            let slices = [IoSlice::new(bytes)];
            match rustix::io::pwritev2(fd, &slices, u64::MAX, ReadWriteFlags::NOWAIT) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::SPIPE) => {
                    self.refuses_nowait = true;
                }
                written => return written,
            }
        }
        // A writable pipe takes PIPE_BUF bytes at once. Another process that writes to it too may be faster; then this write
        // blocks, like one to a slow disk.
        let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
        if bytes.len() > libc::PIPE_BUF || poll(&mut fds, Some(&Timespec::default()))? == 0 {
            return Err(Errno::AGAIN);
        }
        rustix::io::write(fd, bytes)
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
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    fn lines(count: usize, bytes: usize) -> Chunk {
        let mut chunk = Chunk::default();
        for _ in 0..count {
            chunk.add(true, |out| {
                out.resize(out.len() + bytes - 1, b'x');
                out.push(b'\n');
            });
        }
        chunk
    }

    /// A direct write to a full pipe stops after a whole line and continues where it stopped, with `RWF_NOWAIT` and
    /// without.
    #[test]
    fn a_direct_write_never_blocks_and_continues() {
        for refuses_nowait in [false, true] {
            let (reads, writes) = rustix::pipe::pipe().unwrap();
            let target = Target::from_fd(writes, "a pipe".to_owned()).unwrap();
            let mut sink = Sink { refuses_nowait, ..Sink::new(target, Trailer::NONE) };
            let shared = WriterState::default();
            let mut chunk = lines(2000, 100);
            let (events, outcome) = sink.write_chunk(&mut chunk, Mode::Direct, &shared);
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!((100..2000).contains(&events), "{events}");
            assert_eq!(chunk.written as u64, events * 100, "whole lines");
            let again = sink.write_chunk(&mut chunk, Mode::Direct, &shared);
            assert_eq!((again.0, again.1.unwrap_err().kind()), (0, io::ErrorKind::WouldBlock));
            let reader = std::thread::spawn(move || {
                let mut bytes = Vec::new();
                File::from(reads).read_to_end(&mut bytes).map(|_| bytes)
            });
            let (rest, outcome) = sink.write_chunk(&mut chunk, Mode::Blocking, &shared);
            outcome.unwrap();
            assert_eq!(events + rest, 2000);
            drop(sink);
            assert_eq!(reader.join().unwrap().unwrap(), lines(2000, 100).bytes);
        }
    }

    /// A stream socket takes parts of a line.
    #[test]
    fn a_socket_gets_every_byte_once() {
        let (writes, mut reads) = std::os::unix::net::UnixStream::pair().unwrap();
        let target = Target::from_fd(writes.into(), "a socket".to_owned()).unwrap();
        let mut sink = Sink::new(target, Trailer::NONE);
        let shared = WriterState::default();
        let mut chunk = lines(300, 5000);
        let (events, outcome) = sink.write_chunk(&mut chunk, Mode::Direct, &shared);
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reads.read_to_end(&mut bytes).map(|_| bytes)
        });
        let (rest, outcome) = sink.write_chunk(&mut chunk, Mode::Blocking, &shared);
        outcome.unwrap();
        assert_eq!(events + rest, 300);
        drop(sink);
        assert_eq!(reader.join().unwrap().unwrap(), lines(300, 5000).bytes);
    }

    #[test]
    fn terminals_and_devices_are_left_to_the_writers_thread() {
        let sink = |file: File| {
            let target = Target::from_fd(file.into(), "x".to_owned()).unwrap();
            Sink::new(target, Trailer::NONE).may_be_direct()
        };
        assert!(!sink(File::options().write(true).open("/dev/null").unwrap()));
        assert!(sink(tempfile::tempfile().unwrap()));
    }
}
