//! Helper processes: forked from the program while it has one thread, connected with a socket that passes file
//! descriptors, and ended by the end of that socket.
//!
//! They are forked but never executed: with file capabilities, a program that becomes a helper through an argument would
//! serve every user.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, setpgid, waitpid};

/// Number of the socket in the helper, the only descriptor besides the standard streams.
const SOCKET: i32 = 3;

/// A helper process. Dropping it kills the process.
#[derive(Debug)]
pub struct HelperProcess {
    pid: Pid,
}

impl HelperProcess {
    /// Forks a process that runs `task` with its end of a socket, and returns the other end. Call it while the process has
    /// a single thread. The helper redirects its standard streams to `/dev/null` and closes all other descriptors.
    ///
    /// # Errors
    /// The process cannot be forked.
    pub fn fork(
        task: impl FnOnce(&OwnedFd) -> io::Result<()>,
    ) -> io::Result<(HelperProcess, UnixStream)> {
        let (socket, child_socket) = UnixStream::pair()?;
        // SAFETY: this process has one thread, so no other thread holds a lock in the child.
        match unsafe { libc::fork() } {
            0 => {
                let result = detach(child_socket.into()).and_then(|socket| task(&socket));
                // SAFETY: _exit ends the process at once and does not flush inherited buffers.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
            pid => {
                let pid = Pid::from_raw(pid).filter(|_| pid > 0);
                let pid = pid.ok_or_else(io::Error::last_os_error)?;
                // In its own process group the child does not receive Ctrl+C; it ends when its socket closes. Both
                // processes call setpgid, so it takes effect before either continues.
                let _ = setpgid(Some(pid), Some(pid));
                Ok((HelperProcess { pid }, socket))
            }
        }
    }

    /// Process ID.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }
}

impl Drop for HelperProcess {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// Separates the child from the program's process group, standard streams and descriptors.
fn detach(socket: OwnedFd) -> io::Result<OwnedFd> {
    let _ = setpgid(None, None);
    let null = open("/dev/null", OFlags::RDWR, Mode::empty())?;
    // SAFETY: the child uses no inherited descriptor except `socket`, so it may replace or close all others. No value
    // that owns one closes it later, because this process ends with _exit.
    unsafe {
        for stream in 0..SOCKET {
            libc::dup2(null.as_raw_fd(), stream);
        }
        let inherited = socket.into_raw_fd();
        let socket = if inherited == SOCKET { SOCKET } else { libc::dup2(inherited, SOCKET) };
        let _ = null.into_raw_fd();
        // Needs Linux 5.9. On older kernels the child keeps the descriptors that the program was started with.
        libc::syscall(libc::SYS_close_range, SOCKET + 1, libc::c_uint::MAX, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(socket))
    }
}

/// Sends bytes, of which there must be at least one, with a file descriptor if there is one.
///
/// # Errors
/// The other end is closed.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let sent = sendmsg(socket, &[io::IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives bytes that [`send`] sent, and the file descriptor if there is one. `None`: the other end is closed.
///
/// # Errors
/// The message is shorter than `bytes`, or the socket's time limit passed.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Option<Option<OwnedFd>>> {
    let expected = bytes.len();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let flags = RecvFlags::CMSG_CLOEXEC;
        match recvmsg(socket, &mut [io::IoSliceMut::new(bytes)], &mut ancillary, flags) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    // Both ends are of the same program, and a message this short is never split.
    if received.bytes == expected { Ok(Some(fd)) } else { Err(io::ErrorKind::InvalidData.into()) }
}
