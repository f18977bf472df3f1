//! Tests of the kernel side on a live kernel: each event is reported once, with the right path and header.
//!
//! The tests need root (CAP_BPF, CAP_PERFMON, and CAP_SYS_ADMIN for mounts). Without permission for BPF they are
//! ignored; with CRYPTO_TRACER_REQUIRE_BPF=1 they fail. CRYPTO_TRACER_PROBE selects the rung to test.
//!
//! This binary is separate from tests/live: it links the crates, and `cargo xtask vm` runs it in virtual machines
//! without cargo and most other programs. The tests run one at a time, because they count the events of a process or
//! thread, and each ring buffer needs memory.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and prints what it could not try"
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
