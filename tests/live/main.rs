//! Tests that trace this machine and need root. They run one at a time, because they count events, fill rings, and
//! block processes that inspect all others.
//!
//! A file is here as a whole if some of its tests need root and all of them share helpers.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an unexpected result ends the test; a file need not use all of these"
)]

mod reader;
mod replay;
mod command_line {
    pub(crate) mod configuration;
    pub(crate) mod options;
    pub(crate) mod refusals;
    pub(crate) mod start;
    pub(crate) mod streams;
}
mod docs {
    pub(crate) mod commands;
    pub(crate) mod installing;
}
mod documents {
    pub(crate) mod doctor;
    pub(crate) mod inventory;
    pub(crate) mod profile;
    pub(crate) mod snapshot;
    pub(crate) mod stale;
    pub(crate) mod unresponsive;
}
mod events {
    pub(crate) mod capture;
    pub(crate) mod changes;
    pub(crate) mod ended_processes;
    pub(crate) mod homes;
    pub(crate) mod kinds;
    pub(crate) mod names;
    pub(crate) mod pems;
    pub(crate) mod secrets;
}
mod outputs {
    pub(crate) mod recordings;
    pub(crate) mod reopened;
    pub(crate) mod standard_streams;
    pub(crate) mod status;
    pub(crate) mod terminal;
    pub(crate) mod validity;
}
mod plugins {
    pub(crate) mod ancestors;
    pub(crate) mod engine;
    pub(crate) mod events;
    pub(crate) mod examples;
    pub(crate) mod files;
}
mod robustness {
    pub(crate) mod elevated;
    pub(crate) mod faults;
    pub(crate) mod hostile;
    pub(crate) mod load;
    pub(crate) mod privileges;
    pub(crate) mod tracers;
    pub(crate) mod victim;
}

use std::process::ExitCode;

fn main() -> ExitCode {
    crypto_tracer_tests::run_tests(
        Some(1),
        &[
            reader::TESTS,
            replay::TESTS,
            command_line::configuration::TESTS,
            command_line::options::TESTS,
            command_line::refusals::TESTS,
            command_line::start::TESTS,
            command_line::streams::TESTS,
            docs::commands::TESTS,
            docs::installing::TESTS,
            documents::doctor::TESTS,
            documents::inventory::TESTS,
            documents::profile::TESTS,
            documents::snapshot::TESTS,
            documents::stale::TESTS,
            documents::unresponsive::TESTS,
            events::capture::TESTS,
            events::changes::TESTS,
            events::ended_processes::TESTS,
            events::homes::TESTS,
            events::kinds::TESTS,
            events::names::TESTS,
            events::pems::TESTS,
            events::secrets::TESTS,
            outputs::recordings::TESTS,
            outputs::reopened::TESTS,
            outputs::standard_streams::TESTS,
            outputs::status::TESTS,
            outputs::terminal::TESTS,
            outputs::validity::TESTS,
            plugins::ancestors::TESTS,
            plugins::engine::TESTS,
            plugins::events::TESTS,
            plugins::examples::TESTS,
            plugins::files::TESTS,
            robustness::elevated::TESTS,
            robustness::faults::TESTS,
            robustness::hostile::TESTS,
            robustness::load::TESTS,
            robustness::privileges::TESTS,
            robustness::tracers::TESTS,
            robustness::victim::TESTS,
        ],
    )
}
