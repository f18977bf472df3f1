//! Programs that do what is traced.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Runs a program to its end, unheard, and returns its process id.
///
/// # Panics
///
/// When it cannot be run.
pub fn run(command: &mut Command) -> u32 {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = child.id();
    child.wait().expect("the child is ours");
    pid
}

/// The program `actor` of this crate, waiting to be let go. Dropped, it ends without doing anything.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    printed: Option<BufReader<ChildStdout>>,
    waits: bool,
}

/// Starts the program `actor`; the arguments say what it does once it is let go.
#[macro_export]
macro_rules! actor {
    ($($argument:expr),+ $(,)?) => {
        $crate::Actor::start(env!("CARGO_BIN_EXE_actor"), &[$(std::ffi::OsStr::new($argument)),+])
    };
}

impl Actor {
    /// Starts it; [`actor!`] knows where it is.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn start(program: &str, arguments: &[&std::ffi::OsStr]) -> Actor {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = child.stdout.take().map(BufReader::new);
        Actor { child, printed, waits: true }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go; [`Actor::end`] waits for it. One that stays when it is done stays until then.
    ///
    /// # Panics
    ///
    /// When it is not there any more.
    pub fn go(&mut self) {
        assert!(std::mem::take(&mut self.waits), "it is let go once");
        let input = self.child.stdin.as_mut().expect("its standard input is a pipe");
        input.write_all(b"go\n").expect("it waits for this");
    }

    /// The next line that it prints.
    ///
    /// # Panics
    ///
    /// When it prints no text.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        if let Some(output) = self.printed.as_mut() {
            output.read_line(&mut line).expect("it prints text");
        }
        line.trim_end().to_owned()
    }

    /// Lets it go if that was not done, waits for its end, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it failed.
    pub fn end(mut self) -> String {
        if self.waits {
            self.go();
        }
        drop(self.child.stdin.take());
        let mut printed = String::new();
        if let Some(mut output) = self.printed.take() {
            output.read_to_string(&mut printed).expect("it prints text");
        }
        let status = self.child.wait().expect("the child is ours");
        assert!(status.success(), "the actor ended with {status}");
        printed.trim().to_owned()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Ended already: both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
