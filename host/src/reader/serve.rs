//! The reader's side of the socket.

use std::io;
use std::os::unix::net::UnixStream;

use super::protocol::{Answer, Question, receive, send};
use super::{cgroup, head, scan};

/// Answers questions until the tracer closes its end. `socket` is standard input.
pub fn serve() -> io::Result<()> {
    // Its command line says "exe" otherwise; a name helps whoever looks at it, nothing depends on it.
    let _ = rustix::thread::set_name(c"crypto-tracer-r");
    let socket = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    let socket = UnixStream::from(socket);
    // The reader ends with its tracer, also when that is killed: the socket closes.
    loop {
        let question = match receive(&socket) {
            Ok(question) => question,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let answer = match question {
            Question::Heads { number, files } => {
                Answer::Heads { number, heads: files.iter().map(head::read).collect() }
            }
            Question::Cgroups { number, wanted } => {
                let paths = wanted.iter().map(|&(id, pid)| cgroup::path(id, pid)).collect();
                Answer::Cgroups { number, paths }
            }
            Question::Scan { number } => Answer::Scan { number, processes: scan::scan() },
        };
        send(&socket, &answer)?;
    }
}
