//! The command lines of the commands that work on finished inventories.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DocumentOutput, values};

/// `inventory merge`
#[derive(Debug, Args)]
pub struct InventoryMerge {
    /// The inventories, also merged ones
    #[arg(value_name = "FILE", value_parser = values::path(), required = true)]
    pub files: Vec<PathBuf>,
    /// Output.
    #[command(flatten)]
    pub print: DocumentOutput,
}

/// `inventory diff`
#[derive(Debug, Args)]
pub struct InventoryDiff {
    /// What is known: an inventory, or a CycloneDX document (1.5 to 1.7, JSON)
    #[arg(value_name = "KNOWN", value_parser = values::path())]
    pub known: PathBuf,
    /// The inventory
    #[arg(value_name = "FILE", value_parser = values::path())]
    pub file: PathBuf,
    /// Output.
    #[command(flatten)]
    pub print: DocumentOutput,
}

/// `inventory export`
#[derive(Debug, Args)]
pub struct InventoryExport {
    /// The inventory
    #[arg(value_name = "FILE", value_parser = values::path())]
    pub file: PathBuf,
    /// Format to write
    #[arg(short, long, value_enum, allow_negative_numbers = true, help_heading = "Output")]
    pub format: ExportFormat,
    /// Print to FILE: its contents are replaced at the end; a new file is readable by its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true, help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// `--format` of an export
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// CycloneDX 1.6, JSON
    #[value(name = "cyclonedx-1.6")]
    CycloneDx16,
    /// CycloneDX 1.7, JSON
    #[value(name = "cyclonedx-1.7")]
    CycloneDx17,
    /// One row for each use, for spreadsheets
    Csv,
}

/// `report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The inventory
    #[arg(value_name = "FILE", value_parser = values::path())]
    pub file: PathBuf,
    /// Also show what is used but not in KNOWN: an inventory, or a CycloneDX document (1.5 to 1.7, JSON)
    #[arg(long, value_name = "KNOWN", value_parser = values::path(), allow_negative_numbers = true)]
    pub diff: Option<PathBuf>,
    /// Write the page to FILE: its contents are replaced at the end; a new file is readable by its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true, help_heading = "Output")]
    pub output: Option<PathBuf>,
}
