//! The reader's side of the socket.

use std::io;
use std::os::unix::net::UnixStream;

use super::mount_namespaces::MountNamespaces;
use super::other_tracer::OtherTracers;
use super::proc_probe::{ProbePool, Timeouts};
use super::protocol::{HeadResponse, Request, Response, receive, send};
use super::{ancestry, cgroup, head, inspect, procfs, unobservable, visible};
use crypto_tracer_system::usage::ResourceUsage;

/// Serves requests until the tracer closes its end of the socket or exits.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    let probes = ProbePool::default();
    let mut namespaces = MountNamespaces::new(probes.clone());
    let mut other_tracers = OtherTracers::default();
    loop {
        let request = match receive(&socket) {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let response = match request {
            Request::Heads { number, files } => {
                for file in &files {
                    let head = match file.maybe_reader {
                        Some(process) if other_tracers.contains(process) => {
                            HeadResponse::OTHER_TRACER
                        }
                        _ => head::read(file, &mut namespaces),
                    };
                    send(&socket, &Response::Head { number, head })?;
                }
                continue;
            }
            Request::Visible { number, file } => {
                let visible = match file.maybe_reader {
                    Some(process) if other_tracers.contains(process) => HeadResponse::OTHER_TRACER,
                    _ => visible::read(&file, &mut namespaces),
                };
                Response::Visible { number, visible }
            }
            Request::Cgroups { number, wanted } => {
                let paths = wanted.iter().map(|&(id, pid)| cgroup::path(id, pid)).collect();
                Response::Cgroups { number, paths }
            }
            Request::Pids { number } => Response::Pids { number, pids: procfs::pids() },
            Request::Inspect { number, pids, interest } => {
                let (processes, next) = inspect::page(&pids, interest.as_ref(), &probes);
                Response::Inspect { number, processes, next }
            }
            Request::Ancestry { number } => {
                let (processes, complete) = ancestry::scan(&probes);
                Response::Ancestry { number, processes, complete }
            }
            Request::Unobservable { number, pid } => {
                // The probe pool bounds the time for which a process can block the reader.
                let (found, _) = probes.each([pid], Timeouts::RESPONSE, unobservable::of);
                Response::Unobservable { number, reason: found.into_iter().flatten().next() }
            }
            Request::ResourceUsage { number } => {
                Response::ResourceUsage { number, usage: ResourceUsage::own() }
            }
            Request::Scan { number, pids, interest } => {
                let (processes, next) = procfs::page(&pids, interest.as_ref(), &probes);
                Response::Scan { number, processes, next }
            }
        };
        send(&socket, &response)?;
    }
}
