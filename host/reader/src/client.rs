//! The tracer's client of the reader process.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::connection::{Connection, HANG_TIMEOUT, PendingRequest};
use super::protocol::{
    Ancestry, ExistingProcess, HeadResponse, ProcessDetails, Request, Response, Unobservable,
    Wanted, send,
};
use super::restart_backoff::RestartBackoff;
use super::spawner::Spawner;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::usage::ResourceUsage;

/// Maximum number of files in a request.
const MAX_FILES: usize = 256;
/// Maximum number of processes in a scan request.
const MAX_SCANNED: usize = 256;
/// Maximum size in bytes of the list of mapped files in a scan. Processes after this limit are scanned without their
/// libraries.
const MAX_SCANNED_BYTES: usize = 32 << 20;

/// Interval between retries while the reader does not respond or is off.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Client of a reader process. It replaces a reader that hangs.
#[derive(Debug)]
pub struct ReaderClient {
    spawner: Spawner,
    connection: Option<Connection>,
    /// Number of the last request.
    number: u64,
    backoff: RestartBackoff,
    /// The last event, until [`ReaderClient::take_event`] returns it.
    event: Option<ReaderEvent>,
    /// A new reader gets no request until its event was taken.
    hold_requests: bool,
}

/// What happened to a hung reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderEvent {
    /// A new reader replaced it: the new value of [`ReaderClient::pids`], and the ID of the user whose file hung the old
    /// reader.
    Replaced(Vec<u32>, Option<u32>),
    /// No reader is running for now.
    Off,
}

impl ReaderClient {
    /// Starts a reader process.
    pub fn start(spawner: Spawner) -> io::Result<ReaderClient> {
        let connection = Some(Connection::spawn(&spawner)?);
        Ok(ReaderClient {
            spawner,
            connection,
            number: 0,
            backoff: RestartBackoff::default(),
            event: None,
            hold_requests: false,
        })
    }

    /// From now on, a new reader gets no request before [`ReaderClient::take_event`] has returned its event, so that the
    /// caller can exclude the reader's own opens from the trace. Does not block.
    pub fn hold_requests_until_event_taken(&mut self) {
        self.hold_requests = true;
    }

    /// Takes the last event since the previous call, if any.
    pub fn take_event(&mut self) -> Option<ReaderEvent> {
        self.event.take()
    }

    /// Process IDs of the reader and of the spawner, to be excluded from the trace.
    pub fn pids(&self) -> Vec<u32> {
        let reader = self.connection.as_ref().and_then(|reader| u32::try_from(reader.pid).ok());
        reader.into_iter().chain([self.spawner.pid()]).collect()
    }

    /// Requests heads and returns them in the order of `files`. `None`: the response was not received by `deadline` or
    /// before a shutdown request.
    pub fn heads(
        &mut self,
        files: &[Wanted],
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<HeadResponse>> {
        let batches = files.chunks(MAX_FILES);
        batches.flat_map(|files| self.batch_of_heads(files, deadline, shutdown)).collect()
    }

    fn batch_of_heads(
        &mut self,
        files: &[Wanted],
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<HeadResponse>> {
        let mut heads = vec![None; files.len()];
        // Skip users whose files repeatedly hung a reader.
        let is_allowed = |(_, file): &(usize, &Wanted)| !self.backoff.is_backing_off(file.uid);
        let (indices, files): (Vec<usize>, Vec<Wanted>) = files
            .iter()
            .enumerate()
            .filter(is_allowed)
            .map(|(index, file)| (index, file.clone()))
            .unzip();
        if files.is_empty() {
            return heads;
        }
        let number = self.next_number();
        let uids = files.iter().map(|file| Some(file.uid)).collect();
        let request = Request::Heads { number, files };
        let mut response = self.request(number, &request, uids, deadline, shutdown);
        for index in indices {
            let Some(Response::Head { head, .. }) = response else { break };
            if let Some(slot) = heads.get_mut(index) {
                *slot = Some(head);
            }
            response = self.next_response(deadline, shutdown);
        }
        heads
    }

    /// Requests all of a file that plugins may see. `None`: no response by `deadline`.
    pub fn visible(
        &mut self,
        file: &Wanted,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<HeadResponse> {
        if self.backoff.is_backing_off(file.uid) {
            return None;
        }
        let number = self.next_number();
        let request = Request::Visible { number, file: Box::new(file.clone()) };
        match self.request(number, &request, [Some(file.uid)].into(), deadline, shutdown)? {
            Response::Visible { visible, .. } => Some(visible),
            _ => None,
        }
    }

    /// Requests the IDs of all processes. `None`: no response by `deadline`.
    pub fn all_pids(&mut self, deadline: Instant, shutdown: &Shutdown) -> Option<Vec<u32>> {
        let number = self.next_number();
        match self.request_one(number, &Request::Pids { number }, deadline, shutdown)? {
            Response::Pids { pids, .. } => Some(pids),
            _ => None,
        }
    }

    /// Requests the reason why this process cannot be traced. `None`: it can, or no response by `deadline`.
    pub fn unobservable(
        &mut self,
        pid: u32,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<Unobservable> {
        let number = self.next_number();
        let request = Request::Unobservable { number, pid };
        match self.request_one(number, &request, deadline, shutdown)? {
            Response::Unobservable { reason, .. } => reason,
            _ => None,
        }
    }

    /// Requests all processes with their parents, and retries if the response was incomplete or the reader hung.
    /// `None`: no complete response by `deadline`.
    pub fn ancestry(&mut self, deadline: Instant, shutdown: &Shutdown) -> Option<Vec<Ancestry>> {
        loop {
            let number = self.next_number();
            let request = Request::Ancestry { number };
            match self.request_one(number, &request, deadline, shutdown) {
                Some(Response::Ancestry { processes, complete: true, .. }) => {
                    return Some(processes);
                }
                _ if shutdown.is_requested() || Instant::now() >= deadline => return None,
                Some(_) => {}
                None => std::thread::sleep(RETRY_INTERVAL),
            }
        }
    }

    /// Requests all processes, each with its mapped libraries that match `interest`. Also returns the number of processes
    /// whose libraries are unknown. `None`: no response by `deadline`.
    pub fn scan(
        &mut self,
        interest: &Interest,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<(Vec<ExistingProcess>, usize)> {
        let pids = self.all_pids(deadline, shutdown)?;
        let (mut processes, mut unknown, mut bytes) = (Vec::new(), 0, 0);
        let mut queue: VecDeque<&[u32]> = pids.chunks(MAX_SCANNED).collect();
        while let Some(pids) = queue.pop_front() {
            let time_left = deadline.saturating_duration_since(Instant::now());
            // A process that hangs the reader must not use up the time of the others.
            let batch_deadline = Instant::now() + (time_left / 3).max(HANG_TIMEOUT).min(time_left);
            let interest = (bytes < MAX_SCANNED_BYTES).then_some(interest);
            match self.scan_batch(pids, interest, batch_deadline, shutdown) {
                Some(mut batch) => {
                    let mapped = batch.iter().flat_map(|process| &process.mapped);
                    bytes += mapped.map(|file| file.path.len() + size_of_val(file)).sum::<usize>();
                    unknown += if interest.is_none() { batch.len() } else { 0 };
                    processes.append(&mut batch);
                }
                None if shutdown.is_requested() || time_left.is_zero() => return None,
                None if pids.len() > 1 => {
                    pids.chunks(1).rev().for_each(|pid| queue.push_front(pid))
                }
                None => {
                    unknown += 1;
                    let batch = self.scan_batch(pids, None, batch_deadline, shutdown);
                    processes.append(&mut batch.unwrap_or_default());
                }
            }
        }
        Some((processes, unknown))
    }

    fn scan_batch(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<Vec<ExistingProcess>> {
        self.all_pages(pids, |reader, number, pids| {
            let request = Request::Scan { number, pids, interest: interest.cloned() };
            match reader.request_one(number, &request, deadline, shutdown)? {
                Response::Scan { processes, next, .. } => Some((processes, next)),
                _ => None,
            }
        })
    }

    /// Inspects these processes; without an interest returns only their identities. `None`: the response was not
    /// complete by `deadline`.
    pub fn inspect(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<Vec<ProcessDetails>> {
        self.all_pages(pids, |reader, number, pids| {
            let request = Request::Inspect { number, pids, interest: interest.cloned() };
            match reader.request_one(number, &request, deadline, shutdown)? {
                Response::Inspect { processes, next, .. } => Some((processes, next)),
                _ => None,
            }
        })
    }

    /// Requests pages until all of `pids` are covered.
    fn all_pages<T>(
        &mut self,
        pids: &[u32],
        mut request_page: impl FnMut(&mut ReaderClient, u64, Vec<u32>) -> Option<(Vec<T>, Option<u32>)>,
    ) -> Option<Vec<T>> {
        let (mut all, mut rest) = (Vec::new(), pids);
        loop {
            let number = self.next_number();
            let (mut page, next) = request_page(self, number, rest.to_vec())?;
            all.append(&mut page);
            let Some(last) = next else { return Some(all) };
            let after = rest.iter().position(|&pid| pid == last)? + 1;
            rest = rest.get(after..)?;
        }
    }

    /// Resolves cgroup IDs to paths, in order; each ID comes with the PID of a past member. Returns an empty list if there
    /// is no response by `deadline`.
    pub fn cgroups(
        &mut self,
        wanted: &[(u64, u32)],
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<String>> {
        let number = self.next_number();
        let request = Request::Cgroups { number, wanted: wanted.to_vec() };
        match self.request_one(number, &request, deadline, shutdown) {
            Some(Response::Cgroups { paths, .. }) => paths,
            _ => Vec::new(),
        }
    }

    /// Requests the resource usage of the current reader. `None`: no response by `deadline`.
    pub fn usage(&mut self, deadline: Instant) -> Option<ResourceUsage> {
        let number = self.next_number();
        let request = Request::ResourceUsage { number };
        // The tracer sends this request during the shutdown, which therefore must not interrupt it.
        match self.request_one(number, &request, deadline, &Shutdown::default())? {
            Response::ResourceUsage { usage, .. } => Some(usage),
            _ => None,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Sends a request that has one response, and waits for it.
    fn request_one(
        &mut self,
        number: u64,
        request: &Request,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<Response> {
        self.request(number, request, [None].into(), deadline, shutdown)
    }

    /// Sends a request and waits for the first response. `uids` has an entry for each expected response: the user to blame
    /// if it hangs.
    fn request(
        &mut self,
        number: u64,
        request: &Request,
        uids: VecDeque<Option<u32>>,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<Response> {
        let connection = self.ready(deadline, shutdown)?;
        let sent = send(&connection.socket, request);
        connection.pending =
            Some(PendingRequest { number, since: Instant::now(), remaining: uids });
        match sent {
            Ok(()) => self.next_response(deadline, shutdown),
            Err(_) => {
                self.replace();
                None
            }
        }
    }

    /// Returns the next response to the last request. `None`: all were received, or there was none by `deadline`.
    fn next_response(&mut self, deadline: Instant, shutdown: &Shutdown) -> Option<Response> {
        let connection = self.connection.as_mut()?;
        connection.pending.as_ref()?;
        let response = connection.next_response(deadline, shutdown);
        if response.is_err() || connection.is_hung() {
            self.replace();
        }
        response.ok().flatten()
    }

    /// Returns a connection without a pending request.
    fn ready(&mut self, deadline: Instant, shutdown: &Shutdown) -> Option<&mut Connection> {
        if self.connection.is_none() && self.backoff.allows_restart() {
            self.spawn(None);
        }
        let connection = self.connection.as_mut()?;
        while connection.pending.is_some() {
            // Responses to the previous request are discarded.
            let late = connection.next_response(deadline, shutdown);
            if late.is_err() || connection.is_hung() {
                self.replace();
                break;
            }
            if late.is_ok_and(|late| late.is_none()) {
                break;
            }
        }
        if self.hold_requests && self.event.is_some() {
            return None;
        }
        self.connection.as_mut().filter(|connection| connection.pending.is_none())
    }

    /// Kills the current reader and starts another one if the backoff allows it.
    fn replace(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        connection.kill();
        let uid =
            connection.pending.and_then(|pending| pending.remaining.front().copied().flatten());
        self.backoff.record_hang(connection.pid, uid);
        if self.backoff.allows_restart() {
            self.spawn(uid);
        } else {
            self.event = Some(ReaderEvent::Off);
        }
    }

    /// Starts a reader. `uid` is the user whose file hung the previous one.
    fn spawn(&mut self, uid: Option<u32>) {
        self.connection = Connection::spawn(&self.spawner).ok();
        self.event = Some(match self.connection {
            Some(_) => ReaderEvent::Replaced(self.pids(), uid),
            None => ReaderEvent::Off,
        });
    }
}
