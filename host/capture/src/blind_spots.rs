//! What a probe cannot see. The start of a run, `doctor` and the table of the capture tests all tell it from here.

use std::borrow::Cow;

/// Names of the ways to open a file that not every probe sees, as the capture tests and `docs/kernels.md` call them.
pub mod route {
    /// The kernel refuses it behind the permission checks: nothing is to be told.
    pub const REFUSED_LATE: &str = "refused behind the permission checks";
    /// The program is interrupted by another open.
    pub const INTERRUPTED: &str = "open while another open is interrupted";
    /// Through io_uring.
    pub const URING: &str = "io_uring";
    /// Through io_uring, into a slot of the ring instead of a descriptor.
    pub const URING_DIRECT: &str = "io_uring, direct descriptor";
    /// Through io_uring, without a word when it is done.
    pub const URING_SILENT: &str = "io_uring, no completion asked for";
    /// Another thread closes the descriptor before the open returns.
    pub const CLOSED_MEANWHILE: &str = "closed by another thread before the open returns";
}

/// Something that a probe cannot see, or sees wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindSpot {
    /// One of [`route`].
    pub route: &'static str,
    /// In words, to stand behind "cannot see".
    pub what: Cow<'static, str>,
}

pub(super) const fn of(route: &'static str, what: &'static str) -> BlindSpot {
    BlindSpot { route, what: Cow::Borrowed(what) }
}
