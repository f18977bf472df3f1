//! The spawner, a process that forks readers.
//!
//! The tracer drops its privileges once the probes are attached, but a replacement for a hung reader needs two
//! capabilities. The spawner starts first, keeps these capabilities, and forks a reader on request. It has one thread
//! and accesses no files of other users, so it cannot hang.
//!
//! The spawner is forked but never executed: with file capabilities, a program that becomes the reader through an
//! argument or its standard input would serve requests of every user.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, setpgid, waitpid};

use super::{confine, other_tracer, serve};

/// How long the fork of a reader may take.
const SPAWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of the control socket, the only descriptor besides the standard streams.
const CONTROL: i32 = 3;

/// Handle to the spawner process. Dropping it kills the process.
#[derive(Debug)]
pub struct Spawner {
    pid: Pid,
    control: UnixStream,
}

impl Spawner {
    /// Forks the spawner. Call it while the process has a single thread. The spawner redirects its standard streams to
    /// `/dev/null` and closes all other descriptors.
    pub fn fork() -> io::Result<Spawner> {
        let (control, child_control) = UnixStream::pair()?;
        // SAFETY: this process has one thread, so no other thread holds a lock in the child.
        match unsafe { libc::fork() } {
            0 => {
                let result = detach(child_control.into()).and_then(|control| run(&control));
                // SAFETY: _exit ends the process at once and does not flush inherited buffers.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
            pid => {
                let pid = Pid::from_raw(pid).filter(|_| pid > 0);
                let pid = pid.ok_or_else(io::Error::last_os_error)?;
                // In its own process group the child does not receive Ctrl+C; it ends when its socket closes. Both
                // processes call setpgid, so it takes effect before either continues.
                let _ = setpgid(Some(pid), Some(pid));
                control.set_read_timeout(Some(SPAWN_TIMEOUT))?;
                Ok(Spawner { pid, control })
            }
        }
    }

    /// Process ID of the spawner.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Forks a reader. Returns its process ID and the tracer's end of its socket.
    pub(super) fn spawn_reader(&self) -> io::Result<(i32, UnixStream)> {
        let (socket, reader_socket) = UnixStream::pair()?;
        send_socket(self.control.as_fd(), reader_socket.as_fd())?;
        let mut pid = [0; 4];
        (&self.control).read_exact(&mut pid)?;
        let pid = i32::from_le_bytes(pid);
        if pid <= 0 {
            return Err(io::Error::other("the reader process could not be forked"));
        }
        Ok((pid, socket))
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// Separates the child from the tracer's process group, standard streams and descriptors.
fn detach(control: OwnedFd) -> io::Result<OwnedFd> {
    let _ = setpgid(None, None);
    let null = open("/dev/null", OFlags::RDWR, Mode::empty())?;
    // SAFETY: the child uses no inherited descriptor except `control`, so it may replace or close all others. No value
    // that owns one closes it later, because this process ends with _exit.
    unsafe {
        for stream in 0..CONTROL {
            libc::dup2(null.as_raw_fd(), stream);
        }
        let inherited = control.into_raw_fd();
        let control = if inherited == CONTROL { CONTROL } else { libc::dup2(inherited, CONTROL) };
        let _ = null.into_raw_fd();
        // Needs Linux 5.9. On older kernels the child keeps the descriptors that the tracer was started with.
        libc::syscall(libc::SYS_close_range, CONTROL + 1, libc::c_uint::MAX, 0);
        if control < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(control))
    }
}

/// Sends a reader's end of a socket to the spawner.
fn send_socket(control: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket];
    ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(control, &[io::IoSlice::new(b"r")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Forks a reader for each received socket and sends its process ID back, until the tracer closes its end.
fn run(control: &OwnedFd) -> io::Result<()> {
    // The command line is the tracer's. The name distinguishes the process, and other tracers recognise it.
    let _ = rustix::thread::set_name(other_tracer::NAME);
    // SAFETY: SIG_IGN installs no handler. The kernel then reaps readers that exit.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    confine::reader()?;
    while let Some(socket) = receive_socket(control)? {
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

/// `None`: the tracer closed its end.
fn receive_socket(control: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let flags = RecvFlags::CMSG_CLOEXEC;
        match recvmsg(control, &mut [io::IoSliceMut::new(&mut byte)], &mut ancillary, flags) {
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
    fd.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
