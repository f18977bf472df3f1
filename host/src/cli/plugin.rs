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
    /// Report what a plugin is, what it may request, and whether it loads
    ///
    /// The exit code is 0 if the plugin loads, otherwise 2.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Print which plugins run with these options
    ///
    /// Prints the order, kind, source, sha256, contract, grants and configuration of each plugin.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Create the crate of a new plugin
    ///
    /// Creates the directory NAME with a plugin, its tests and cases, and everything that its build needs. An existing directory is not changed.
    #[command(after_help = NEW_EXAMPLES)]
    New(NewArgs),
    /// Call a plugin with test cases, and compare its answers
    ///
    /// The exit code is 0 if every answer is as expected, 1 if an answer is not, 2 if the plugin cannot be called.
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// Measure what a plugin costs, compared to the bundled one
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArgs),
    /// Print what a plugin would see of a file's content
    ///
    /// Writes the file's head without its secrets to standard output, and the outcome to standard error.
    #[command(after_help = HEAD_EXAMPLES)]
    Head(HeadArgs),
    /// Print the plugin contract of this program, in WIT
    #[command(after_help = CONTRACT_EXAMPLES)]
    Contract,
}

const NEW_EXAMPLES: &str = "Examples:
  crypto-tracer plugin new acme-classifier --kind classifier
  crypto-tracer plugin new acme-filter --kind filter
  crypto-tracer plugin new acme-c --kind classifier --language c && make -C acme-c
  crypto-tracer plugin new acme-redactor --kind redactor && cd acme-redactor && cargo test";

const HEAD_EXAMPLES: &str = "Examples:
  crypto-tracer plugin head /etc/ssl/certs/site.pem
  crypto-tracer plugin head store.p12 | xxd
  crypto-tracer plugin head bundle.pem | grep -c BEGIN";

const CONTRACT_EXAMPLES: &str = "Examples:
  crypto-tracer plugin contract > plugin.wit
  crypto-tracer plugin contract | grep -A3 'resource event'
  crypto-tracer plugin contract | diff - wit/plugin.wit";

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

/// The plugin that a command loads.
#[derive(Debug, Args)]
pub(crate) struct Subject {
    /// The plugin: a .wasm component
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Configuration of the plugin
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}", allow_negative_numbers = true)]
    pub(crate) with: Map<String, Value>,
}

impl Subject {
    /// Returns the plugin as a run loads it from the command line.
    pub(crate) fn spec(&self) -> PluginSpec {
        let source = PluginSource::File(self.file.clone());
        PluginSpec { config: self.with.clone(), ..PluginSpec::command_line(source) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Use the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
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
    /// Call the plugin with the inputs of these test cases instead of typical inputs
    #[arg(long, value_name = "FILE", allow_negative_numbers = true)]
    pub(crate) cases: Option<PathBuf>,
    /// Use the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub(crate) config: Option<PathBuf>,
}

/// `plugin test`
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Test cases; without them, inputs are edge cases, and every answer that the contract allows passes
    #[arg(long, value_name = "FILE", allow_negative_numbers = true)]
    pub(crate) cases: Option<PathBuf>,
    /// Use the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub(crate) config: Option<PathBuf>,
}

/// `plugin new`
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of the crate and of its directory
    #[arg(value_name = "NAME", value_parser = crate_name)]
    pub(crate) name: String,
    /// What the plugin does
    #[arg(long, value_enum, value_name = "KIND", allow_negative_numbers = true)]
    pub(crate) kind: TemplateKind,
    /// Language of the crate or of the sources
    #[arg(
        long,
        value_enum,
        value_name = "LANGUAGE",
        default_value = "rust",
        allow_negative_numbers = true
    )]
    pub(crate) language: Language,
}

/// `plugin head`
#[derive(Debug, Args)]
pub(crate) struct HeadArgs {
    /// The file; its content does not leave this machine
    #[arg(value_name = "FILE", value_parser = values::path())]
    pub(crate) file: PathBuf,
}

/// Language of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// A crate that uses the SDK, with native tests
    Rust,
    /// C sources with the bindings and a Makefile
    C,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TemplateKind {
    /// Classifies files
    Classifier,
    /// Redacts texts
    Redactor,
    /// Keeps, drops or labels events
    Filter,
}

/// Parses a name that cargo accepts for a library and that is not the name of a dependency of the template.
fn crate_name(text: &str) -> Result<String, String> {
    /// Longest name of a plugin in bytes.
    const MAX_BYTES: usize = 64;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let first_is_letter = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !first_is_letter || !text.bytes().all(is_allowed) || text.len() > MAX_BYTES {
        return Err(format!(
            "not a crate name: write 1 to {MAX_BYTES} letters, digits, `-` or `_`, starting with a letter, for example acme-classifier"
        ));
    }
    let reserved = RESERVED.split_whitespace().any(|word| word == text.replace('-', "_"));
    if reserved {
        Err(format!("this name is reserved: write for example {text}-plugin"))
    } else {
        Ok(text.to_owned())
    }
}

/// Rust's keywords and standard crates, and the dependencies of the template.
const RESERVED: &str = "Self abstract alloc as async await become box break const continue core crate do dyn else enum \
    crypto_tracer_plugin extern false final fn for gen if impl in let loop macro match mod move mut override priv proc_macro pub ref return \
    self serde serde_json static std struct super test trait true try type typeof unsafe unsized use virtual where \
    while wit_bindgen yield";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crate_names() {
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
