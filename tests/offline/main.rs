//! Tests that need no privileges and no kernel to trace. They run side by side.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where it is surprised; which of these a file uses changes with its tests"
)]

mod artifacts;
mod walls;
mod command_line {
    pub(crate) mod bad_input;
    pub(crate) mod completions;
    pub(crate) mod messages;
    pub(crate) mod refusals;
}
mod plugins {
    pub(crate) mod authoring;
    pub(crate) mod contract;
    pub(crate) mod guide;
    pub(crate) mod workbench;
}
mod replay {
    pub(crate) mod damage;
    pub(crate) mod events;
    pub(crate) mod time;
}

use std::process::ExitCode;

fn main() -> ExitCode {
    crypto_tracer_tests::run_tests(
        None,
        &[
            artifacts::TESTS,
            walls::TESTS,
            command_line::bad_input::TESTS,
            command_line::completions::TESTS,
            command_line::messages::TESTS,
            command_line::refusals::TESTS,
            plugins::authoring::TESTS,
            plugins::contract::TESTS,
            plugins::guide::TESTS,
            plugins::workbench::TESTS,
            replay::damage::TESTS,
            replay::events::TESTS,
            replay::time::TESTS,
        ],
    )
}
