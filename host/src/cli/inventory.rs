//! The command line of `inventory`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    Capture, DocumentPrint, InventoryDiff, InventoryExport, InventoryMerge, PluginArgs, Trace,
    values,
};

/// `inventory`
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, subcommand_required = true)]
pub struct InventoryCommand {
    #[command(subcommand)]
    pub(crate) command: InventoryAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InventoryAction {
    /// Write which programs used which crypto libraries and files
    ///
    /// Covers what processes had before the start, and what they load and open until Ctrl+C or for --duration. Needs
    /// privileges; with --from, it needs none.
    #[command(after_help = RECORD_EXAMPLES)]
    Record(Box<InventoryRecord>),
    /// Merge inventories of several hosts into one
    ///
    /// Each use keeps its hosts. The order of the files makes no difference, and a file that is given twice counts once.
    /// Of several inventories of one run, the latest counts.
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(InventoryMerge),
    /// Compare what was used with what is known
    ///
    /// Prints what was used and known, used but not known, and known but not used. The exit code is 0 if everything that
    /// was used is known, and 1 if not.
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(InventoryDiff),
    /// Write an inventory as a CycloneDX CBOM or as CSV
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(InventoryExport),
}

/// `inventory record`
#[derive(Debug, Args)]
pub(crate) struct InventoryRecord {
    /// All filters, and the duration.
    #[command(flatten)]
    pub(crate) trace: Trace,
    /// How events are captured.
    #[command(flatten)]
    pub(crate) capture: Capture,
    /// Use a recording of `--record`, or a stream of events as JSON, instead of tracing
    #[arg(
        long,
        value_name = "FILE",
        value_parser = values::path(),
        conflicts_with_all = ["probe", "record", "every"],
        allow_negative_numbers = true,
        help_heading = "Tracing"
    )]
    pub(crate) from: Option<PathBuf>,
    /// Also write the document in each interval, for example 1h; needs --output
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = values::interval(),
        requires = "output",
        allow_negative_numbers = true,
        help_heading = "Output"
    )]
    pub(crate) every: Option<Duration>,
    /// Output.
    #[command(flatten)]
    pub(crate) print: DocumentPrint,
    /// Plugins, and the configuration file.
    #[command(flatten)]
    pub(crate) plugins: PluginArgs,
}

const RECORD_EXAMPLES: &str = "Examples:
  sudo crypto-tracer inventory record --duration 1h --output web1.json
  sudo crypto-tracer inventory record --every 1h --output /var/lib/crypto-tracer/web1.json
  crypto-tracer inventory record --from night.rec --format summary";

const MERGE_EXAMPLES: &str = "Examples:
  crypto-tracer inventory merge web1.json web2.json --output all.json
  crypto-tracer inventory merge all.json web3.json --format json-stream > more.json
  crypto-tracer inventory merge inventories/*.json --format summary";

const DIFF_EXAMPLES: &str = "Examples:
  crypto-tracer inventory diff cbom.json web1.json --format summary
  crypto-tracer inventory diff yesterday.json today.json | jq '.used_but_not_known[]'
  crypto-tracer inventory diff cbom.json web1.json --output diff.json || echo 'something unknown was used'";

const EXPORT_EXAMPLES: &str = "Examples:
  crypto-tracer inventory export web1.json --format cyclonedx-1.6 --output cbom.json
  crypto-tracer inventory export all.json --format cyclonedx-1.7 | jq .compositions
  crypto-tracer inventory export all.json --format csv --output uses.csv";
