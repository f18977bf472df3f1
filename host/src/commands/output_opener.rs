//! Process that opens the file of `--output` again on SIGHUP, so that the tracer itself may write nowhere.
//!
//! Landlock rules hold for a folder, not for its path. After the folder was replaced, or a link in the path changed, a
//! confined process could not create the file in its new place. This process is not confined, but it opens only the path
//! with which it was forked.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crypto_tracer_output::{NewFile, Target};
use crypto_tracer_system::confine::{self, RetainedPrivileges};
use crypto_tracer_system::helper::{self, HelperProcess};
use crypto_tracer_system::seccomp;

/// Name of the process.
const NAME: &std::ffi::CStr = c"crypto-tracer-o";
/// Time limit for opening the file. It may be on a server that does not respond.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Length of a request: number, mode, whether there is a group, group.
const REQUEST: usize = 16;
/// Length of a response: number of the request, `errno` or 0. The file follows if it is 0.
const RESPONSE: usize = 8;

/// Handle of the process.
#[derive(Debug)]
pub(super) struct OutputOpener {
    process: HelperProcess,
    socket: UnixStream,
    /// Number of the last request.
    number: u32,
}

impl OutputOpener {
    /// Forks the process. Call it while the program has a single thread.
    ///
    /// # Errors
    /// The process cannot be forked.
    pub(super) fn fork(path: &Path, append: bool) -> io::Result<OutputOpener> {
        let (process, socket) = HelperProcess::fork(|socket| run(socket, path, append))?;
        Ok(OutputOpener { process, socket, number: 0 })
    }

    /// Process ID.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Opens the file.
    ///
    /// # Errors
    /// The file cannot be opened, or not in time.
    pub(super) fn open(&mut self, new: NewFile) -> io::Result<OwnedFd> {
        self.number = self.number.wrapping_add(1);
        helper::send(self.socket.as_fd(), &encode_request(self.number, new), None)?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            self.socket.set_read_timeout(Some(remaining.max(Duration::from_millis(1))))?;
            let mut response = [0; RESPONSE];
            let received = helper::receive(self.socket.as_fd(), &mut response);
            let received = received.map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => error,
            })?;
            let fd = received.ok_or(io::ErrorKind::UnexpectedEof)?;
            let [number, errno] = words(response);
            // Otherwise it answers an earlier request, which timed out.
            if number == self.number {
                return match fd {
                    Some(fd) if errno == 0 => Ok(fd),
                    _ => Err(io::Error::from_raw_os_error(errno.cast_signed())),
                };
            }
        }
    }
}

/// Serves requests until the tracer closes its end.
fn run(socket: &OwnedFd, path: &Path, append: bool) -> io::Result<()> {
    let _ = rustix::thread::set_name(NAME);
    confine::drop_to_invoker()?;
    confine::retain_capabilities(&RetainedPrivileges::for_output(Some(path), true))?;
    let _ = seccomp::restrict(seccomp::Role::Opener);
    loop {
        let mut request = [0; REQUEST];
        if helper::receive(socket.as_fd(), &mut request)?.is_none() {
            return Ok(());
        }
        let [number, mode, has_gid, gid] = words(request);
        let new = NewFile { mode, gid: (has_gid != 0).then_some(gid) };
        let opened = Target::open(path, append, new).map(OwnedFd::from);
        let errno = match &opened {
            Ok(_) => 0,
            Err(error) => error.source.raw_os_error().unwrap_or(libc::EIO).cast_unsigned(),
        };
        let response = [number, errno].map(u32::to_le_bytes).concat();
        helper::send(socket.as_fd(), &response, opened.as_ref().ok().map(AsFd::as_fd))?;
    }
}

fn encode_request(number: u32, new: NewFile) -> Vec<u8> {
    let NewFile { mode, gid } = new;
    let words = [number, mode, u32::from(gid.is_some()), gid.unwrap_or(0)];
    words.map(u32::to_le_bytes).concat()
}

/// Splits a message into words.
fn words<const BYTES: usize, const WORDS: usize>(message: [u8; BYTES]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(message.chunks_exact(4)) {
        *word = bytes.try_into().map_or(0, u32::from_le_bytes);
    }
    words
}
