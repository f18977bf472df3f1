//! Option groups that several commands share.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use super::values;
use crypto_tracer_event::PluginKind;
use crypto_tracer_pipeline::glob::Glob;
use crypto_tracer_system::console::{Console, Verbosity};

/// All filters, and the duration.
#[derive(Debug, Default, Args)]
pub struct Trace {
    /// Duration and filters by process.
    #[command(flatten)]
    pub processes: Processes,
    /// Filters by library.
    #[command(flatten)]
    pub libraries: Libraries,
    /// Filters by file.
    #[command(flatten)]
    pub files: Files,
}

/// Duration and filters by process.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Processes {
    /// How long to run: seconds, or a number with s, m or h; 0 means no limit
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        value_parser = values::duration(),
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub duration: Duration,
    /// Filters by process.
    #[command(flatten)]
    pub watched: Watched,
}

/// Filters by process.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Watched {
    /// Only this process
    #[arg(
        short,
        long,
        value_name = "PID",
        value_parser = values::pid(),
        allow_negative_numbers = true
    )]
    pub pid: Vec<u32>,
    /// With --pid: also its descendants
    #[arg(long, requires = "pid")]
    pub follow_children: bool,
    /// Only processes with TEXT in their name; TEXT over 15 bytes: in their executable's file name
    #[arg(short, long, value_name = "TEXT", value_parser = values::search_text(), allow_negative_numbers = true)]
    pub name: Vec<OsString>,
}

/// Filters by library.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Libraries {
    /// Only libraries with TEXT in their path
    #[arg(short, long, value_name = "TEXT", value_parser = values::search_text(), allow_negative_numbers = true)]
    pub library: Vec<OsString>,
}

/// Filters by file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Files {
    /// Only files whose path matches GLOB; * also matches /
    #[arg(short = 'F', long, value_name = "GLOB", value_parser = values::glob(), allow_negative_numbers = true)]
    pub file: Vec<Glob>,
}

/// How events are captured.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Capture {
    /// Capture opens and loads with this probe instead of the best one that loads
    #[arg(long, value_name = "NAME", value_parser = values::probe_name(), allow_negative_numbers = true)]
    pub probe: Option<String>,
    /// Write the raw records to FILE, a new file, for `replay`; not redacted, readable by its owner only
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub record: Option<PathBuf>,
}

/// Output of a stream of events.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Print {
    /// Print to FILE: lines are appended, an array replaces the contents; a new file is readable by its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub output: Option<PathBuf>,
    /// Format of the events
    #[arg(short, long, value_enum, default_value_t, allow_negative_numbers = true)]
    pub format: FormatArg,
    /// Whether the table has colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", allow_negative_numbers = true)]
    pub color: ColorArg,
    /// Show user names in paths and secrets in command lines
    #[arg(long)]
    pub no_redact: bool,
    /// Print more fields: exe, container, inode and others
    #[arg(long)]
    pub extended: bool,
}

/// `--format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// One compact JSON object per line
    #[default]
    JsonStream,
    /// An array of compact objects
    JsonArray,
    /// An array of indented objects
    JsonPretty,
    /// Columns for human readers
    Table,
}

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Plugins, and the configuration file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Plugins")]
pub struct PluginArgs {
    /// Plugin that classifies files, instead of the bundled one (`default`)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::file(), allow_negative_numbers = true)]
    pub classifier: Vec<OsString>,
    /// Plugin that redacts texts, instead of the bundled one (`default`)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::file(), allow_negative_numbers = true)]
    pub redactor: Vec<OsString>,
    /// Plugin that keeps, drops or labels events
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::file(), allow_negative_numbers = true)]
    pub filter: Vec<OsString>,
    /// Plugin that lists what files contain, instead of the bundled one (`default`); used by documents that show it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::file(), allow_negative_numbers = true)]
    pub inspector: Vec<OsString>,
    /// Read this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub config: Option<PathBuf>,
}

impl PluginArgs {
    /// The files of each kind.
    pub fn chains(&self) -> [(PluginKind, &[OsString]); 4] {
        [
            (PluginKind::Classifier, &self.classifier),
            (PluginKind::Redactor, &self.redactor),
            (PluginKind::Filter, &self.filter),
            (PluginKind::Inspector, &self.inspector),
        ]
    }
}

/// Amount of messages on standard error.
#[derive(Clone, Copy, Debug, Args)]
pub struct VerbosityArgs {
    /// Print more messages on standard error
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Print only errors on standard error
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl VerbosityArgs {
    /// Returns the console for messages of this verbosity.
    pub fn console(&self) -> Console {
        Console(match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        })
    }
}
