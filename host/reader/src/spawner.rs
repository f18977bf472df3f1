//! The spawner, a process that forks readers.
//!
//! The tracer drops its privileges once the probes are attached, but a replacement for a hung reader needs two
//! capabilities. The spawner starts first, keeps these capabilities, and forks a reader on request. It has one thread
//! and accesses no files of other users, so it cannot hang.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{confine, other_tracer, serve};
use crypto_tracer_system::helper::{self, HelperProcess};
use crypto_tracer_system::seccomp;

/// How long the fork of a reader may take.
const SPAWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Handle to the spawner process. Dropping it kills the process.
#[derive(Debug)]
pub struct Spawner {
    process: HelperProcess,
    control: UnixStream,
}

impl Spawner {
    /// Forks the spawner. Call it while the process has a single thread.
    ///
    /// # Errors
    /// The process cannot be forked.
    pub fn fork() -> io::Result<Spawner> {
        let (process, control) = HelperProcess::fork(run)?;
        control.set_read_timeout(Some(SPAWN_TIMEOUT))?;
        Ok(Spawner { process, control })
    }

    /// Process ID of the spawner.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Forks a reader. Returns its process ID and the tracer's end of its socket.
    pub(super) fn spawn_reader(&self) -> io::Result<(i32, UnixStream)> {
        let (socket, reader_socket) = UnixStream::pair()?;
        helper::send(self.control.as_fd(), b"r", Some(reader_socket.as_fd()))?;
        let mut pid = [0; 4];
        (&self.control).read_exact(&mut pid)?;
        let pid = i32::from_le_bytes(pid);
        if pid <= 0 {
            return Err(io::Error::other("the reader process could not be forked"));
        }
        Ok((pid, socket))
    }
}

/// Forks a reader for each received socket and sends its process ID back, until the tracer closes its end.
fn run(control: &OwnedFd) -> io::Result<()> {
    // The command line is the tracer's. The name distinguishes the process, and other tracers recognise it.
    let _ = rustix::thread::set_name(other_tracer::NAME);
    // SAFETY: SIG_IGN installs no handler. The kernel then reaps readers that exit.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    confine::reader()?;
    // Best effort, like Landlock: a kernel without seccomp.
    let _ = seccomp::restrict(seccomp::Role::Reader);
    while let Some(socket) = helper::receive(control.as_fd(), &mut [0])? {
        let socket = socket.ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: this process has one thread, so no other thread holds a lock in the child.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: the child does not use this descriptor, and the value that owns it is never dropped here.
                unsafe { libc::close(control.as_raw_fd()) };
                let result = serve::serve(socket.into());
                // SAFETY: _exit ends the process at once and does not flush inherited buffers.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
            pid => {
                drop(socket);
                rustix::io::write(control, &pid.to_le_bytes())?;
            }
        }
    }
    Ok(())
}
