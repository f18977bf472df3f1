//! Detects whether standard output was closed at program start.
//!
//! Rust's runtime opens `/dev/null` for closed standard streams before `main`. The C library calls the functions in
//! `.init_array` before that, so one of them does the check.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
// SAFETY: the section holds pointers to functions of this type, which the C library calls once, before any other thread
// starts.
#[unsafe(link_section = ".init_array")]
static DETECT: extern "C" fn() = detect;

extern "C" fn detect() {
    // SAFETY: F_GETFD returns the flags of a descriptor and accesses no memory.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags < 0, Ordering::Relaxed);
}

/// Checks that standard output was open at program start.
///
/// # Errors
/// Standard output was closed.
pub fn check_standard_output() -> std::io::Result<()> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(std::io::Error::other(
            "it is closed; open it, for example with >FILE or >/dev/null",
        ));
    }
    Ok(())
}
