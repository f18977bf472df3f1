//! The reader's side of the socket.

use std::io;
use std::os::unix::net::UnixStream;

use super::protocol::{Answer, Question, receive, send};
use super::{cgroup, head, kin, look, scan};
use crate::stats::Usage;

/// Answers questions until the tracer closes its end, or is gone.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
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
            Question::Page { number, after, most, interest } => {
                let (processes, next) = look::page(after, most, &interest);
                Answer::Looked { number, processes, next }
            }
            Question::Look { number, pids, interest } => {
                let (processes, next) = look::these(&pids, &interest);
                Answer::Looked { number, processes, next }
            }
            Question::Kin { number } => Answer::Kin { number, kin: kin::all() },
            Question::Usage { number } => Answer::Usage { number, usage: Usage::own() },
            Question::Scan { number } => Answer::Scan { number, processes: scan::scan() },
        };
        send(&socket, &answer)?;
    }
}
