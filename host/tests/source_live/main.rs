//! The kernel side against a live kernel: what happened is told once, with the right path and numbers.
//!
//! Needs root (CAP_BPF, CAP_PERFMON, and CAP_SYS_ADMIN for mounts). Where BPF is not permitted its tests are ignored;
//! with CRYPTO_TRACER_REQUIRE_BPF=1 that is a failure. CRYPTO_TRACER_PROBE names the rung to test.
//!
//! A program of its own, not a part of tests/live: it calls this crate, and `cargo xtask vm` starts it on kernels under
//! which there is no cargo and no other program. One test runs at a time: they count what a process or a thread does, and
//! rings cost memory.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by them, and says by printing what it could not try"
)]

mod cgroups;
mod clock;
mod elsewhere;
mod family;
mod loads;
mod loss;
mod opens;
mod processes;
mod reuse;
mod routes;
mod selection;
mod sys;
mod uring;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    crypto_tracer_tests::run_tests(
        Some(1),
        &[
            cgroups::TESTS,
            clock::TESTS,
            elsewhere::TESTS,
            family::TESTS,
            loads::TESTS,
            loss::TESTS,
            opens::TESTS,
            processes::TESTS,
            reuse::TESTS,
            routes::TESTS,
            selection::TESTS,
        ],
    )
}
