//! The command line of `plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::{PluginArgs, values};
use crypto_tracer_plugin::{PluginSource, PluginSpec};

/// `plugin`
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, subcommand_required = true)]
pub struct PluginCommand {
    #[command(subcommand)]
    pub(crate) command: PluginAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginAction {
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
pub(crate) struct Subject {
    /// The plugin: a .wasm component
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The plugin's own part of the configuration
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}", allow_negative_numbers = true)]
    pub(crate) with: Map<String, Value>,
}

impl Subject {
    /// As a run would take it from the command line.
    pub(crate) fn spec(&self) -> PluginSpec {
        let source = PluginSource::File(self.file.clone());
        PluginSpec { config: self.with.clone(), ..PluginSpec::command_line(source) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Take the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) plugins: PluginArgs,
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| {
        format!("{error}; write an object, for example '{{\"tiers\": [\"gold\"]}}'")
    })
}

/// `plugin bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Ask the questions of these cases, instead of usual ones
    #[arg(long, value_name = "FILE", allow_negative_numbers = true)]
    pub(crate) cases: Option<PathBuf>,
    /// Take the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub(crate) config: Option<PathBuf>,
}

/// `plugin test`
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Questions and answers; without them odd questions are asked, and any answer within the contract will do
    #[arg(long, value_name = "FILE", allow_negative_numbers = true)]
    pub(crate) cases: Option<PathBuf>,
    /// Take the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub(crate) config: Option<PathBuf>,
}

/// `plugin new`
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The crate's name, and the directory that is made here
    #[arg(value_name = "NAME", value_parser = crate_name)]
    pub(crate) name: String,
    /// What it does
    #[arg(long, value_enum, value_name = "KIND", allow_negative_numbers = true)]
    pub(crate) kind: TemplateKind,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TemplateKind {
    /// Says what a file is
    Classifier,
    /// Hides what must not be shown
    Redactor,
    /// Keeps, drops or labels events
    Filter,
}

/// A name that cargo takes for a library, and that is no dependency of the template.
fn crate_name(text: &str) -> Result<String, String> {
    /// Longest name in bytes that a plugin is told by.
    const MOST: usize = 64;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !begins || !text.bytes().all(plain) || text.len() > MOST {
        return Err(format!(
            "no name of a crate: write 1 to {MOST} of a-z, 0-9, `-`, `_`, a letter first, for example acme-classifier"
        ));
    }
    let taken = RESERVED.split_whitespace().any(|word| word == text.replace('-', "_"));
    if taken {
        Err(format!("cargo takes no crate of this name: try {text}-plugin"))
    } else {
        Ok(text.to_owned())
    }
}

/// Rust's keywords and own crates, and what the template depends on.
const RESERVED: &str = "Self abstract alloc as async await become box break const continue core crate do dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut override priv proc_macro pub ref return \
    self serde serde_json static std struct super test trait true try type typeof unsafe unsized use virtual where \
    while wit_bindgen yield";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_takes() {
        for good in ["a", "acme-classifier", "Acme_2", &"a".repeat(64)] {
            assert_eq!(crate_name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "-a",
            "2a",
            "_a",
            "a b",
            "a/b",
            "../a",
            "a.b",
            "ä",
            "a\n",
            &"a".repeat(65),
            "fn",
            "serde-json",
            "std",
        ] {
            assert!(crate_name(bad).is_err(), "{bad:?}");
        }
    }
}
