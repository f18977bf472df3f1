//! The connection to a reader process, and its pending responses.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::protocol::{MAX_BYTES, Response};
use super::spawner::Spawner;
use crypto_tracer_system::shutdown::Shutdown;

/// A reader without a response for this long counts as hung.
pub(super) const HANG_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval at which a waiting call polls the shutdown signal.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A connected reader process.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) pid: i32,
    pub(super) socket: UnixStream,
    /// Received bytes of an incomplete response.
    received: Vec<u8>,
    pub(super) pending: Option<PendingRequest>,
}

/// A request without a response.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) number: u64,
    /// When the request was sent.
    pub(super) since: Instant,
}

impl Connection {
    /// Starts a reader.
    pub(super) fn spawn(spawner: &Spawner) -> io::Result<Connection> {
        let (pid, socket) = spawner.spawn_reader()?;
        socket.set_write_timeout(Some(Duration::from_millis(50)))?;
        Ok(Connection { pid, socket, received: Vec::new(), pending: None })
    }

    /// Kills the reader without waiting for its end: SIGKILL interrupts most blocked system calls, but not an
    /// uninterruptible wait for a file system.
    pub(super) fn kill(&self) {
        let mut fds = [PollFd::new(&self.socket, PollFlags::empty())];
        // A reader that has closed its end has exited, and its PID may have been reused.
        if poll(&mut fds, Some(&Timespec::default())) == Ok(0) {
            let _ = Pid::from_raw(self.pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }

    /// Whether a response has been pending for longer than [`HANG_TIMEOUT`].
    pub(super) fn is_hung(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.since.elapsed() >= HANG_TIMEOUT)
    }

    /// Returns the response to the pending request. `None`: it was not received by `deadline` or before a shutdown
    /// request.
    pub(super) fn response(
        &mut self,
        deadline: Instant,
        shutdown: &Shutdown,
    ) -> io::Result<Option<Response>> {
        loop {
            while let Some(response) = self.take_response()? {
                let number = response.number();
                if self.pending.take_if(|pending| pending.number == number).is_some() {
                    return Ok(Some(response));
                }
            }
            let time_left = deadline.saturating_duration_since(Instant::now());
            let is_over = time_left.is_zero() || shutdown.is_requested();
            // Data that is already in the socket is read after the deadline too: then the tracer is late, not the
            // reader.
            let timeout = if is_over { Duration::ZERO } else { time_left.min(POLL_INTERVAL) };
            let has_received = self.receive(timeout)?;
            if is_over && !has_received {
                return Ok(None);
            }
        }
    }

    /// Reads available bytes and waits for at most `timeout`, below one second. Returns whether bytes were read.
    fn receive(&mut self, timeout: Duration) -> io::Result<bool> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 16 << 10];
        match self.socket.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.received.extend_from_slice(buffer.split_at(n).0);
                Ok(true)
            }
        }
    }

    /// Takes the first complete message out of the received bytes.
    fn take_response(&mut self) -> io::Result<Option<Response>> {
        let Some((len, rest)) = self.received.split_first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > MAX_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let response = postcard::from_bytes(body).map_err(io::Error::other)?;
        self.received.drain(..4 + len);
        Ok(Some(response))
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::send;
    use super::*;

    /// A connection whose request was sent `age` ago, and the reader's end of the socket.
    fn connection_with_request(age: Duration) -> (Connection, UnixStream) {
        let (socket, reader_socket) = UnixStream::pair().unwrap();
        let since = Instant::now().checked_sub(age).unwrap();
        let pending = Some(PendingRequest { number: 7, since });
        (Connection { pid: 0, socket, received: Vec::new(), pending }, reader_socket)
    }

    #[test]
    fn a_response_in_the_socket_is_read_after_the_deadline() {
        let (mut connection, reader_socket) = connection_with_request(HANG_TIMEOUT * 2);
        assert!(connection.is_hung());
        for number in [6, 7] {
            send(&reader_socket, &Response::Pids { number, pids: vec![1; 10_000] }).unwrap();
        }
        let deadline = Instant::now();
        let response = connection.response(deadline, &Shutdown::default()).unwrap();
        assert_eq!(response.map(|response| response.number()), Some(7));
        assert!(!connection.is_hung() && connection.pending.is_none());
        drop(reader_socket);
        assert!(connection.response(deadline, &Shutdown::default()).is_err());
    }
}
