//! Ancestors of the process of an event.

use std::sync::Arc;

use super::Comm;

/// Maximum number of ancestors of a process that are known: a deeper tree has no known root.
pub const MAX_ANCESTORS: usize = 32;

/// An ancestor of a process, as of its last event before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestor {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks of the boot clock. `/proc` has no exact time of a process that has no event.
    pub start_ticks: u64,
    /// Real user id.
    pub uid: u32,
    /// Name of the thread group's leader.
    pub comm: Comm,
    /// Path of the executable; `None` if it is unknown.
    pub exe: Option<Arc<[u8]>>,
}
