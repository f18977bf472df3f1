//! The reader's side of the socket. No access to a process or a file is on this thread, because it could block.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::head::{self, HeadContext};
use super::proc_probe::{ProbePool, Probed, Target, Timeouts};
use super::protocol::{Request, Response, TimedHead, Wanted, receive, send};
use super::version::Versions;
use super::{ancestry, cgroup, inspect, procfs, stale, unobservable, visible};
use crypto_tracer_system::usage::ResourceUsage;

/// If no head is read for this long, another thread continues with the next file.
const STALL: Duration = Duration::from_millis(5);

/// Serves requests until the tracer closes its end of the socket or exits.
#[expect(clippy::too_many_lines, reason = "one arm for each request")]
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    let probes = ProbePool::default();
    let heads = HeadContext::new(probes.clone());
    let versions = Arc::new(Mutex::new(Versions::default()));
    loop {
        let request = match receive(&socket) {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let response = match request {
            Request::Heads { number, files, time } => {
                let context = heads.for_request();
                let heads = read_each(files, time, &probes, context, head::read_timed);
                Response::Heads { number, heads, hung: probes.take_hung() }
            }
            Request::Visible { number, file, time } => {
                let context = heads.for_request();
                let visible = read_each(vec![*file], time, &probes, context, visible::read_timed);
                let visible = visible.into_iter().next().unwrap_or(late(Duration::ZERO));
                Response::Visible { number, visible, hung: probes.take_hung() }
            }
            Request::Fingerprints { number, files, time } => {
                let context = heads.for_request();
                let targets = files.into_iter().map(|file| Target {
                    pid: file.file.pid,
                    uid: Some(file.uid),
                    item: file,
                });
                let probe = move |file| stale::fingerprint(&file, &context);
                let found = done(probes.each(targets, timeouts(time), probe));
                let fingerprints = found.into_iter().map(Option::flatten).collect();
                Response::Fingerprints { number, fingerprints, hung: probes.take_hung() }
            }
            Request::Stale { number, queries, time } => {
                let context = heads.for_request();
                let targets = queries.into_iter().map(|query| Target {
                    pid: query.pid,
                    uid: Some(query.uid),
                    item: query,
                });
                let probe = move |query| stale::compare(&query, context.namespaces());
                let currencies = done(probes.each(targets, timeouts(time), probe));
                Response::Stale { number, currencies, hung: probes.take_hung() }
            }
            Request::Versions { number, libraries, time } => {
                let (context, versions) = (heads.for_request(), versions.clone());
                let targets = libraries.into_iter().map(|library| Target {
                    pid: library.pid,
                    uid: Some(library.uid),
                    item: library,
                });
                let probe = move |library| {
                    let mut known = versions.lock().unwrap_or_else(PoisonError::into_inner);
                    known.of(&library, context.namespaces())
                };
                let timeouts = Timeouts { stall: time, each: time, total: time };
                let found = done(probes.each(targets, timeouts, probe));
                let versions = found.into_iter().map(Option::flatten).collect();
                Response::Versions { number, versions, hung: probes.take_hung() }
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

fn timeouts(time: Duration) -> Timeouts {
    Timeouts { stall: STALL.min(time), each: time, total: time }
}

/// The results of the probes; `None` if a file or a process blocks, or the time was over.
fn done<T>(probed: Vec<Probed<T>>) -> Vec<Option<T>> {
    probed.into_iter().map(Probed::done).collect()
}

/// Reads a part of each file.
fn read_each(
    files: Vec<Wanted>,
    time: Duration,
    probes: &ProbePool,
    context: HeadContext,
    read: fn(&Wanted, &HeadContext) -> TimedHead,
) -> Vec<TimedHead> {
    let targets = files.into_iter().map(|file| Target {
        pid: file.file.pid,
        uid: Some(file.uid),
        item: file,
    });
    let heads = probes.each(targets, timeouts(time), move |file| read(&file, &context));
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
