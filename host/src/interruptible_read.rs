//! Reads of a file that end when shutdown is requested. A read of a pipe may block without a limit.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crypto_tracer_system::shutdown::Shutdown;

/// Interval at which a blocked read checks for a shutdown, in nanoseconds.
const POLL_INTERVAL_NS: i64 = 20_000_000;

/// An open file.
#[derive(Debug)]
pub struct Input {
    file: File,
    metadata: Metadata,
    shutdown: Shutdown,
}

impl Input {
    /// Opens a file without blocking. Reads of a FIFO wait for its first writer.
    pub fn open(path: &Path, shutdown: &Shutdown) -> io::Result<Input> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        Ok(Input { file, metadata, shutdown: shutdown.clone() })
    }

    /// Returns the file, without the protection against blocking reads. For regular files.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Returns the metadata of the file when it was opened.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Waits until the file has data or is at its end. Fails if shutdown is requested.
    fn wait(&self) -> io::Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: POLL_INTERVAL_NS };
        while !self.shutdown.is_requested() {
            let mut fds = [PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("shutdown was requested"))
    }
}

impl Read for Input {
    /// Fails if shutdown is requested while no data is available.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.metadata.is_file() {
            return self.file.read(buffer);
        }
        loop {
            self.wait()?;
            match self.file.read(buffer) {
                // Another process has read the data.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::{Duration, Instant};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn fifo_is_read_until_its_last_writer_closes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut input = Input::open(&path, &Shutdown::default()).unwrap();
        let writer = std::thread::spawn(move || {
            let mut file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all(&[7; 100_000]).unwrap();
        });
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 100_000]);
        writer.join().unwrap();
    }

    #[test]
    fn read_fails_at_shutdown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let shutdown = Shutdown::default();
        let mut input = Input::open(&path, &shutdown).unwrap();
        let began = Instant::now();
        shutdown.at(began + Duration::from_millis(30));
        assert!(input.read(&mut [0; 8]).is_err());
        assert!(began.elapsed() >= Duration::from_millis(30));
    }
}
