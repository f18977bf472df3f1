//! The reader's process, seen from the tracer.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::nursery;
use super::protocol::{
    Answer, HeadAnswer, HeadQuestion, Kin, LookedAt, MOST_BYTES, Question, SeenProcess, send,
};
use crate::interest::Interest;
use crate::stats::Usage;
use crate::stop::Stop;

/// Files in one question. 256 heads of 64 KiB stay below the longest message.
const MOST_FILES: usize = 256;
/// How often a reader that hangs is replaced.
const MOST_REPLACED: u32 = 4;
/// A reader that owes an answer for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(1);
/// How often the wish to end is looked at while waiting.
const LOOK: Duration = Duration::from_millis(5);

/// How long the making of a reader may take.
const BIRTH: Duration = Duration::from_secs(2);

/// A reader that can be asked, or the memory of those that hung.
#[derive(Debug)]
pub struct Reader {
    nursery: Nursery,
    running: Option<Running>,
    number: u64,
    replaced: u32,
    /// What nobody was told yet.
    news: Option<News>,
    /// A new reader is asked only when [`Reader::news`] told of it.
    shy: bool,
}

/// What became of a reader that hung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Another one took its place: what [`Reader::pids`] says now.
    Replaced(Vec<u32>),
    /// There is none any more: nothing is looked at from now on.
    Off,
}

/// The process that makes readers.
#[derive(Debug)]
struct Nursery {
    child: Child,
    control: UnixStream,
}

#[derive(Debug)]
struct Running {
    pid: i32,
    socket: UnixStream,
    /// Bytes of an answer that is not whole yet.
    incoming: Vec<u8>,
    /// The question that was not answered yet, and when it was asked.
    owes: Option<(u64, Instant)>,
}

impl Reader {
    /// Starts the process.
    pub fn start() -> io::Result<Reader> {
        let nursery = Nursery::start()?;
        let running = Some(nursery.make()?);
        Ok(Reader { nursery, running, number: 0, replaced: 0, news: None, shy: false })
    }

    /// From now on a new reader waits until somebody took the news of it: its own opens shall not be traced.
    pub fn wait_to_be_known(&mut self) {
        self.shy = true;
    }

    /// What became of the reader since the last time, if anything.
    pub fn news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// Process ids of the reader and of the process that makes readers, to be left out of the trace.
    pub fn pids(&self) -> Vec<u32> {
        let running = self.running.as_ref().and_then(|running| u32::try_from(running.pid).ok());
        running.into_iter().chain([self.nursery.child.id()]).collect()
    }

    /// Asks for heads, in order. An answer that is not there by `until`, or when `stop` is asked, is None.
    pub fn heads(
        &mut self,
        files: &[HeadQuestion],
        until: Instant,
        stop: &Stop,
    ) -> Vec<Option<HeadAnswer>> {
        let mut heads = Vec::with_capacity(files.len());
        for files in files.chunks(MOST_FILES) {
            let number = self.next_number();
            let question = Question::Heads { number, files: files.to_vec() };
            let mut answers = match self.ask(number, &question, until, stop) {
                Some(Answer::Heads { heads, .. }) => heads,
                _ => Vec::new(),
            }
            .into_iter();
            heads.extend(files.iter().map(|_| answers.next()));
        }
        heads
    }

    /// Asks for all processes. None: they did not come by `until`.
    pub fn scan(&mut self, until: Instant, stop: &Stop) -> Option<Vec<SeenProcess>> {
        let number = self.next_number();
        match self.ask(number, &Question::Scan { number }, until, stop)? {
            Answer::Scan { processes, .. } => Some(processes),
            _ => None,
        }
    }

    /// Asks for all processes and their parents. None: they did not come by `until`.
    pub fn kin(&mut self, until: Instant, stop: &Stop) -> Option<Vec<Kin>> {
        let number = self.next_number();
        match self.ask(number, &Question::Kin { number }, until, stop)? {
            Answer::Kin { kin, .. } => Some(kin),
            _ => None,
        }
    }

    /// Looks into at most `most` processes whose ids are above `after`; with them comes where to go on, if there are
    /// more. None: they did not come by `until`.
    pub fn page(
        &mut self,
        (after, most): (u32, usize),
        interest: &Interest,
        until: Instant,
        stop: &Stop,
    ) -> Option<(Vec<LookedAt>, Option<u32>)> {
        let number = self.next_number();
        let question = Question::Page { number, after, most, interest: interest.clone() };
        match self.ask(number, &question, until, stop)? {
            Answer::Looked { processes, next, .. } => Some((processes, next)),
            _ => None,
        }
    }

    /// Looks into these processes. None: they did not come by `until`.
    pub fn look(
        &mut self,
        pids: &[u32],
        interest: &Interest,
        until: Instant,
        stop: &Stop,
    ) -> Option<Vec<LookedAt>> {
        let (mut looked, mut rest) = (Vec::new(), pids);
        // What is too much for one answer comes in several.
        loop {
            let number = self.next_number();
            let pids = rest.to_vec();
            let question = Question::Look { number, pids, interest: interest.clone() };
            let answer = self.ask(number, &question, until, stop)?;
            let Answer::Looked { mut processes, next, .. } = answer else { return None };
            looked.append(&mut processes);
            let Some(last) = next else { return Some(looked) };
            let behind = rest.iter().position(|&pid| pid == last)? + 1;
            rest = rest.get(behind..)?;
        }
    }

    /// Asks for the paths of cgroups, in order; each id comes with a process that was in it.
    pub fn cgroups(
        &mut self,
        wanted: &[(u64, u32)],
        until: Instant,
        stop: &Stop,
    ) -> Vec<Option<String>> {
        let number = self.next_number();
        let question = Question::Cgroups { number, wanted: wanted.to_vec() };
        match self.ask(number, &question, until, stop) {
            Some(Answer::Cgroups { paths, .. }) => paths,
            _ => Vec::new(),
        }
    }

    /// What the reader that runs has used. None: it did not say by `until`.
    pub fn usage(&mut self, until: Instant) -> Option<Usage> {
        let number = self.next_number();
        // It is asked when the run ends: the wish to end is no reason not to wait.
        match self.ask(number, &Question::Usage { number }, until, &Stop::default())? {
            Answer::Usage { usage, .. } => Some(usage),
            _ => None,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn ask(
        &mut self,
        number: u64,
        question: &Question,
        until: Instant,
        stop: &Stop,
    ) -> Option<Answer> {
        let running = self.ready(until, stop)?;
        let asked = send(&running.socket, question);
        running.owes = Some((number, Instant::now()));
        match asked.and_then(|()| running.answer(until, stop)) {
            Ok(answer) => answer,
            Err(_) => {
                self.replace();
                None
            }
        }
    }

    /// A reader that owes nothing.
    fn ready(&mut self, until: Instant, stop: &Stop) -> Option<&mut Running> {
        let running = self.running.as_mut()?;
        if let Some((_, since)) = running.owes {
            // Whatever comes now answers an old question.
            let late = running.answer(until, stop);
            let hangs = running.owes.is_some() && since.elapsed() >= HANGS_AFTER;
            if late.is_err() || hangs {
                self.replace();
            }
        }
        if self.shy && self.news.is_some() {
            return None;
        }
        self.running.as_mut().filter(|running| running.owes.is_none())
    }

    /// Leaves this reader to itself and starts another one, a few times.
    fn replace(&mut self) {
        // It ends when it finds its socket closed. One that waits for a file system would not even die when it
        // is killed; nobody waits for it.
        self.running = None;
        if self.replaced < MOST_REPLACED {
            self.replaced += 1;
            self.running = self.nursery.make().ok();
        }
        self.news = Some(match self.running {
            Some(_) => News::Replaced(self.pids()),
            None => News::Off,
        });
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nursery {
    fn start() -> io::Result<Nursery> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0("crypto-tracer-reader")
            .arg(super::ARGUMENT)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl+C is for the tracer: the reader ends when its socket closes.
            .process_group(0)
            .spawn()?;
        ours.set_read_timeout(Some(BIRTH))?;
        Ok(Nursery { child, control: ours })
    }

    fn make(&self) -> io::Result<Running> {
        let (ours, theirs) = UnixStream::pair()?;
        nursery::ask(self.control.as_fd(), theirs.as_fd())?;
        let mut pid = [0; 4];
        (&self.control).read_exact(&mut pid)?;
        let pid = i32::from_le_bytes(pid);
        if pid <= 0 {
            return Err(io::Error::other("no reader could be forked"));
        }
        ours.set_write_timeout(Some(Duration::from_millis(50)))?;
        Ok(Running { pid, socket: ours, incoming: Vec::new(), owes: None })
    }
}

impl Running {
    /// The answer that is owed. None: it did not come in time.
    fn answer(&mut self, until: Instant, stop: &Stop) -> io::Result<Option<Answer>> {
        loop {
            while let Some(answer) = self.whole()? {
                if self.owes.is_some_and(|(owed, _)| owed == answer.number()) {
                    self.owes = None;
                    return Ok(Some(answer));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.is_asked() {
                return Ok(None);
            }
            self.wait(left.min(LOOK))?;
        }
    }

    /// Takes in what there is, waiting at most `most` for it.
    fn wait(&mut self, most: Duration) -> io::Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
        let mut watched = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut part = [0; 16 << 10];
        match self.socket.read(&mut part)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.incoming.extend_from_slice(part.split_at(n).0);
                Ok(())
            }
        }
    }

    /// A whole message of what came in.
    fn whole(&mut self) -> io::Result<Option<Answer>> {
        let Some((len, rest)) = self.incoming.split_first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > MOST_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let answer = postcard::from_bytes(body).map_err(io::Error::other)?;
        self.incoming.drain(..4 + len);
        Ok(Some(answer))
    }
}
