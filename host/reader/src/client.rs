//! The tracer's client of the reader process.

use std::io;
use std::time::{Duration, Instant};

use super::connection::{Connection, PendingRequest};
use super::protocol::{
    Ancestry, Currency, ExistingProcess, Fingerprint, HeadResponse, LibraryQuery, ProcessDetails,
    Request, Response, StaleQuery, Unobservable, Wanted, WantedCgroup, send,
};
use super::restart_backoff::RestartBackoff;
use super::spawner::Spawner;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::accounts::SubordinateIds;
use crypto_tracer_system::share::{SharePolicy, Shares};
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::usage::ResourceUsage;

/// Maximum number of files in a request. A response with as many heads of the maximum size has 2 MiB.
const MAX_FILES: usize = 32;
/// Number of files in the first request of a drain: those of the users who have used least.
const FIRST_FILES: usize = 8;
/// Maximum size of the heads that are returned together, in bytes. The others are late.
const MAX_HEAD_BYTES: usize = 4 << 20;
/// Maximum number of files in a request that compares them.
const MAX_QUERIES: usize = 256;
/// Maximum number of cgroups in a request.
const MAX_CGROUPS: usize = 256;
/// The reader's time that each user may use. A head usually takes 0.05 ms.
const SHARE: SharePolicy = SharePolicy {
    percent: 10,
    burst: Duration::from_millis(300),
    expected: Duration::from_micros(100),
    max_users: 4096,
};
/// Maximum number of processes in a scan request.
const MAX_SCANNED: usize = 256;
/// Maximum size in bytes of the list of mapped files in a scan. Processes after this limit are scanned without their
/// libraries.
const MAX_SCANNED_BYTES: usize = 32 << 20;

/// Interval between retries while the reader does not respond or is off.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Makes the request number N about some items, with the time that it may take.
type Ask<'a, T> = &'a dyn Fn(u64, Vec<T>, Duration) -> Request;
/// Takes the results and the users of hung threads out of a response.
type Answer<'a, R> = &'a dyn Fn(Response) -> Option<(Vec<Option<R>>, Vec<u32>)>;

/// Client of a reader process. It replaces a reader that hangs.
#[derive(Debug)]
pub struct ReaderClient {
    spawner: Spawner,
    connection: Option<Connection>,
    /// Number of the last request.
    number: u64,
    backoff: RestartBackoff,
    shares: Shares,
    /// No reader can be started any more.
    spawner_ended: bool,
    /// The last event, until [`ReaderClient::take_event`] returns it.
    event: Option<ReaderEvent>,
    /// A new reader gets no request until its event was taken.
    hold_requests: bool,
    /// Another helper process of the tracer.
    other_helper: Option<u32>,
}

/// What happened to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderEvent {
    /// A new reader replaced it: the new value of [`ReaderClient::pids`], and why.
    Replaced(Vec<u32>, ReaderEnd),
    /// No reader is running for now.
    Off,
    /// The spawner has ended, so no reader can be started any more.
    SpawnerEnded,
}

/// How a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderEnd {
    /// It did not respond.
    Hung,
    /// The process ended.
    Ended,
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
            shares: Shares::new(SHARE, SubordinateIds::read()),
            spawner_ended: false,
            event: None,
            hold_requests: false,
            other_helper: None,
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

    /// Adds another helper process of the tracer to [`ReaderClient::pids`].
    pub fn add_helper(&mut self, pid: u32) {
        self.other_helper = Some(pid);
    }

    /// Process IDs of the reader, of the spawner and of another helper, to be excluded from the trace.
    pub fn pids(&self) -> Vec<u32> {
        let reader = self.connection.as_ref().and_then(|reader| u32::try_from(reader.pid).ok());
        reader.into_iter().chain([self.spawner.pid()]).chain(self.other_helper).collect()
    }

    /// Requests heads and returns them in the order of `files`. `None`: the response was not received by `deadline` or
    /// before a shutdown request, or the user has used up the reader's time.
    pub fn heads(
        &mut self,
        files: &[Wanted],
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<HeadResponse>> {
        let mut heads = vec![None; files.len()];
        let order = self.shares.order(files.iter().map(|file| file.uid), Instant::now());
        let mut bytes = 0;
        // The first response comes soon, however many files follow.
        let (first, others) = order.split_at(order.len().min(FIRST_FILES));
        for indices in std::iter::once(first).chain(others.chunks(MAX_FILES)) {
            if bytes >= MAX_HEAD_BYTES {
                break;
            }
            let now = Instant::now();
            let is_allowed = |file: &Wanted| {
                !self.is_backing_off(file.uid) && !self.shares.is_used_up(file.uid, now)
            };
            let batch: Vec<(usize, Wanted)> = indices
                .iter()
                .filter_map(|&index| Some((index, files.get(index)?)))
                .filter(|(_, file)| is_allowed(file))
                .map(|(index, file)| (index, file.clone()))
                .collect();
            let (indices, batch): (Vec<usize>, Vec<Wanted>) = batch.into_iter().unzip();
            if batch.is_empty() {
                continue;
            }
            let Some(read) = self.batch_of_heads(batch, deadline, shutdown) else { break };
            for (index, head) in indices.into_iter().zip(read) {
                let response = head.as_ref().and_then(|head| head.head.as_ref().ok());
                bytes += response.map_or(0, Vec::len);
                if let Some(slot) = heads.get_mut(index) {
                    *slot = head;
                }
            }
        }
        heads
    }

    fn batch_of_heads(
        &mut self,
        files: Vec<Wanted>,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<Vec<Option<HeadResponse>>> {
        let time = time_for_response(deadline)?;
        let uids: Vec<u32> = files.iter().map(|file| file.uid).collect();
        let number = self.next_number();
        let request = Request::Heads { number, files, time };
        let response = self.request(number, &request, deadline, shutdown)?;
        let Response::Heads { heads, hung, .. } = response else { return None };
        let now = Instant::now();
        for (uid, head) in uids.into_iter().zip(&heads) {
            self.shares.charge(uid, head.took, now);
        }
        self.record_hung(hung);
        Some(heads.into_iter().map(|head| head.response).collect())
    }

    /// Requests hashes of the contents of these opened files, in order. `None`: the content is not that of the open any
    /// more, cannot be read, or there was no response by `deadline`.
    pub fn fingerprints(
        &mut self,
        files: &[Wanted],
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<Fingerprint>> {
        let ask = |number, files, time| Request::Fingerprints { number, files, time };
        let answer = |response| match response {
            Response::Fingerprints { fingerprints, hung, .. } => Some((fingerprints, hung)),
            _ => None,
        };
        self.each(files, |file| file.uid, (&ask, &answer), |_| deadline, shutdown)
    }

    /// Requests a comparison of these files with those that have their paths now, in order. Gives up when some of them take
    /// longer than `patience` together, and at `deadline`. `None`: there was no answer.
    pub fn stale(
        &mut self,
        queries: &[StaleQuery],
        patience: Duration,
        deadline: Instant,
    ) -> Vec<Option<Currency>> {
        let ask = |number, queries, time| Request::Stale { number, queries, time };
        let answer = |response| match response {
            Response::Stale { currencies, hung, .. } => Some((currencies, hung)),
            _ => None,
        };
        let next = |now: Instant| deadline.min(now + patience);
        // The tracer sends these requests at the end of a run, which must not interrupt them.
        self.each(queries, |query| query.uid, (&ask, &answer), next, &Shutdown::default())
    }

    /// Requests the versions of these libraries, in order. `None`: unknown, or no response by `deadline`.
    pub fn versions(
        &mut self,
        libraries: &[LibraryQuery],
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<String>> {
        let ask = |number, libraries, time| Request::Versions { number, libraries, time };
        let answer = |response| match response {
            Response::Versions { versions, hung, .. } => Some((versions, hung)),
            _ => None,
        };
        self.each(libraries, |library| library.uid, (&ask, &answer), |_| deadline, shutdown)
    }

    /// Sends requests about items. `deadline`: of a response whose request is sent now.
    fn each<T: Clone, R>(
        &mut self,
        items: &[T],
        uid: fn(&T) -> u32,
        (ask, answer): (Ask<'_, T>, Answer<'_, R>),
        deadline: impl Fn(Instant) -> Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<R>> {
        let mut answers: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let is_allowed = |item: &T| !self.is_backing_off(uid(item));
        let allowed: Vec<usize> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| is_allowed(item))
            .map(|(index, _)| index)
            .collect();
        for indices in allowed.chunks(MAX_QUERIES) {
            let wanted: Vec<T> = indices.iter().filter_map(|&at| items.get(at).cloned()).collect();
            let until = deadline(Instant::now());
            let Some(time) = time_for_response(until) else { break };
            let number = self.next_number();
            let response = self.request(number, &ask(number, wanted, time), until, shutdown);
            // A slow request delays those that follow.
            let Some((found, hung)) = response.and_then(answer) else { break };
            for (&index, found) in indices.iter().zip(found) {
                if let Some(slot) = answers.get_mut(index) {
                    *slot = found;
                }
            }
            self.record_hung(hung);
        }
        answers
    }

    /// Requests all of a file that plugins may see. `None`: no response by `deadline`, or the user has used up the reader's
    /// time.
    pub fn visible(
        &mut self,
        file: &Wanted,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<HeadResponse> {
        if self.is_backing_off(file.uid) || self.shares.is_used_up(file.uid, Instant::now()) {
            return None;
        }
        let time = time_for_response(deadline)?;
        let number = self.next_number();
        let request = Request::Visible { number, file: Box::new(file.clone()), time };
        let response = self.request(number, &request, deadline, shutdown)?;
        let Response::Visible { visible, hung, .. } = response else { return None };
        self.shares.charge(file.uid, visible.took, Instant::now());
        self.record_hung(hung);
        visible.response
    }

    /// Whether no file of this user is read, because such files repeatedly blocked a thread of the reader.
    fn is_backing_off(&self, uid: u32) -> bool {
        self.backoff.is_backing_off(self.shares.owner(uid))
    }

    /// Notes the users whose files blocked a thread of the reader.
    fn record_hung(&mut self, users: Vec<u32>) {
        for uid in users {
            self.backoff.record_blocked(self.shares.owner(uid));
        }
    }

    /// Requests the IDs of all processes. `None`: no response by `deadline`.
    pub fn all_pids(&mut self, deadline: Instant, shutdown: &Shutdown) -> Option<Vec<u32>> {
        let number = self.next_number();
        match self.request(number, &Request::Pids { number }, deadline, shutdown)? {
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
        match self.request(number, &request, deadline, shutdown)? {
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
            match self.request(number, &request, deadline, shutdown) {
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
        let mut rest = pids.as_slice();
        while !rest.is_empty() {
            let (pids, _) = rest.split_at(rest.len().min(MAX_SCANNED));
            let interest = (bytes < MAX_SCANNED_BYTES).then_some(interest);
            let number = self.next_number();
            let request =
                Request::Scan { number, pids: pids.to_vec(), interest: interest.cloned() };
            let response = self.request(number, &request, deadline, shutdown);
            let Some(Response::Scan { processes: mut page, blocked, next, .. }) = response else {
                if shutdown.is_requested() || processes.is_empty() {
                    return None;
                }
                // What is known by now is better than nothing.
                return Some((processes, unknown + rest.len()));
            };
            let mapped = page.iter().flat_map(|process| &process.mapped);
            bytes += mapped.map(|file| file.path.len() + size_of_val(file)).sum::<usize>();
            unknown += blocked + if interest.is_none() { page.len() } else { 0 };
            processes.append(&mut page);
            let scanned = match next {
                Some(last) => pids.iter().position(|&pid| pid == last)? + 1,
                None => pids.len(),
            };
            rest = rest.get(scanned..)?;
        }
        Some((processes, unknown))
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
            match reader.request(number, &request, deadline, shutdown)? {
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

    /// Resolves cgroup IDs to paths. Returns those for which there was a response by `deadline`; without a path if the
    /// cgroup does not exist any more.
    pub fn cgroups(
        &mut self,
        wanted: &[WantedCgroup],
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Vec<(u64, Option<String>)> {
        let order = self.shares.order(wanted.iter().map(|wanted| wanted.uid), Instant::now());
        let fair = order.into_iter().take(MAX_CGROUPS);
        let wanted: Vec<WantedCgroup> =
            fair.filter_map(|index| wanted.get(index).copied()).collect();
        let Some(time) = time_for_response(deadline).filter(|_| !wanted.is_empty()) else {
            return Vec::new();
        };
        let uids: Vec<u32> = wanted.iter().map(|wanted| wanted.uid).collect();
        let number = self.next_number();
        let request = Request::Cgroups { number, wanted, time };
        match self.request(number, &request, deadline, shutdown) {
            Some(Response::Cgroups { paths, took, .. }) => {
                let now = Instant::now();
                uids.into_iter().for_each(|uid| self.shares.charge(uid, took, now));
                paths
            }
            _ => Vec::new(),
        }
    }

    /// Requests the resource usage of the current reader. `None`: no response by `deadline`.
    pub fn usage(&mut self, deadline: Instant) -> Option<ResourceUsage> {
        let number = self.next_number();
        let request = Request::ResourceUsage { number };
        // The tracer sends this request during the shutdown, which therefore must not interrupt it.
        match self.request(number, &request, deadline, &Shutdown::default())? {
            Response::ResourceUsage { usage, .. } => Some(usage),
            _ => None,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Sends a request and waits for the response.
    fn request(
        &mut self,
        number: u64,
        request: &Request,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> Option<Response> {
        let connection = self.ready(deadline, shutdown)?;
        let sent = send(&connection.socket, request);
        connection.pending = Some(PendingRequest { number, since: Instant::now() });
        if sent.is_err() {
            self.replace(ReaderEnd::Ended);
            return None;
        }
        self.response(deadline, shutdown)
    }

    /// Returns the response to the last request. `None`: there was none by `deadline`.
    fn response(&mut self, deadline: Instant, shutdown: &Shutdown) -> Option<Response> {
        let connection = self.connection.as_mut()?;
        let response = connection.response(deadline, shutdown);
        let is_hung = connection.is_hung();
        match response {
            Err(_) => self.replace(ReaderEnd::Ended),
            Ok(None) if is_hung => self.replace(ReaderEnd::Hung),
            Ok(response) => return response,
        }
        None
    }

    /// Returns a connection without a pending request.
    fn ready(&mut self, deadline: Instant, shutdown: &Shutdown) -> Option<&mut Connection> {
        if self.connection.is_none() && self.backoff.allows_restart() {
            self.spawn(ReaderEnd::Hung);
        }
        if self.connection.as_ref()?.pending.is_some() {
            // The response to the previous request is discarded.
            self.response(deadline, shutdown);
        }
        if self.hold_requests && self.event.is_some() {
            return None;
        }
        self.connection.as_mut().filter(|connection| connection.pending.is_none())
    }

    /// Kills the current reader and starts another one if the backoff allows it.
    fn replace(&mut self, end: ReaderEnd) {
        let Some(connection) = self.connection.take() else { return };
        connection.kill();
        self.backoff.record_end(connection.pid);
        if self.backoff.allows_restart() {
            self.spawn(end);
        } else {
            self.event = Some(ReaderEvent::Off);
        }
    }

    /// Starts a reader. `end`: how the previous one ended.
    fn spawn(&mut self, end: ReaderEnd) {
        if self.spawner_ended {
            return;
        }
        self.event = Some(match Connection::spawn(&self.spawner) {
            Ok(connection) => {
                self.connection = Some(connection);
                ReaderEvent::Replaced(self.pids(), end)
            }
            Err(error) if has_ended(&error) => {
                self.spawner_ended = true;
                ReaderEvent::SpawnerEnded
            }
            Err(_) => {
                self.backoff.record_failed_start();
                ReaderEvent::Off
            }
        });
    }
}

/// Whether the other end of a socket no longer exists.
fn has_ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
}

/// How long the reader may take for a response, so that it arrives in time on a loaded machine too. `None`: there is no
/// time.
fn time_for_response(deadline: Instant) -> Option<Duration> {
    /// Less is not worth a request.
    const MIN: Duration = Duration::from_millis(1);
    let time = deadline.saturating_duration_since(Instant::now()) * 3 / 5;
    (time >= MIN).then_some(time)
}
