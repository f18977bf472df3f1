//! The commands that print one document.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{PluginArgs, values};

/// `snapshot`
#[derive(Debug, Args)]
pub struct Snapshot {
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
    #[arg(short, long, value_name = "FILE", value_parser = values::path())]
    pub output: Option<PathBuf>,
    /// How the document is written
    #[arg(short, long, value_enum, default_value_t)]
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
