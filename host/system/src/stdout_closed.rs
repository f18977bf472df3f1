//! Whether standard output was closed when the program began.
//!
//! Rust's runtime opens `/dev/null` in place of standard streams that are closed, before `main`, so later nobody can
//! tell. The C library calls what stands in `.init_array` before that.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
// SAFETY: the section holds pointers to functions of this type, which the C library calls once, before any thread.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: asks for a descriptor's flags; no memory is involved.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags < 0, Ordering::Relaxed);
}

/// An error, if what is printed would get nowhere.
///
/// # Errors
/// Standard output was closed at the start.
pub fn check_standard_output() -> std::io::Result<()> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(std::io::Error::other(
            "it is closed; open it, for example with >FILE or >/dev/null",
        ));
    }
    Ok(())
}
