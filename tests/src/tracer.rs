//! A running tracer.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::program::program;
use crate::schema;
use crate::wait::{DEADLINE, until};

/// How long a run may take to end once it is asked to. The contract says 100 ms; the rest is the machine's.
const END: Duration = Duration::from_secs(5);

/// A tracer that said that it is ready. Dropped, it is killed.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
    /// It is the program itself, so what it prints is what docs/schema says.
    described: bool,
    stdout: Option<std::process::ChildStdout>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    said: Vec<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// As the system tells it.
    pub status: ExitStatus,
    /// All that was printed on standard output.
    pub events: Vec<Event>,
    /// The lines on standard error.
    pub said: Vec<String>,
}

/// What the last line of a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Events that were printed.
    pub shown: u64,
    /// Events that filters left out.
    pub filtered: u64,
    /// Events that are missing.
    pub lost: u64,
}

impl Tracer {
    /// Starts `crypto-tracer monitor` with these options and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends, or is not ready in time.
    pub fn monitor<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Tracer {
        Tracer::command("monitor", options)
    }

    /// As [`Tracer::monitor`], with another command.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn command<S: AsRef<OsStr>>(name: &str, options: impl IntoIterator<Item = S>) -> Tracer {
        let mut command = Command::new(program());
        command.arg(name).args(options);
        Tracer::start(command)
    }

    /// Starts a command and waits until it says that it is ready.
    ///
    /// # Panics
    ///
    /// When it ends, or is not ready in time.
    pub fn start(command: Command) -> Tracer {
        let mut tracer = Tracer::start_unread(command);
        tracer.read();
        tracer
    }

    /// As [`Tracer::start`], but nobody reads its standard output until [`Tracer::read`] is called.
    ///
    /// # Panics
    ///
    /// When it ends, or is not ready in time.
    pub fn start_unread(mut command: Command) -> Tracer {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let described = Path::new(command.get_program()).ends_with("crypto-tracer");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let shared = Arc::new(Shared::default());
        let stdout = child.stdout.take();
        let errors = child.stderr.take().expect("standard error is a pipe");
        let reader = each_line(errors, &shared, |seen, line| seen.said.push(line));
        let mut tracer = Tracer { child, shared, readers: vec![reader], described, stdout };
        tracer.wait_for_ready();
        tracer
    }

    fn wait_for_ready(&mut self) {
        until("the tracer to be ready", || {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() {
                // All that it said, before judging.
                self.join();
            }
            let ready = self.shared.lock().said.iter().any(|line| line.contains("ready"));
            match ended {
                Some(status) if !ready => {
                    panic!("the tracer ended with {status}: {}", self.said().join("\n"))
                }
                _ => ready.then_some(()),
            }
        });
    }

    fn join(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("the reader of a pipe ends with it");
        }
    }

    /// Begins to read its standard output.
    pub fn read(&mut self) {
        if let Some(stdout) = self.stdout.take() {
            self.readers.push(each_line(stdout, &self.shared, |seen, line| seen.lines.push(line)));
        }
    }

    /// Closes our end of its standard output.
    pub fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All events up to now.
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().lines.iter().map(|line| Event::of(line)).collect()
    }

    /// The lines on standard error up to now.
    pub fn said(&self) -> Vec<String> {
        self.shared.lock().said.clone()
    }

    /// Waits until an event is there that is wanted.
    ///
    /// # Panics
    ///
    /// When there is none in time; `what` says what was waited for.
    pub fn wait_for(&self, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        let end = Instant::now() + DEADLINE;
        let mut looked = 0;
        let mut seen = self.shared.lock();
        loop {
            let found = seen
                .lines
                .iter()
                .skip(looked)
                .map(|line| Event::of(line))
                .find(|event| wanted(event));
            if let Some(event) = found {
                return event;
            }
            looked = seen.lines.len();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let last: Vec<_> = seen.lines.iter().rev().take(20).rev().cloned().collect();
                let (all, last, said) = (seen.lines.len(), last.join("\n"), seen.said.join("\n"));
                drop(seen);
                panic!(
                    "waited {DEADLINE:?} for {what}; the last of {all} events:\n{last}\nsaid:\n{said}"
                );
            }
            let waited = self.shared.more.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the exit of a process, and returns all events of it.
    ///
    /// Events of one process come in order, and other threads' at most 1 ms late, so nothing of it is behind its exit.
    ///
    /// # Panics
    ///
    /// When its exit is not told in time.
    pub fn all_of(&self, pid: u32) -> Vec<Event> {
        let what = format!("the exit of process {pid}");
        self.wait_for(&what, |event| event.kind() == "process_exit" && event.pid() == Some(pid));
        self.events().into_iter().filter(|event| event.pid() == Some(pid)).collect()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: no memory is involved, and the child is ours and not waited for.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// Waits for its end without asking for it.
    ///
    /// # Panics
    ///
    /// When it does not end within `limit`, or printed an event that is not what its schema says.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let end = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => assert!(Instant::now() < end, "it did not end within {limit:?}"),
                Err(error) => panic!("cannot wait for it: {error}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        self.read();
        self.join();
        if self.described {
            schema::check_printed(&self.shared.lock().lines.join("\n"));
        }
        Ended { status, events: self.events(), said: self.said() }
    }

    /// Ends it as Ctrl+C does.
    ///
    /// # Panics
    ///
    /// When it does not end in time, or not with exit code 0.
    pub fn finish(self) -> Ended {
        self.signal(libc::SIGINT);
        let ended = self.wait(END);
        assert_eq!(ended.status.code(), Some(0), "{}", ended.said.join("\n"));
        ended
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Waited for already: both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Where a program's regular output went: every line of a file.
    ///
    /// # Panics
    ///
    /// When the file cannot be read, or has an event that is not what its schema says.
    pub fn events_in(path: &Path) -> Vec<Event> {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        schema::check_printed(&text);
        text.lines().map(Event::of).collect()
    }

    /// What the last line on standard error counts.
    ///
    /// # Panics
    ///
    /// When there is no such line.
    pub fn summary(&self) -> Summary {
        let line = self
            .said
            .iter()
            .rev()
            .find(|line| line.contains(" shown, "))
            .unwrap_or_else(|| panic!("no line counts events:\n{}", self.said.join("\n")));
        // `1 event shown`, `5 events shown`
        let line = line.replace(" event ", " events ");
        let before = |words: &str| {
            line.split(words)
                .next()
                .and_then(|text| text.rsplit([' ', ',']).next())
                .and_then(|number| number.parse().ok())
                .unwrap_or_else(|| panic!("no number before {words:?}: {line}"))
        };
        Summary {
            shown: before(" events shown"),
            filtered: before(" filtered"),
            lost: before(" lost"),
        }
    }
}

fn each_line(
    pipe: impl Read + Send + 'static,
    shared: &Arc<Shared>,
    keep: fn(&mut Seen, String),
) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            keep(&mut shared.lock(), text);
            shared.more.notify_all();
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn ended(said: &str) -> Ended {
        let said = said.lines().map(str::to_owned).collect();
        Ended { status: ExitStatus::from_raw(0), events: Vec::new(), said }
    }

    #[test]
    fn the_last_line_is_counted() {
        let said = "crypto-tracer: ready: tp\n\
                    crypto-tracer: 5 events shown, 2 filtered, 3 lost (ring_full 3); 10 records received";
        assert_eq!(ended(said).summary(), Summary { shown: 5, filtered: 2, lost: 3 });
    }

    #[test]
    #[should_panic(expected = "no line counts events")]
    fn a_run_that_counts_nothing_fails() {
        ended("crypto-tracer: ready").summary();
    }

    #[test]
    fn what_a_program_prints_is_collected() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready >&2; echo '{\"event_type\":\"x\",\"pid\":3}'; exit 4"]);
        let tracer = Tracer::start(command);
        let event = tracer.wait_for("x", |event| event.kind() == "x");
        assert_eq!(event.pid(), Some(3));
        let ended = tracer.wait(END);
        assert_eq!((ended.status.code(), ended.events.len()), (Some(4), 1));
    }

    #[test]
    #[should_panic(expected = "the tracer ended with exit status: 3: no luck")]
    fn a_program_that_is_never_ready_fails() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no luck >&2; exit 3"]);
        Tracer::start(command);
    }
}
