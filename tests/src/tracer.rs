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

/// Time limit for a run to end after the request. The documented limit is 100 ms; the margin is for a loaded machine.
const END: Duration = Duration::from_secs(5);

/// A tracer that has reported that it is ready. Dropping it kills the process.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
    /// Whether the command is crypto-tracer itself, so its output must match docs/schema.
    checks_schema: bool,
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

/// Result of a run.
#[derive(Debug)]
pub struct Ended {
    /// Exit status.
    pub status: ExitStatus,
    /// All events of standard output.
    pub events: Vec<Event>,
    /// Lines of standard error.
    pub said: Vec<String>,
}

/// Counts of the last line of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Printed events.
    pub shown: u64,
    /// Events that filters excluded.
    pub filtered: u64,
    /// Lost events.
    pub lost: u64,
}

impl Tracer {
    /// Starts `crypto-tracer monitor` with these options and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If the tracer ends, or is not ready in time.
    pub fn monitor<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Tracer {
        Tracer::command("monitor", options)
    }

    /// Like [`Tracer::monitor`], with another command.
    ///
    /// # Panics
    ///
    /// If the tracer ends, or is not ready in time.
    pub fn command<S: AsRef<OsStr>>(name: &str, options: impl IntoIterator<Item = S>) -> Tracer {
        let mut command = Command::new(program());
        command.arg(name).args(options);
        Tracer::start(command)
    }

    /// Starts a command and waits until it reports that it is ready.
    ///
    /// # Panics
    ///
    /// If the command ends, or is not ready in time.
    pub fn start(command: Command) -> Tracer {
        let mut tracer = Tracer::start_unread(command);
        tracer.read();
        tracer
    }

    /// Like [`Tracer::start`], but does not read standard output before [`Tracer::read`] is called.
    ///
    /// # Panics
    ///
    /// If the command ends, or is not ready in time.
    pub fn start_unread(mut command: Command) -> Tracer {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let checks_schema = Path::new(command.get_program()).ends_with("crypto-tracer");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let shared = Arc::new(Shared::default());
        let stdout = child.stdout.take();
        let errors = child.stderr.take().expect("standard error is a pipe");
        let reader = each_line(errors, &shared, |seen, line| seen.said.push(line));
        let mut tracer = Tracer { child, shared, readers: vec![reader], checks_schema, stdout };
        tracer.wait_for_ready();
        tracer
    }

    fn wait_for_ready(&mut self) {
        until("the tracer to be ready", || {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() {
                // Reads the rest of standard error before the check below.
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

    /// Begins to read standard output.
    pub fn read(&mut self) {
        if let Some(stdout) = self.stdout.take() {
            self.readers.push(each_line(stdout, &self.shared, |seen, line| seen.lines.push(line)));
        }
    }

    /// Closes the read end of the standard output pipe.
    pub fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns all events so far.
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().lines.iter().map(|line| Event::of(line)).collect()
    }

    /// Returns the lines of standard error so far.
    pub fn said(&self) -> Vec<String> {
        self.shared.lock().said.clone()
    }

    /// Waits for an event for which `wanted` returns true, and returns that event.
    ///
    /// # Panics
    ///
    /// If it does not come in time; `what` names the awaited event.
    pub fn wait_for(&self, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        let end = Instant::now() + DEADLINE;
        let mut checked = 0;
        let mut seen = self.shared.lock();
        loop {
            let found = seen
                .lines
                .iter()
                .skip(checked)
                .map(|line| Event::of(line))
                .find(|event| wanted(event));
            if let Some(event) = found {
                return event;
            }
            checked = seen.lines.len();
            let remaining = end.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                let last: Vec<_> = seen.lines.iter().rev().take(20).rev().cloned().collect();
                let (all, last, said) = (seen.lines.len(), last.join("\n"), seen.said.join("\n"));
                drop(seen);
                panic!(
                    "waited {DEADLINE:?} for {what}; the last of {all} events:\n{last}\nstandard error:\n{said}"
                );
            }
            let waited = self.shared.more.wait_timeout(seen, remaining);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the exit of a process, and returns all its events.
    ///
    /// The events of a thread are in order. The exit of a process is its last event, and events of different threads are
    /// sorted together, so no event of the process follows its exit.
    ///
    /// # Panics
    ///
    /// If the exit is not reported in time.
    pub fn all_of(&self, pid: u32) -> Vec<Event> {
        let what = format!("the exit of process {pid}");
        self.wait_for(&what, |event| event.kind() == "process_exit" && event.pid() == Some(pid));
        self.events().into_iter().filter(|event| event.pid() == Some(pid)).collect()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: the call accesses no memory, and the child was not waited for.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// Waits for the run to end by itself.
    ///
    /// # Panics
    ///
    /// If it does not end within `limit`, or printed an event that does not match its schema.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let end = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => assert!(Instant::now() < end, "the run did not end within {limit:?}"),
                Err(error) => panic!("cannot wait for the tracer: {error}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        self.read();
        self.join();
        if self.checks_schema {
            schema::check_printed(&self.shared.lock().lines.join("\n"));
        }
        Ended { status, events: self.events(), said: self.said() }
    }

    /// Ends the run with SIGINT, as Ctrl+C does.
    ///
    /// # Panics
    ///
    /// If the run does not end in time, or its exit code is not 0.
    pub fn finish(self) -> Ended {
        self.signal(libc::SIGINT);
        let ended = self.wait(END);
        assert_eq!(ended.status.code(), Some(0), "{}", ended.said.join("\n"));
        ended
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Both calls have no effect on a process that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Returns all events in the output file of a run.
    ///
    /// # Panics
    ///
    /// If the file cannot be read, or has an event that does not match its schema.
    pub fn events_in(path: &Path) -> Vec<Event> {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        schema::check_printed(&text);
        text.lines().map(Event::of).collect()
    }

    /// Returns the counts of the last line on standard error.
    ///
    /// # Panics
    ///
    /// If that line is missing.
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
    fn summary_is_parsed_from_the_last_line() {
        let said = "crypto-tracer: ready: tp\n\
                    crypto-tracer: 5 events shown, 2 filtered, 3 lost (ring_full 3); 10 records received";
        assert_eq!(ended(said).summary(), Summary { shown: 5, filtered: 2, lost: 3 });
    }

    #[test]
    #[should_panic(expected = "no line counts events")]
    fn run_without_a_summary_fails() {
        ended("crypto-tracer: ready").summary();
    }

    #[test]
    fn output_of_a_program_is_collected() {
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
    fn program_that_ends_before_it_is_ready_fails() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no luck >&2; exit 3"]);
        Tracer::start(command);
    }
}
