//! The reader's side of the socket.

use std::io;
use std::os::unix::net::UnixStream;

use super::aside::Aside;
use super::other_tracer::OtherTracers;
use super::places::Places;
use super::protocol::{Answer, HeadAnswer, Question, receive, send};
use super::{cgroup, head, kin, look, scan};
use crate::stats::Usage;

/// Answers questions until the tracer closes its end, or is gone.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    let aside = Aside::default();
    let mut places = Places::new(aside.clone());
    let mut others = OtherTracers::default();
    loop {
        let question = match receive(&socket) {
            Ok(question) => question,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let answer = match question {
            Question::Heads { number, files } => {
                for file in &files {
                    let head = match file.maybe_reader {
                        Some(process) if others.has(process) => HeadAnswer::OF_OTHER_TRACER,
                        _ => head::read(file, &mut places),
                    };
                    send(&socket, &Answer::Head { number, head })?;
                }
                continue;
            }
            Question::Cgroups { number, wanted } => {
                let paths = wanted.iter().map(|&(id, pid)| cgroup::path(id, pid)).collect();
                Answer::Cgroups { number, paths }
            }
            Question::Pids { number } => Answer::Pids { number, pids: scan::pids() },
            Question::Look { number, pids, interest } => {
                let (processes, next) = look::these(&pids, interest.as_ref(), &aside);
                Answer::Looked { number, processes, next }
            }
            Question::Kin { number } => {
                let (kin, whole) = kin::all(&aside);
                Answer::Kin { number, kin, whole }
            }
            Question::Usage { number } => Answer::Usage { number, usage: Usage::own() },
            Question::Scan { number, pids, interest } => {
                let (processes, next) = scan::these(&pids, interest.as_ref(), &aside);
                Answer::Scan { number, processes, next }
            }
        };
        send(&socket, &answer)?;
    }
}
