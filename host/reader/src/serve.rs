//! The reader's side of the socket. No access to a process or a file is on this thread, because it could block.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::head::{self, HeadContext};
use super::proc_probe::{ProbePool, Probed, Target, Timeouts};
use super::protocol::{Request, Response, TimedHead, Wanted, receive, send};
use super::{ancestry, cgroup, inspect, procfs, unobservable};
use crypto_tracer_system::usage::ResourceUsage;

/// If no head is read for this long, another thread continues with the next file.
const STALL: Duration = Duration::from_millis(5);

/// Serves requests until the tracer closes its end of the socket or exits.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    let probes = ProbePool::default();
    let heads = HeadContext::new(probes.clone());
    loop {
        let request = match receive(&socket) {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let response = match request {
            Request::Heads { number, files, time } => {
                let heads = read_heads(files, time, &probes, heads.for_request());
                Response::Heads { number, heads, hung: probes.take_hung() }
            }
            Request::Cgroups { number, wanted, time } => {
                let (paths, took) = cgroup::paths(&wanted, time);
                Response::Cgroups { number, paths, took }
            }
            Request::Pids { number } => Response::Pids { number, pids: procfs::pids() },
            Request::Inspect { number, pids, interest } => {
                let (processes, next) = inspect::page(&pids, interest, &probes);
                Response::Inspect { number, processes, next }
            }
            Request::Ancestry { number } => {
                let (processes, complete) = ancestry::scan(&probes);
                Response::Ancestry { number, processes, complete }
            }
            Request::Unobservable { number, pid } => {
                let found = probes.each_process([pid], Timeouts::RESPONSE, unobservable::of);
                let reason = found.into_iter().find_map(Probed::done).flatten();
                Response::Unobservable { number, reason }
            }
            Request::ResourceUsage { number } => {
                Response::ResourceUsage { number, usage: ResourceUsage::own() }
            }
            Request::Scan { number, pids, interest } => {
                let procfs::Page { processes, blocked, next } =
                    procfs::page(&pids, interest, &probes);
                Response::Scan { number, processes, blocked, next }
            }
        };
        send(&socket, &response)?;
    }
}

fn read_heads(
    files: Vec<Wanted>,
    time: Duration,
    probes: &ProbePool,
    context: HeadContext,
) -> Vec<TimedHead> {
    let targets = files.into_iter().map(|file| Target {
        pid: file.file.pid,
        uid: Some(file.uid),
        item: file,
    });
    let timeouts = Timeouts { stall: STALL.min(time), each: time, total: time };
    let heads = probes.each(targets, timeouts, move |file| head::read_timed(&file, &context));
    let timed = |head| match head {
        Probed::Done(head) => head,
        // A file of a process that blocked an earlier request costs nothing.
        Probed::Blocked(since) if since > time * 2 => late(Duration::ZERO),
        Probed::Blocked(since) => late(since),
        Probed::NotStarted => late(Duration::ZERO),
    };
    heads.into_iter().map(timed).collect()
}

fn late(took: Duration) -> TimedHead {
    TimedHead { response: None, took }
}
