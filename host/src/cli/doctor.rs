//! The command line of `doctor`.

use std::path::PathBuf;

use clap::Args;

use super::{DocumentFormat, values};

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Check as if monitor ran with this probe
    #[arg(long, value_name = "NAME", value_parser = values::probe_name(), allow_negative_numbers = true)]
    pub probe: Option<String>,
    /// Check with this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub config: Option<PathBuf>,
    /// Print to FILE: its contents are replaced at the end; a new file is readable by its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub output: Option<PathBuf>,
    /// Format of the document
    #[arg(short, long, value_enum, default_value = "summary", allow_negative_numbers = true)]
    pub format: DocumentFormat,
}
