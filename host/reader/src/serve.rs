//! The reader's side of the socket.

use std::io;
use std::os::unix::net::UnixStream;

use super::mount_namespaces::MountNamespaces;
use super::other_tracer::OtherTracers;
use super::proc_probe::ProbePool;
use super::protocol::{HeadResponse, Request, Response, receive, send};
use super::{ancestry, cgroup, head, inspect, procfs};
use crypto_tracer_system::usage::ResourceUsage;

/// Answers questions until the tracer closes its end, or is gone.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    let aside = ProbePool::default();
    let mut places = MountNamespaces::new(aside.clone());
    let mut others = OtherTracers::default();
    loop {
        let question = match receive(&socket) {
            Ok(question) => question,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let answer = match question {
            Request::Heads { number, files } => {
                for file in &files {
                    let head = match file.maybe_reader {
                        Some(process) if others.has(process) => HeadResponse::OF_OTHER_TRACER,
                        _ => head::read(file, &mut places),
                    };
                    send(&socket, &Response::Head { number, head })?;
                }
                continue;
            }
            Request::Cgroups { number, wanted } => {
                let paths = wanted.iter().map(|&(id, pid)| cgroup::path(id, pid)).collect();
                Response::Cgroups { number, paths }
            }
            Request::Pids { number } => Response::Pids { number, pids: procfs::pids() },
            Request::Look { number, pids, interest } => {
                let (processes, next) = inspect::these(&pids, interest.as_ref(), &aside);
                Response::Looked { number, processes, next }
            }
            Request::Ancestry { number } => {
                let (kin, whole) = ancestry::all(&aside);
                Response::Ancestry { number, kin, whole }
            }
            Request::ResourceUsage { number } => {
                Response::ResourceUsage { number, usage: ResourceUsage::own() }
            }
            Request::Scan { number, pids, interest } => {
                let (processes, next) = procfs::these(&pids, interest.as_ref(), &aside);
                Response::Scan { number, processes, next }
            }
        };
        send(&socket, &answer)?;
    }
}
