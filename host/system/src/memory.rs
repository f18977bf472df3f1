//! Memory of the allocator.

/// Returns free heap memory to the kernel, for instance after setup, which allocates tens of megabytes for a moment.
pub fn give_back() {
    // SAFETY: malloc_trim releases only memory that is not allocated.
    unsafe { libc::malloc_trim(0) };
}
