//! What the tests of the whole program share: they start it, wait for what it prints, and end it.
//!
//! Nothing here sleeps a fixed time: every wait is for a condition, with a deadline that says what was missing.
//! Tests that need privileges begin with [`needs_bpf!`].
#![expect(clippy::panic, clippy::expect_used, reason = "a broken expectation is a failed test")]

mod actor;
mod event;
mod gate;
pub mod made;
mod material;
mod program;
mod pty;
pub mod schema;
mod tracer;
mod wait;

pub use actor::{Actor, run};
pub use event::{Event, KEYS_EXEC, KEYS_EXIT, KEYS_LOAD, KEYS_OPEN};
pub use gate::{fuse_device, is_root, why_not_bpf, why_not_wasi};
pub use material::{HomeDir, Material, temp_dir, trusted_dir};
pub use program::{output, program, workspace};
pub use pty::{OnTerminal, Pty};
pub use tracer::{Ended, Summary, Tracer};
pub use wait::{DEADLINE, until};

/// Ends the test, and says why, where the programs cannot be loaded; with `CRYPTO_TRACER_REQUIRE_BPF=1` it fails.
#[macro_export]
macro_rules! needs_bpf {
    () => {
        if let Some(why) = $crate::why_not_bpf() {
            eprintln!("skipped: {why}");
            return;
        }
    };
}
