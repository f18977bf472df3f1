//! The command line of `plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::bench::BenchArgs;
use super::new::NewArgs;
use super::test::TestArgs;
use crate::cli::{PluginArgs, values};
use crypto_tracer_plugin::{PluginSource, PluginSpec};

/// `plugin`
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, subcommand_required = true)]
pub struct PluginCommand {
    #[command(subcommand)]
    pub(super) command: PluginAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum PluginAction {
    /// Tell what a plugin is, what it may ask for, and whether it would load
    ///
    /// Ends with 0 when it would load, else with 2 and what is wrong.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Print which plugins run with these options
    ///
    /// Prints order, kind, source, sha256, contract, grants and configuration of each.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Write a crate to start a plugin from
    ///
    /// Makes the directory NAME with rules, tests, cases and the contract. What is there already is left alone.
    #[command(after_help = NEW_EXAMPLES)]
    New(NewArgs),
    /// Ask a plugin questions, and compare its answers
    ///
    /// Ends with 0 when all is as it should be, with 1 when an answer is not, with 2 when nothing could be asked.
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// Measure what a plugin costs, beside the bundled one
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArgs),
}

const NEW_EXAMPLES: &str = "Examples:
  crypto-tracer plugin new acme-classifier --kind classifier
  crypto-tracer plugin new acme-filter --kind filter
  crypto-tracer plugin new acme-redactor --kind redactor && cd acme-redactor && cargo test";

const TEST_EXAMPLES: &str = "Examples:
  crypto-tracer plugin test acme.wasm --cases cases.json
  crypto-tracer plugin test acme.wasm
  crypto-tracer plugin test acme.wasm --with '{\"tiers\": [\"gold\"]}' --cases gold.json";

const BENCH_EXAMPLES: &str = "Examples:
  crypto-tracer plugin bench acme.wasm
  crypto-tracer plugin bench acme.wasm --cases cases.json
  crypto-tracer plugin bench acme.wasm --with '{\"tiers\": [\"gold\"]}'";

const CHECK_EXAMPLES: &str = "Examples:
  crypto-tracer plugin check acme.wasm
  crypto-tracer plugin check acme.wasm --with '{\"tiers\": [\"gold\"]}'
  crypto-tracer plugin check acme.wasm --quiet && echo 'it would load'";

const LIST_EXAMPLES: &str = "Examples:
  crypto-tracer plugin list
  crypto-tracer plugin list --classifier acme.wasm --classifier default
  crypto-tracer plugin list --config /etc/crypto-tracer/config.toml";

/// The plugin that a command is about.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// The plugin: a .wasm component
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The plugin's own part of the configuration
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}", allow_negative_numbers = true)]
    pub(super) with: Map<String, Value>,
}

impl Subject {
    /// As a run would take it from the command line.
    pub(super) fn spec(&self) -> PluginSpec {
        let source = PluginSource::File(self.file.clone());
        PluginSpec { config: self.with.clone(), ..PluginSpec::command_line(source) }
    }
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) subject: Subject,
    /// Take the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) plugins: PluginArgs,
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| {
        format!("{error}; write an object, for example '{{\"tiers\": [\"gold\"]}}'")
    })
}
