//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::glob::Glob;

/// Tells which process opens which certificate, key or keystore, which loads which crypto library, and what starts
/// and ends.
#[derive(Debug, Parser)]
#[command(name = "crypto-tracer", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what monitor would have printed for a recorded run
    ///
    /// Sends a recording of `--record` through today's plugins and options. Needs no privileges.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Replay),
    /// Print all events as a stream
    ///
    /// Prints a JSON object a line for each file_open, lib_load, process_exec and process_exit. Needs privileges.
    #[command(after_help = MONITOR_EXAMPLES)]
    Monitor(Monitor),
    /// Write, check, test and measure plugins, without tracing
    Plugin(crate::commands::plugin::Arguments),
}

const MONITOR_EXAMPLES: &str = "Examples:
  crypto-tracer monitor
  crypto-tracer monitor --duration 30s --name nginx --file '*.pem'
  crypto-tracer monitor --pid 1234 --output events.json";

const REPLAY_EXAMPLES: &str = "Examples:
  crypto-tracer replay night.rec
  crypto-tracer replay night.rec --classifier acme.wasm --classifier default
  crypto-tracer replay night.rec --file '*.key' --format table";

/// `replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// The recording
    #[arg(value_name = "FILE")]
    pub recording: PathBuf,
    /// What is left of it.
    #[command(flatten)]
    pub trace: Trace,
    /// Where and how it is printed.
    #[command(flatten)]
    pub print: Print,
    /// Which plugins run.
    #[command(flatten)]
    pub plugins: PluginArgs,
    /// How much is said besides.
    #[command(flatten)]
    pub loudness: LoudnessArgs,
}

/// `monitor`
#[derive(Debug, Args)]
pub struct Monitor {
    /// What is traced.
    #[command(flatten)]
    pub trace: Trace,
    /// Where and how it is printed.
    #[command(flatten)]
    pub print: Print,
    /// Which plugins run.
    #[command(flatten)]
    pub plugins: PluginArgs,
    /// How much is said besides.
    #[command(flatten)]
    pub loudness: LoudnessArgs,
    /// Keep the raw records in FILE, a new one, for `replay`; not redacted, for its owner only
    #[arg(long, value_name = "FILE", help_heading = "Tracing")]
    pub record: Option<PathBuf>,
}

/// Options for tracing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Trace {
    /// How long to run: seconds, or a number with s, m or h; 0 is until Ctrl+C
    #[arg(short, long, value_name = "SECONDS", value_parser = duration, default_value = "0")]
    pub duration: Duration,
    /// Only this process
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,
    /// Only processes with TEXT in their name
    #[arg(short, long, value_name = "TEXT", value_parser = nonempty())]
    pub name: Vec<OsString>,
    /// Only libraries with TEXT in their path
    #[arg(short, long, value_name = "TEXT", value_parser = nonempty())]
    pub library: Vec<OsString>,
    /// Only files whose path matches GLOB; * also crosses /
    #[arg(short = 'F', long, value_name = "GLOB", value_parser = glob)]
    pub file: Vec<Glob>,
    /// Print more fields: exe, container, inode and others
    #[arg(long)]
    pub extended: bool,
}

/// Options for output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Print {
    /// Append to FILE instead of standard output; a new one is for its owner only
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How events are written
    #[arg(short, long, value_enum, default_value_t)]
    pub format: FormatArg,
    /// Colours of the table
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorArg,
    /// Show user names in paths and secrets in command lines
    #[arg(long)]
    pub no_redact: bool,
}

/// `--format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// One compact JSON object a line
    #[default]
    JsonStream,
    /// An array of compact objects
    JsonArray,
    /// An array of indented objects
    JsonPretty,
    /// Columns for people
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

/// Options for plugins.
#[derive(Debug, Args)]
#[command(next_help_heading = "Plugins")]
pub struct PluginArgs {
    /// A plugin that says what a file is, instead of the bundled one (`default`)
    #[arg(long, value_name = "FILE", value_parser = nonempty())]
    pub classifier: Vec<OsString>,
    /// A plugin that hides what must not be shown, instead of the bundled one (`default`)
    #[arg(long, value_name = "FILE", value_parser = nonempty())]
    pub redactor: Vec<OsString>,
}

/// How much is said on standard error.
#[derive(Debug, Args)]
pub struct LoudnessArgs {
    /// Say more on standard error
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say only errors on standard error
    #[arg(short, long)]
    pub quiet: bool,
}

impl LoudnessArgs {
    /// As the rest of the program takes it.
    pub fn say(&self) -> crate::say::Say {
        use crate::say::{Loudness, Say};
        Say(match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (_, true) => Loudness::Verbose,
            _ => Loudness::Normal,
        })
    }
}

fn nonempty() -> impl clap::builder::TypedValueParser<Value = OsString> {
    use clap::builder::TypedValueParser;
    clap::builder::OsStringValueParser::new()
        .try_map(|text| if text.is_empty() { Err("an empty text says nothing") } else { Ok(text) })
}

fn glob(text: &str) -> Result<Glob, String> {
    if text.is_empty() {
        return Err("an empty glob matches nothing".to_owned());
    }
    Glob::new(text).map_err(|error| format!("{error}; write for example '*.pem' or '/etc/ssl/*'"))
}

/// Longest duration: a hundred years, so that no clock overflows.
const MOST_SECONDS: u64 = 100 * 366 * 24 * 3600;

fn duration(text: &str) -> Result<Duration, String> {
    let right = "write seconds, or a whole number with s, m or h, for example 30, 30s, 5m, 1h";
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.split_at(number.len()).1),
        None => (text, "s"),
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| plain).ok_or_else(|| right.to_owned())?;
    let seconds = match unit {
        "h" => number.checked_mul(3600),
        "m" => number.checked_mul(60),
        _ => Some(number),
    };
    match seconds.filter(|&seconds| seconds <= MOST_SECONDS) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("longer than a hundred years; 0 runs until Ctrl+C".to_owned()),
    }
}

/// clap's error on two lines at most: what is wrong, and where to look.
pub fn compact(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut message = lines.next().unwrap_or("bad arguments").to_owned();
    if let Some(rest) = message.strip_prefix("error: ") {
        message = rest.to_owned();
    }
    for line in lines {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        let line = line.strip_prefix("tip: ").unwrap_or(line);
        message.push_str(if message.ends_with(':') { " " } else { "; " });
        message.push_str(line);
    }
    crate::printable::printable(&message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_in_all_spellings() {
        for (text, seconds) in [("0", 0), ("30", 30), ("30s", 30), ("5m", 300), ("1h", 3600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "s", "-1", "+1", "1.5", "1d", "m5", "1 s", "99999999999h", "18446744073709551616"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_are_short() {
        for arguments in [
            &["crypto-tracer", "monitor", "--bogus"][..],
            &["crypto-tracer", "monitor", "-d", "x"],
            &["crypto-tracer", "monitor", "-F", "["],
            &["crypto-tracer", "monitor", "-p", "0"],
            &["crypto-tracer", "monitor", "-n", ""],
            &["crypto-tracer", "bogus"],
            &["crypto-tracer", "monitor", "--\u{1b}[2J"],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            let text = compact(&error);
            assert!(!text.contains('\n') && !text.contains('\u{1b}'), "{text:?}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
