//! The command lines of the commands that print one document.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Capture, PluginArgs, Watched, values};

/// `profile`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("processes").args(["pid", "name"]).required(true).multiple(true))]
pub struct ProfileArgs {
    /// How long to run: seconds, or a number with s, m or h; 0 means until the processes end
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        value_parser = values::duration(),
        default_value = "30s",
        allow_negative_numbers = true,
        help_heading = "Tracing"
    )]
    pub duration: Duration,
    /// Filters by process.
    #[command(flatten)]
    pub watched: Watched,
    /// How events are captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Output.
    #[command(flatten)]
    pub print: DocumentPrint,
    /// Plugins, and the configuration file.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `snapshot`
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// Output.
    #[command(flatten)]
    pub print: DocumentPrint,
    /// Plugins, and the configuration file.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// Destination and format of a document.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct DocumentOutput {
    /// Print to FILE: its contents are replaced at the end; a new file is readable by its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub output: Option<PathBuf>,
    /// Format of the document
    #[arg(short, long, value_enum, default_value_t, allow_negative_numbers = true)]
    pub format: DocumentFormat,
}

/// Output of a document with texts that are redacted.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct DocumentPrint {
    /// Destination and format.
    #[command(flatten)]
    pub to: DocumentOutput,
    /// Show user names in paths and secrets in command lines
    #[arg(long)]
    pub no_redact: bool,
}

/// `--format` of a document
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// An indented object
    #[default]
    JsonPretty,
    /// A compact object on one line
    JsonStream,
    /// An array that contains the object
    JsonArray,
    /// Text for human readers
    Summary,
}
