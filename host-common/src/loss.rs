//! Causes of events lost in the kernel: indices into the per-CPU array `LOSSES`.

/// The ring buffer was full for an open.
pub const RING_FULL_OPEN: u32 = 0;
/// The ring buffer was full for a library load.
pub const RING_FULL_LOAD: u32 = 1;
/// The ring buffer was full for an exec.
pub const RING_FULL_EXEC: u32 = 2;
/// The ring buffer was full for an exit.
pub const RING_FULL_EXIT: u32 = 3;
/// The ring buffer was full for a fork: the host may not recognise the child as a descendant.
pub const RING_FULL_FORK: u32 = 4;
/// Another thread closed the file descriptor, or replaced the mapping, before the program read its file.
pub const FILE_GONE: u32 = 5;
/// The map of followed processes was full: a descendant is not followed.
pub const FAMILY_FULL: u32 = 6;
/// The ring buffer was more than half full, mostly by events of the same user and control group.
pub const FLOOD: u32 = 7;
/// The same for a fork, as for [`RING_FULL_FORK`].
pub const FLOOD_FORK: u32 = 8;

/// Number of causes.
pub const CAUSES: usize = 9;
