//! The process that makes readers.
//!
//! The tracer drops its privileges when it has attached, and a reader that hangs has to be replaced later, with two of
//! them. So a small process that is started first keeps them, and forks a reader whenever it is asked to. It has one
//! thread and touches nobody's files, so it does not hang.
//!
//! It is forked, never executed: a program that can be told by its arguments or its standard input to be the reader
//! would, with file capabilities, answer anybody's questions.

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

/// How long the making of a reader may take.
const BIRTH: Duration = Duration::from_secs(2);
/// The only descriptor that is kept besides the standard ones.
const CONTROL: i32 = 3;

/// The process that makes readers, seen from the tracer. It ends with this.
#[derive(Debug)]
pub struct Spawner {
    pid: Pid,
    control: UnixStream,
}

impl Spawner {
    /// Forks it. To be called before there is any other thread, and before anything is open that a process that stays
    /// should not keep: it has its own standard streams, and no other descriptor.
    pub fn fork() -> io::Result<Spawner> {
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: this process has one thread, so the child finds no lock held by another one.
        match unsafe { libc::fork() } {
            0 => {
                let ran = alone(theirs.into()).and_then(|control| run(&control));
                // SAFETY: ends this process at once; nothing that was inherited is flushed twice.
                unsafe { libc::_exit(i32::from(ran.is_err())) }
            }
            pid => {
                let pid = Pid::from_raw(pid).filter(|_| pid > 0);
                let pid = pid.ok_or_else(io::Error::last_os_error)?;
                // Ctrl+C is for the tracer: the reader ends when its socket closes. The child does the same for
                // itself; whoever comes first.
                let _ = setpgid(Some(pid), Some(pid));
                ours.set_read_timeout(Some(BIRTH))?;
                Ok(Spawner { pid, control: ours })
            }
        }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Has a reader made: its process id, and our end of its socket.
    pub(super) fn make(&self) -> io::Result<(i32, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ask(self.control.as_fd(), theirs.as_fd())?;
        let mut pid = [0; 4];
        (&self.control).read_exact(&mut pid)?;
        let pid = i32::from_le_bytes(pid);
        if pid <= 0 {
            return Err(io::Error::other("no reader could be forked"));
        }
        Ok((pid, ours))
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// In the child: leaves the tracer's group, standard streams and descriptors.
fn alone(control: OwnedFd) -> io::Result<OwnedFd> {
    let _ = setpgid(None, None);
    let null = open("/dev/null", OFlags::RDWR, Mode::empty())?;
    // SAFETY: the numbers are ours to give: nothing of what the tracer had is used here any more, and what had number
    // 3 is replaced. No value that owns a descriptor closes it later, for this process ends by _exit.
    unsafe {
        for stream in 0..CONTROL {
            libc::dup2(null.as_raw_fd(), stream);
        }
        let kept = if control.as_raw_fd() == CONTROL {
            CONTROL
        } else {
            libc::dup2(control.into_raw_fd(), CONTROL)
        };
        let _ = null.into_raw_fd();
        // Linux 5.9. An older one keeps what the tracer was started with, as an executed child would.
        libc::syscall(libc::SYS_close_range, CONTROL + 1, libc::c_uint::MAX, 0);
        if kept < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(kept))
    }
}

/// Sends one end of a reader's socket.
fn ask(spawner: BorrowedFd<'_>, end: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let ends = [end];
    ancillary.push(SendAncillaryMessage::ScmRights(&ends));
    sendmsg(spawner, &[io::IoSlice::new(b"r")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Forks a reader for each socket that comes, and answers with its process id, until the tracer closes its end.
fn run(control: &OwnedFd) -> io::Result<()> {
    // Its command line is the tracer's; a name helps whoever looks at it, and other tracers know it by that.
    let _ = rustix::thread::set_name(other_tracer::NAME);
    // SAFETY: ignoring SIGCHLD installs no handler; it makes the kernel forget readers that ended.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    confine::reader()?;
    while let Some(end) = receive(control)? {
        // SAFETY: this process has one thread, so the child finds no lock held by another one.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: the value that owns it is the parent's; nobody uses it here.
                unsafe { libc::close(control.as_raw_fd()) };
                let served = serve::serve(end.into());
                // SAFETY: ends this process at once; nothing that was inherited is flushed twice.
                unsafe { libc::_exit(i32::from(served.is_err())) }
            }
            pid => {
                drop(end);
                rustix::io::write(control, &pid.to_le_bytes())?;
            }
        }
    }
    Ok(())
}

fn receive(control: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let flags = RecvFlags::CMSG_CLOEXEC;
        match recvmsg(control, &mut [io::IoSliceMut::new(&mut byte)], &mut ancillary, flags) {
            Ok(got) => break got,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if got.bytes == 0 {
        return Ok(None);
    }
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
