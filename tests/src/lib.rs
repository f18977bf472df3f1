//! Shared code of the tests of the whole program: starts the program, waits for its output, and ends it.
//!
//! No function sleeps a fixed time. Every wait is for a condition, and its deadline reports which condition was not
//! met. Tests that need privileges begin with [`needs_bpf!`].
#![expect(clippy::panic, clippy::expect_used, reason = "a broken expectation is a failed test")]

mod actor;
mod event;
mod gate;
mod harness;
pub mod made;
mod material;
mod program;
mod pty;
mod python;
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
pub use python::python_with;
pub use refusal::{invalid_values, refused, refused_arguments};
pub use tracer::{Ended, Summary, Tracer};
pub use wait::{DEADLINE, until};

/// User id without privileges, the same on every distribution.
pub const NOBODY_UID: u32 = 65_534;

/// Skips the test if BPF programs cannot be loaded. With `CRYPTO_TRACER_REQUIRE_BPF=1` the test fails instead.
#[macro_export]
macro_rules! needs_bpf {
    () => {
        if let Some(why) = $crate::why_not_bpf() {
            $crate::skip(why);
        }
    };
}
