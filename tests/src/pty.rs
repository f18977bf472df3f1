//! A terminal for a program.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// What a program sees as its terminal; what it shows is collected.
#[derive(Debug)]
pub struct Pty {
    ours: File,
    theirs: OwnedFd,
}

/// A program on a terminal.
#[derive(Debug)]
pub struct OnTerminal {
    /// The program.
    pub child: Child,
    shown: JoinHandle<String>,
}

impl Pty {
    /// A terminal of so many columns.
    ///
    /// # Panics
    ///
    /// When the system has none.
    pub fn new(columns: u16) -> Pty {
        let (mut ours, mut theirs) = (-1, -1);
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let none = std::ptr::null_mut();
        // SAFETY: all pointers live through the call; the name and the modes may be missing.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, none, none.cast(), &size) };
        assert_eq!(made, 0, "no terminal: {}", std::io::Error::last_os_error());
        // What else is started meanwhile must not keep it open.
        for fd in [ours, theirs] {
            // SAFETY: sets a flag of a descriptor; no memory is involved.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        // SAFETY: both were just opened, and nobody else has them.
        unsafe { Pty { ours: File::from_raw_fd(ours), theirs: OwnedFd::from_raw_fd(theirs) } }
    }

    /// For one of a program's streams.
    ///
    /// # Panics
    ///
    /// When there are too many open files.
    pub fn stream(&self) -> Stdio {
        self.theirs.try_clone().expect("one more descriptor").into()
    }

    /// Starts the program, which was given [`Pty::stream`] for some of its streams.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn start(self, mut command: Command) -> OnTerminal {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // While anybody here has it, its end is not seen.
        drop((command, self.theirs));
        let mut ours = self.ours;
        let shown = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // It ends with an error when the last one closes the other side.
            let _ = ours.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        OnTerminal { child, shown }
    }
}

impl OnTerminal {
    /// Waits for the program's end: its exit code, and what it showed.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = crate::until("the end of a program on a terminal", || {
            self.child.try_wait().expect("the child is ours")
        });
        (status.code(), self.shown.join().expect("the reader ends with the program"))
    }
}
