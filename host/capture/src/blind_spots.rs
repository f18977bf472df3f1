//! Events that a probe misses or misreports, as the start of a run, `doctor` and the table of the capture tests list
//! them.

use std::borrow::Cow;

/// Ways to open a file that not every probe reports correctly. The names are rows of the table in `docs/kernels.md`.
pub mod route {
    /// The kernel refuses the open after the permission checks, so there is nothing to report.
    pub const REFUSED_LATE: &str = "refused after the permission checks";
    /// Another open interrupts the program.
    pub const INTERRUPTED: &str = "open while another open is interrupted";
    /// io_uring, with a file descriptor.
    pub const URING: &str = "io_uring";
    /// io_uring, into a slot of the ring instead of a file descriptor.
    pub const URING_DIRECT: &str = "io_uring, direct descriptor";
    /// io_uring, without a completion event.
    pub const URING_SILENT: &str = "io_uring, no completion requested";
    /// A file is mapped without execute permission, which mprotect adds later.
    pub const MPROTECT: &str = "library made executable by mprotect";
    /// Another thread closes the file descriptor before the open returns.
    pub const CLOSED_MEANWHILE: &str = "closed by another thread before the open returns";
}

/// A kind of event that a probe misses or misreports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindSpot {
    /// A constant of [`route`].
    pub route: &'static str,
    /// Description that completes "cannot see …".
    pub what: Cow<'static, str>,
}

pub(super) const fn blind_spot(route: &'static str, what: &'static str) -> BlindSpot {
    BlindSpot { route, what: Cow::Borrowed(what) }
}
