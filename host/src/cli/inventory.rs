//! The command line of `inventory`.

use clap::{Args, Subcommand};

use super::{InventoryDiff, InventoryExport, InventoryMerge};

/// `inventory`
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, subcommand_required = true)]
pub struct InventoryCommand {
    #[command(subcommand)]
    pub(crate) command: InventoryAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InventoryAction {
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
