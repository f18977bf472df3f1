//! Tests that need no privileges and trace no kernel. They run in parallel.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an unexpected result ends the test; a file need not use all of these"
)]

mod architecture;
mod artifacts;
mod command_line {
    pub(crate) mod bad_input;
    pub(crate) mod completions;
    pub(crate) mod messages;
    pub(crate) mod refusals;
}
mod inventory;
mod plugins {
    pub(crate) mod authoring;
    pub(crate) mod commands;
    pub(crate) mod contract;
    pub(crate) mod guide;
}
mod replay {
    pub(crate) mod comparing;
    pub(crate) mod damage;
    pub(crate) mod events;
    pub(crate) mod time;
}

use std::process::ExitCode;

fn main() -> ExitCode {
    crypto_tracer_tests::run_tests(
        None,
        &[
            architecture::TESTS,
            artifacts::TESTS,
            command_line::bad_input::TESTS,
            command_line::completions::TESTS,
            command_line::messages::TESTS,
            command_line::refusals::TESTS,
            inventory::TESTS,
            plugins::authoring::TESTS,
            plugins::commands::TESTS,
            plugins::contract::TESTS,
            plugins::guide::TESTS,
            replay::comparing::TESTS,
            replay::damage::TESTS,
            replay::events::TESTS,
            replay::time::TESTS,
        ],
    )
}
