//! The reader's process, seen from the tracer.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::connection::{Connection, HANGS_AFTER, PendingRequest};
use super::protocol::{
    Ancestry, ExistingProcess, HeadResponse, ProcessDetails, Request, Response, Wanted, send,
};
use super::restart_backoff::RestartBackoff;
use super::spawner::Spawner;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::usage::ResourceUsage;

/// Files in one question.
const MOST_FILES: usize = 256;
/// Processes in one question about how they were before the tracer.
const MOST_SCANNED: usize = 256;
/// Bytes of libraries that processes had before. Of those behind it only that they are there is known.
const MOST_SCANNED_BYTES: usize = 32 << 20;

/// Before a reader that did not answer, or is not there, is asked once more.
const AGAIN: Duration = Duration::from_millis(10);

/// A reader that can be asked, or the memory of those that hung.
#[derive(Debug)]
pub struct ReaderClient {
    spawner: Spawner,
    running: Option<Connection>,
    number: u64,
    hung: RestartBackoff,
    /// What nobody was told yet.
    news: Option<ReaderEvent>,
    /// A new reader is asked only when [`ReaderClient::news`] told of it.
    shy: bool,
}

/// What became of a reader that hung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderEvent {
    /// Another one took its place: what [`ReaderClient::pids`] says now, and whose file it was.
    Replaced(Vec<u32>, Option<u32>),
    /// There is none for now.
    Off,
}

impl ReaderClient {
    /// Starts the process.
    pub fn start(spawner: Spawner) -> io::Result<ReaderClient> {
        let running = Some(Connection::spawn(&spawner)?);
        let hung = RestartBackoff::default();
        Ok(ReaderClient { spawner, running, number: 0, hung, news: None, shy: false })
    }

    /// From now on a new reader waits until somebody took the news of it: its own opens shall not be traced.
    pub fn wait_until_ready(&mut self) {
        self.shy = true;
    }

    /// What became of the reader since the last time, if anything.
    pub fn news(&mut self) -> Option<ReaderEvent> {
        self.news.take()
    }

    /// Process ids of the reader and of the process that makes readers, to be left out of the trace.
    pub fn pids(&self) -> Vec<u32> {
        let running = self.running.as_ref().and_then(|running| u32::try_from(running.pid).ok());
        running.into_iter().chain([self.spawner.pid()]).collect()
    }

    /// Asks for heads, in order. An answer that is not there by `until`, or when `shutdown` is asked, is None.
    pub fn heads(
        &mut self,
        files: &[Wanted],
        until: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<HeadResponse>> {
        files.chunks(MOST_FILES).flat_map(|files| self.some_heads(files, until, shutdown)).collect()
    }

    fn some_heads(
        &mut self,
        files: &[Wanted],
        until: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<HeadResponse>> {
        let mut heads = vec![None; files.len()];
        // Who made readers hang is left alone for a while: then it is he who has no heads, and nobody else.
        let details_of = |(_, file): &(usize, &Wanted)| !self.hung.is_backing_off(file.uid);
        let (places, files): (Vec<usize>, Vec<Wanted>) = files
            .iter()
            .enumerate()
            .filter(details_of)
            .map(|(place, file)| (place, file.clone()))
            .unzip();
        if files.is_empty() {
            return heads;
        }
        let number = self.next_number();
        let whose = files.iter().map(|file| Some(file.uid)).collect();
        let mut asked = self.ask(number, &Request::Heads { number, files }, whose, until, shutdown);
        for place in places {
            let Some(Response::Head { head, .. }) = asked else { break };
            if let Some(slot) = heads.get_mut(place) {
                *slot = Some(head);
            }
            asked = self.more(until, shutdown);
        }
        heads
    }

    /// Asks for the ids of all processes. None: they did not come by `until`.
    pub fn all_pids(&mut self, until: Instant, shutdown: &Shutdown) -> Option<Vec<u32>> {
        let number = self.next_number();
        match self.ask_once(number, &Request::Pids { number }, until, shutdown)? {
            Response::Pids { pids, .. } => Some(pids),
            _ => None,
        }
    }

    /// Asks for all processes and their parents, again where there was no time for all, or the reader hung. None: they did
    /// not come by `until`.
    pub fn kin(&mut self, until: Instant, shutdown: &Shutdown) -> Option<Vec<Ancestry>> {
        loop {
            let number = self.next_number();
            let answer = self.ask_once(number, &Request::Ancestry { number }, until, shutdown);
            match answer {
                Some(Response::Ancestry { kin, whole: true, .. }) => return Some(kin),
                _ if shutdown.is_requested() || Instant::now() >= until => return None,
                Some(_) => {}
                None => std::thread::sleep(AGAIN),
            }
        }
    }

    /// Asks for all processes, with the libraries of this interest; and how many there are of which only that they are
    /// there could be known. None: they did not come by `until`.
    pub fn scan(
        &mut self,
        interest: &Interest,
        until: Instant,
        shutdown: &Shutdown,
    ) -> Option<(Vec<ExistingProcess>, usize)> {
        let pids = self.all_pids(until, shutdown)?;
        let (mut seen, mut hidden, mut bytes) = (Vec::new(), 0, 0);
        let mut waiting: VecDeque<&[u32]> = pids.chunks(MOST_SCANNED).collect();
        while let Some(pids) = waiting.pop_front() {
            let left = until.saturating_duration_since(Instant::now());
            // One that hangs shall leave time for the others.
            let soon = Instant::now() + (left / 3).max(HANGS_AFTER).min(left);
            let interest = (bytes < MOST_SCANNED_BYTES).then_some(interest);
            match self.scan_these(pids, interest, soon, shutdown) {
                Some(mut some) => {
                    let mapped = some.iter().flat_map(|process| &process.mapped);
                    bytes += mapped.map(|file| file.path.len() + size_of_val(file)).sum::<usize>();
                    hidden += if interest.is_none() { some.len() } else { 0 };
                    seen.append(&mut some);
                }
                None if shutdown.is_requested() || left.is_zero() => return None,
                None if pids.len() > 1 => {
                    pids.chunks(1).rev().for_each(|pid| waiting.push_front(pid))
                }
                None => {
                    hidden += 1;
                    seen.append(
                        &mut self.scan_these(pids, None, soon, shutdown).unwrap_or_default(),
                    );
                }
            }
        }
        Some((seen, hidden))
    }

    fn scan_these(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        until: Instant,
        shutdown: &Shutdown,
    ) -> Option<Vec<ExistingProcess>> {
        self.in_parts(pids, |reader, number, pids| {
            let question = Request::Scan { number, pids, interest: interest.cloned() };
            match reader.ask_once(number, &question, until, shutdown)? {
                Response::Scan { processes, next, .. } => Some((processes, next)),
                _ => None,
            }
        })
    }

    /// Looks into these processes; without an interest only at who they are. None: not all came by `until`.
    pub fn look(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        until: Instant,
        shutdown: &Shutdown,
    ) -> Option<Vec<ProcessDetails>> {
        self.in_parts(pids, |reader, number, pids| {
            let question = Request::Look { number, pids, interest: interest.cloned() };
            match reader.ask_once(number, &question, until, shutdown)? {
                Response::Looked { processes, next, .. } => Some((processes, next)),
                _ => None,
            }
        })
    }

    /// What is too much for one answer comes in several.
    fn in_parts<T>(
        &mut self,
        pids: &[u32],
        mut ask: impl FnMut(&mut ReaderClient, u64, Vec<u32>) -> Option<(Vec<T>, Option<u32>)>,
    ) -> Option<Vec<T>> {
        let (mut all, mut rest) = (Vec::new(), pids);
        loop {
            let number = self.next_number();
            let (mut some, next) = ask(self, number, rest.to_vec())?;
            all.append(&mut some);
            let Some(last) = next else { return Some(all) };
            let behind = rest.iter().position(|&pid| pid == last)? + 1;
            rest = rest.get(behind..)?;
        }
    }

    /// Asks for the paths of cgroups, in order; each id comes with a process that was in it.
    pub fn cgroups(
        &mut self,
        wanted: &[(u64, u32)],
        until: Instant,
        shutdown: &Shutdown,
    ) -> Vec<Option<String>> {
        let number = self.next_number();
        let question = Request::Cgroups { number, wanted: wanted.to_vec() };
        match self.ask_once(number, &question, until, shutdown) {
            Some(Response::Cgroups { paths, .. }) => paths,
            _ => Vec::new(),
        }
    }

    /// What the reader that runs has used. None: it did not say by `until`.
    pub fn usage(&mut self, until: Instant) -> Option<ResourceUsage> {
        let number = self.next_number();
        // It is asked when the run ends: the wish to end is no reason not to wait.
        match self.ask_once(
            number,
            &Request::ResourceUsage { number },
            until,
            &Shutdown::default(),
        )? {
            Response::ResourceUsage { usage, .. } => Some(usage),
            _ => None,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn ask_once(
        &mut self,
        number: u64,
        question: &Request,
        until: Instant,
        shutdown: &Shutdown,
    ) -> Option<Response> {
        self.ask(number, question, [None].into(), until, shutdown)
    }

    /// Asks, and waits for the first answer of as many as `whose` has.
    fn ask(
        &mut self,
        number: u64,
        question: &Request,
        whose: VecDeque<Option<u32>>,
        until: Instant,
        shutdown: &Shutdown,
    ) -> Option<Response> {
        let running = self.ready(until, shutdown)?;
        let asked = send(&running.socket, question);
        running.owes = Some(PendingRequest { number, since: Instant::now(), left: whose });
        match asked {
            Ok(()) => self.more(until, shutdown),
            Err(_) => {
                self.replace();
                None
            }
        }
    }

    /// The next answer to the last question. None: there is no more, or it is late.
    fn more(&mut self, until: Instant, shutdown: &Shutdown) -> Option<Response> {
        let running = self.running.as_mut()?;
        running.owes.as_ref()?;
        let answer = running.answer(until, shutdown);
        if answer.is_err() || running.hangs() {
            self.replace();
        }
        answer.ok().flatten()
    }

    /// A reader that owes nothing.
    fn ready(&mut self, until: Instant, shutdown: &Shutdown) -> Option<&mut Connection> {
        if self.running.is_none() && self.hung.may_be_replaced() {
            self.renew(None);
        }
        let running = self.running.as_mut()?;
        while running.owes.is_some() {
            // Whatever comes now answers an old question.
            let late = running.answer(until, shutdown);
            if late.is_err() || running.hangs() {
                self.replace();
                break;
            }
            if late.is_ok_and(|late| late.is_none()) {
                break;
            }
        }
        if self.shy && self.news.is_some() {
            return None;
        }
        self.running.as_mut().filter(|running| running.owes.is_none())
    }

    /// Leaves this reader to itself and starts another one, if there were not too many.
    fn replace(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.kill();
        let whose = running.owes.and_then(|owed| owed.left.front().copied().flatten());
        self.hung.count(running.pid, whose);
        if self.hung.may_be_replaced() {
            self.renew(whose);
        } else {
            self.news = Some(ReaderEvent::Off);
        }
    }

    fn renew(&mut self, whose: Option<u32>) {
        self.running = Connection::spawn(&self.spawner).ok();
        self.news = Some(match self.running {
            Some(_) => ReaderEvent::Replaced(self.pids(), whose),
            None => ReaderEvent::Off,
        });
    }
}
