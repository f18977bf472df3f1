//! Why the kernel side could not hand an event over. The index into the per-CPU array `LOSSES`.

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
/// The file behind a descriptor was gone before it could be looked at (closed by another thread).
pub const FILE_GONE: u32 = 5;
/// The table of followed processes is full: a descendant is not followed.
pub const FAMILY_FULL: u32 = 6;

/// How many causes there are.
pub const CAUSES: usize = 7;
