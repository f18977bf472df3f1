//! A reader's process and what it owes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::protocol::{MOST_BYTES, Response};
use super::spawner::Spawner;
use crypto_tracer_system::shutdown::Shutdown;

/// A reader that owes an answer for so long hangs.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(1);
/// How often the wish to end is looked at while waiting.
const LOOK: Duration = Duration::from_millis(5);

/// A reader that was made and not yet given up.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) pid: i32,
    pub(super) socket: UnixStream,
    /// Bytes of an answer that is not whole yet.
    incoming: Vec<u8>,
    /// The question that was not answered yet.
    pub(super) owes: Option<PendingRequest>,
}

/// Answers to one question that are not there yet.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) number: u64,
    /// When it was asked, or when the last answer came.
    pub(super) since: Instant,
    /// How many, with whose files they are about, where it is files.
    pub(super) left: VecDeque<Option<u32>>,
}

impl Connection {
    /// One that was just made.
    pub(super) fn spawn(spawner: &Spawner) -> io::Result<Connection> {
        let (pid, socket) = spawner.make()?;
        socket.set_write_timeout(Some(Duration::from_millis(50)))?;
        Ok(Connection { pid, socket, incoming: Vec::new(), owes: None })
    }

    /// Most that it may hang at is left when it is killed. One that waits for a file system may not even die then: nobody
    /// waits for it.
    pub(super) fn kill(&self) {
        let mut watched = [PollFd::new(&self.socket, PollFlags::empty())];
        // Whoever has closed its end is gone, and its number may be another one's.
        if poll(&mut watched, Some(&Timespec::default())) == Ok(0) {
            let _ = Pid::from_raw(self.pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }

    /// Whether an answer is owed for too long.
    pub(super) fn hangs(&self) -> bool {
        self.owes.as_ref().is_some_and(|owed| owed.since.elapsed() >= HANGS_AFTER)
    }

    /// The next answer that is owed. None: it did not come in time.
    pub(super) fn answer(
        &mut self,
        until: Instant,
        shutdown: &Shutdown,
    ) -> io::Result<Option<Response>> {
        loop {
            while let Some(answer) = self.whole()? {
                let owed = self.owes.as_mut().filter(|owed| owed.number == answer.number());
                let Some(owed) = owed else { continue };
                owed.since = Instant::now();
                owed.left.pop_front();
                if owed.left.is_empty() {
                    self.owes = None;
                }
                return Ok(Some(answer));
            }
            let left = until.saturating_duration_since(Instant::now());
            let over = left.is_zero() || shutdown.is_requested();
            // What lies there already is taken in any case: it would be the tracer that was late, not the reader.
            let came = self.wait(if over { Duration::ZERO } else { left.min(LOOK) })?;
            if over && !came {
                return Ok(None);
            }
        }
    }

    /// Takes in what there is, waiting at most `most` for it; whether there was anything.
    fn wait(&mut self, most: Duration) -> io::Result<bool> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
        let mut watched = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut part = [0; 16 << 10];
        match self.socket.read(&mut part)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.incoming.extend_from_slice(part.split_at(n).0);
                Ok(true)
            }
        }
    }

    /// A whole message of what came in.
    fn whole(&mut self) -> io::Result<Option<Response>> {
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

#[cfg(test)]
mod tests {
    use super::super::protocol::send;
    use super::*;

    /// One that was asked so long ago, and its end of the socket.
    fn asked(before: Duration) -> (Connection, UnixStream) {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let since = Instant::now().checked_sub(before).unwrap();
        let owes = Some(PendingRequest { number: 7, since, left: [Some(1), Some(2)].into() });
        (Connection { pid: 0, socket, incoming: Vec::new(), owes }, theirs)
    }

    #[test]
    fn an_answer_that_lies_there_is_taken_however_late_it_is_looked_at() {
        let (mut running, theirs) = asked(HANGS_AFTER * 2);
        assert!(running.hangs());
        for number in [6, 7] {
            send(&theirs, &Response::Pids { number, pids: vec![1; 10_000] }).unwrap();
        }
        let over = Instant::now();
        let answer = running.answer(over, &Shutdown::default()).unwrap();
        assert_eq!(answer.map(|answer| answer.number()), Some(7));
        assert!(!running.hangs(), "the next one is owed since now");
        assert_eq!(running.owes.as_ref().unwrap().left, [Some(2)]);
        assert!(running.answer(over, &Shutdown::default()).unwrap().is_none());
        drop(theirs);
        assert!(running.answer(over, &Shutdown::default()).is_err());
    }
}
