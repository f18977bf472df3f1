//! The command line of `inventory`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Capture, DocumentPrint, PluginArgs, Trace, values};

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
