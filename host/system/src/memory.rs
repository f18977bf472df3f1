//! The allocator's word to the kernel.

/// Gives back what is free, for instance once everything is set up that took tens of megabytes for a moment.
pub fn give_back() {
    // SAFETY: nothing that is allocated is touched.
    unsafe { libc::malloc_trim(0) };
}
