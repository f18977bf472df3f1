//! The kernel side against a live kernel: what happened is told once, with the right path and numbers.
//!
//! Needs root (CAP_BPF, CAP_PERFMON, and CAP_SYS_ADMIN for mounts). Where BPF is not permitted it says so and passes;
//! with CRYPTO_TRACER_REQUIRE_BPF=1 that is a failure. CRYPTO_TRACER_PROBE names the rung to test.
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
