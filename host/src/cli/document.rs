//! The commands that print one document.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Capture, PluginArgs, Watched, values};

/// `profile`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").args(["pid", "name"]).required(true).multiple(true))]
pub struct ProfileArgs {
    /// How long to run: seconds, or a number with s, m or h; 0 is until the processes end
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
    /// Of which processes.
    #[command(flatten)]
    pub watched: Watched,
    /// How it is captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Where and how it is printed.
    #[command(flatten)]
    pub print: DocumentPrint,
    /// Which plugins run.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `snapshot`
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// Where and how it is printed.
    #[command(flatten)]
    pub print: DocumentPrint,
    /// Which plugins run.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// Where and how a document is printed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct DocumentPrint {
    /// Print to FILE; what is in it is replaced at the end; a new one is for its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub output: Option<PathBuf>,
    /// How the document is written
    #[arg(short, long, value_enum, default_value_t, allow_negative_numbers = true)]
    pub format: DocumentFormat,
    /// Show user names in paths and secrets in command lines
    #[arg(long)]
    pub no_redact: bool,
}

/// `--format` of a document
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// The object, indented
    #[default]
    JsonPretty,
    /// The object on one line
    JsonStream,
    /// An array with the object in it
    JsonArray,
    /// Text for people
    Summary,
}
