//! A pseudoterminal for a program.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// A pseudoterminal. The output that a program writes to it is collected.
#[derive(Debug)]
pub struct Pty {
    host_side: File,
    program_side: OwnedFd,
}

/// A program that runs on a pseudoterminal.
#[derive(Debug)]
pub struct OnTerminal {
    /// The process.
    pub child: Child,
    output: JoinHandle<String>,
}

impl Pty {
    /// Opens a pseudoterminal with this number of columns.
    ///
    /// # Panics
    ///
    /// If the system has none available.
    pub fn new(columns: u16) -> Pty {
        let (mut host_side, mut program_side) = (-1, -1);
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let none = std::ptr::null_mut();
        // SAFETY: all pointers outlive the call; the name and the modes may be null.
        let made =
            unsafe { libc::openpty(&mut host_side, &mut program_side, none, none.cast(), &size) };
        assert_eq!(made, 0, "openpty failed: {}", std::io::Error::last_os_error());
        // Children that other threads start in the meantime must not inherit the descriptors.
        for fd in [host_side, program_side] {
            // SAFETY: the call sets a flag of a descriptor and accesses no memory.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        // SAFETY: both descriptors were just opened and have no other owner.
        unsafe {
            Pty {
                host_side: File::from_raw_fd(host_side),
                program_side: OwnedFd::from_raw_fd(program_side),
            }
        }
    }

    /// Returns the terminal for a standard stream of a program.
    ///
    /// # Panics
    ///
    /// If too many files are open.
    pub fn stream(&self) -> Stdio {
        self.program_side.try_clone().expect("a descriptor is available").into()
    }

    /// Starts the program, for which the caller set [`Pty::stream`] as some of the standard streams.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    pub fn start(self, mut command: Command) -> OnTerminal {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // The read below ends only when no process has the other side open.
        drop((command, self.program_side));
        let mut host_side = self.host_side;
        let output = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // The read ends with an error when the last process closes the other side.
            let _ = host_side.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        OnTerminal { child, output }
    }
}

impl OnTerminal {
    /// Waits for the program to end, and returns its exit code and its output on the terminal.
    ///
    /// # Panics
    ///
    /// If the program does not end in time.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = crate::until("the end of a program on a terminal", || {
            self.child.try_wait().expect("the child was not waited for")
        });
        (status.code(), self.output.join().expect("the reader thread ends with the program"))
    }
}
