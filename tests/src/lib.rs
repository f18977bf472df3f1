//! What the tests of the whole program share: they start it, wait for what it prints, and end it.
//!
//! Nothing here sleeps a fixed time: every wait is for a condition, with a deadline that says what was missing.
//! Tests that need privileges begin with [`needs_bpf!`].
#![expect(clippy::panic, clippy::expect_used, reason = "a broken expectation is a failed test")]

mod actor;
mod event;
mod gate;
mod harness;
pub mod made;
mod material;
mod program;
mod pty;
mod refusal;
pub mod schema;
mod tracer;
mod wait;

pub use actor::{Actor, run};
pub use event::{Event, KEYS_EXEC, KEYS_EXIT, KEYS_LOAD, KEYS_OPEN};
pub use gate::{
    fuse_device, is_installed, is_root, needs_program, needs_root, needs_wasi, why_not_bpf,
};
pub use harness::{Test, TestOutcome, not_tried, run_tests, skip};
pub use material::{HomeDir, Material, temp_dir, trusted_dir};
pub use program::{output, program, replay, workspace};
pub use pty::{OnTerminal, Pty};
pub use refusal::{odd_values, refused, refused_arguments};
pub use tracer::{Ended, Summary, Tracer};
pub use wait::{DEADLINE, until};

/// Skips the test where the programs cannot be loaded; with `CRYPTO_TRACER_REQUIRE_BPF=1` it fails.
#[macro_export]
macro_rules! needs_bpf {
    () => {
        if let Some(why) = $crate::why_not_bpf() {
            $crate::skip(why);
        }
    };
}
