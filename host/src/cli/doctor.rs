//! `doctor`

use std::path::PathBuf;

use clap::Args;

use super::{DocumentFormat, values};

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Judge as if monitor were given this probe
    #[arg(long, value_name = "NAME", value_parser = values::name(), allow_negative_numbers = true)]
    pub probe: Option<String>,
    /// Judge with this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub config: Option<PathBuf>,
    /// Print to FILE; what is in it is replaced at the end; a new one is for its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub output: Option<PathBuf>,
    /// How the document is written
    #[arg(short, long, value_enum, default_value = "summary", allow_negative_numbers = true)]
    pub format: DocumentFormat,
}
