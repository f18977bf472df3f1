//! Child processes whose actions the tests trace.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Runs a program to its end, discards its output, and returns its process id.
///
/// # Panics
///
/// If the program cannot be started.
pub fn run(command: &mut Command) -> u32 {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = child.id();
    child.wait().expect("the child was not waited for");
    pid
}

/// The program `actor` of this crate, started but waiting for [`Actor::go`]. Dropping it kills the process.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    printed: Option<BufReader<ChildStdout>>,
    is_waiting: bool,
}

/// Starts the program `actor`. The arguments select what it does after [`Actor::go`].
#[macro_export]
macro_rules! actor {
    ($($argument:expr),+ $(,)?) => {
        $crate::Actor::start(env!("CARGO_BIN_EXE_actor"), &[$(std::ffi::OsStr::new($argument)),+])
    };
}

impl Actor {
    /// Starts the program at this path; [`actor!`](crate::actor) supplies the path.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    pub fn start(program: &str, arguments: &[&std::ffi::OsStr]) -> Actor {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = child.stdout.take().map(BufReader::new);
        Actor { child, printed, is_waiting: true }
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the line that starts the action. An action that keeps the process alive does so until [`Actor::end`].
    ///
    /// # Panics
    ///
    /// If it was called before, or the process has ended.
    pub fn go(&mut self) {
        assert!(std::mem::take(&mut self.is_waiting), "the actor is started only once");
        let input = self.child.stdin.as_mut().expect("standard input is a pipe");
        input.write_all(b"go\n").expect("the actor reads standard input");
    }

    /// Returns the next line that the actor prints.
    ///
    /// # Panics
    ///
    /// If the line is not valid UTF-8.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        if let Some(output) = self.printed.as_mut() {
            output.read_line(&mut line).expect("the actor prints UTF-8");
        }
        line.trim_end().to_owned()
    }

    /// Starts the action if [`Actor::go`] was not called, waits for the process to end, and returns its remaining
    /// output.
    ///
    /// # Panics
    ///
    /// If the actor fails.
    pub fn end(mut self) -> String {
        if self.is_waiting {
            self.go();
        }
        drop(self.child.stdin.take());
        let mut printed = String::new();
        if let Some(mut output) = self.printed.take() {
            output.read_to_string(&mut printed).expect("the actor prints UTF-8");
        }
        let status = self.child.wait().expect("the child was not waited for");
        assert!(status.success(), "the actor ended with {status}");
        printed.trim().to_owned()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Both calls have no effect on a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
