//! Programs that do what is traced.

use std::io::Write;
use std::process::{Child, Command, Stdio};

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
pub struct Actor(Child);

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
        Actor(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Lets it go; [`Actor::end`] waits for it.
    ///
    /// # Panics
    ///
    /// When it is not there any more.
    pub fn go(&mut self) {
        let mut input = self.0.stdin.take().expect("it is let go once");
        input.write_all(b"go\n").expect("it waits for this");
    }

    /// Lets it go if that was not done, waits for its end, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it failed.
    pub fn end(mut self) -> String {
        if self.0.stdin.is_some() {
            self.go();
        }
        let mut printed = String::new();
        if let Some(mut output) = self.0.stdout.take() {
            std::io::Read::read_to_string(&mut output, &mut printed).expect("it prints text");
        }
        let status = self.0.wait().expect("the child is ours");
        assert!(status.success(), "the actor ended with {status}");
        printed.trim().to_owned()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Ended already: both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
