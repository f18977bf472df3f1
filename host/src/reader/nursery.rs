//! The process that makes readers.
//!
//! The tracer drops its privileges when it has attached, and a reader that hangs has to be replaced later, with two of
//! them. So a small process that is started first keeps them, and forks a reader whenever it is asked to. It has one
//! thread and touches nobody's files, so it does not hang.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::{confine, serve};

/// Sends one end of a reader's socket.
pub(super) fn ask(nursery: BorrowedFd<'_>, end: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let ends = [end];
    ancillary.push(SendAncillaryMessage::ScmRights(&ends));
    sendmsg(nursery, &[io::IoSlice::new(b"r")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Forks a reader for each socket that comes, and answers with its process id, until the tracer closes its end.
/// The control socket is standard input.
pub fn run() -> io::Result<()> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    // Its command line says "exe" otherwise; a name helps whoever looks at it, nothing depends on it.
    let _ = rustix::thread::set_name(c"crypto-tracer-r");
    // SAFETY: ignoring SIGCHLD installs no handler; it makes the kernel forget readers that ended.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    confine::reader()?;
    while let Some(end) = receive(&control)? {
        // SAFETY: this process has one thread, so the child finds no lock held by another one.
        match unsafe { libc::fork() } {
            0 => {
                drop(control);
                let served = serve::serve(end.into());
                // SAFETY: ends this process at once; nothing that was inherited is flushed twice.
                unsafe { libc::_exit(i32::from(served.is_err())) }
            }
            pid => {
                drop(end);
                rustix::io::write(&control, &pid.to_le_bytes())?;
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
