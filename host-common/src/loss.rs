//! Causes of events lost in the kernel. Each is an index into the per-CPU array `LOSSES`.

/// No room in the ring buffer for an open.
pub const RING_FULL_OPEN: u32 = 0;
/// No room in the ring buffer for a library load.
pub const RING_FULL_LOAD: u32 = 1;
/// No room in the ring buffer for an exec.
pub const RING_FULL_EXEC: u32 = 2;
/// No room in the ring buffer for an exit.
pub const RING_FULL_EXIT: u32 = 3;
/// No room in the ring buffer for a fork: a later event may not be recognised as a descendant's.
pub const RING_FULL_FORK: u32 = 4;
/// The file of a descriptor was gone before the program read it (another thread closed it).
pub const FILE_GONE: u32 = 5;
/// The table of followed processes is full: a descendant is not followed.
pub const FAMILY_FULL: u32 = 6;

/// Number of causes.
pub const CAUSES: usize = 7;
