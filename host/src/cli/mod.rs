//! The command line.

mod doctor;
mod document;
mod examples;
pub(crate) mod plugin;
mod usage_error;
pub(crate) mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crypto_tracer_pipeline::glob::Glob;

pub use doctor::DoctorArgs;
pub use document::{DocumentFormat, DocumentPrint, ProfileArgs, SnapshotArgs};
pub use usage_error::{help_hint, usage_error};

/// Tells which process opens which certificate, key or keystore, which loads which crypto library, and what starts
/// and ends.
#[derive(Debug, Parser)]
#[command(
    name = "crypto-tracer",
    version,
    propagate_version = true,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = false,
    after_help = examples::ALL
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much is said besides.
    #[command(flatten)]
    pub loudness: LoudnessArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print all events as a stream
    ///
    /// Prints each file_open, lib_load, process_exec and process_exit as it happens, until Ctrl+C or for --duration.
    /// Needs privileges.
    #[command(after_help = examples::MONITOR)]
    Monitor(Monitor),
    /// Print which process opens which certificate, key or keystore
    ///
    /// Prints each file_open as it happens, until Ctrl+C or for --duration. Needs privileges.
    #[command(after_help = examples::FILES)]
    Files(FilesCommand),
    /// Print which process loads which crypto library
    ///
    /// Prints each lib_load as it happens, until Ctrl+C or for --duration. Needs privileges.
    #[command(after_help = examples::LIBS)]
    Libs(LibsCommand),
    /// Print one document about some processes
    ///
    /// Traces the processes that --pid or --name means for --duration, or until they have ended, then prints which
    /// libraries they loaded and which files they opened, those from before included. Needs privileges.
    #[command(after_help = examples::PROFILE)]
    Profile(ProfileArgs),
    /// Print one document about every running process
    ///
    /// Prints which processes have crypto libraries loaded and crypto files open, from /proc. Without privileges it
    /// sees its own user's processes only, and says so.
    #[command(after_help = examples::SNAPSHOT)]
    Snapshot(SnapshotArgs),
    /// Print what monitor would have printed for a recorded run
    ///
    /// Sends a recording of `monitor --record` through today's plugins and options. Needs no privileges.
    #[command(after_help = examples::REPLAY)]
    Replay(Replay),
    /// Tell what this kernel and these privileges allow, without tracing
    ///
    /// Tries every probe and prints whether it works or why not, what would help, and what it cannot see. The exit code
    /// is 0 if monitor would run, else the one that monitor would give.
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Write, check, test and measure plugins, without tracing
    #[command(after_help = examples::PLUGIN)]
    Plugin(plugin::PluginCommand),
    /// Print the script that completes commands and options in a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(Completions),
    /// Print the help of a command
    #[command(after_help = examples::HELP)]
    Help(Help),
    /// Print the version
    #[command(after_help = examples::VERSION)]
    Version,
}

/// `monitor`
#[derive(Debug, Args)]
pub struct Monitor {
    /// What is traced.
    #[command(flatten)]
    pub trace: Trace,
    /// How it is captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Where and how it is printed.
    #[command(flatten)]
    pub print: Print,
    /// Which plugins run.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `files`
#[derive(Debug, Args)]
pub struct FilesCommand {
    /// Of which processes, and how long.
    #[command(flatten)]
    pub processes: Processes,
    /// Which files.
    #[command(flatten)]
    pub files: Files,
    /// How it is captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Where and how it is printed.
    #[command(flatten)]
    pub print: Print,
    /// Which plugins run.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `libs`
#[derive(Debug, Args)]
pub struct LibsCommand {
    /// Of which processes, and how long.
    #[command(flatten)]
    pub processes: Processes,
    /// Which libraries.
    #[command(flatten)]
    pub libraries: Libraries,
    /// How it is captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Where and how it is printed.
    #[command(flatten)]
    pub print: Print,
    /// Which plugins run.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// The recording
    #[arg(value_name = "FILE", value_parser = values::path())]
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
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `help`
#[derive(Debug, Args)]
pub struct Help {
    /// Of which command; without one, of the program
    #[arg(value_name = "COMMAND")]
    pub words: Vec<OsString>,
}

/// Which events are left.
#[derive(Debug, Default, Args)]
pub struct Trace {
    /// Of which processes, and how long.
    #[command(flatten)]
    pub processes: Processes,
    /// Which libraries.
    #[command(flatten)]
    pub libraries: Libraries,
    /// Which files.
    #[command(flatten)]
    pub files: Files,
}

/// Of which processes, and how long.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Processes {
    /// How long to run: seconds, or a number with s, m or h; 0 is until the end
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        value_parser = values::duration(),
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub duration: Duration,
    /// Which ones.
    #[command(flatten)]
    pub watched: Watched,
}

/// Of which processes.
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
    /// With --pid: its descendants too
    #[arg(long, requires = "pid")]
    pub follow_children: bool,
    /// Only processes with TEXT in their name; over 15 bytes: in their executable's file name
    #[arg(short, long, value_name = "TEXT", value_parser = values::wanted(), allow_negative_numbers = true)]
    pub name: Vec<OsString>,
}

/// Which libraries.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Libraries {
    /// Only libraries with TEXT in their path
    #[arg(short, long, value_name = "TEXT", value_parser = values::wanted(), allow_negative_numbers = true)]
    pub library: Vec<OsString>,
}

/// Which files.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Files {
    /// Only files whose path matches GLOB; * also crosses /
    #[arg(short = 'F', long, value_name = "GLOB", value_parser = values::glob(), allow_negative_numbers = true)]
    pub file: Vec<Glob>,
}

/// How it is captured.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Capture {
    /// Capture opens and loads with this probe instead of the best one that loads
    #[arg(long, value_name = "NAME", value_parser = values::name(), allow_negative_numbers = true)]
    pub probe: Option<String>,
    /// Keep the raw records in FILE, a new one, for `replay`; not redacted, for its owner only
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub record: Option<PathBuf>,
}

/// Options for output.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Print {
    /// Print to FILE: lines are appended, an array replaces what is in it; a new one is for its owner only
    #[arg(short, long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub output: Option<PathBuf>,
    /// How events are written
    #[arg(short, long, value_enum, default_value_t, allow_negative_numbers = true)]
    pub format: FormatArg,
    /// Colours of the table
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
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Plugins")]
pub struct PluginArgs {
    /// A plugin that says what a file is, instead of the bundled one (`default`)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::file(), allow_negative_numbers = true)]
    pub classifier: Vec<OsString>,
    /// A plugin that hides what must not be shown, instead of the bundled one (`default`)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::file(), allow_negative_numbers = true)]
    pub redactor: Vec<OsString>,
    /// A plugin that says which events are kept
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::file(), allow_negative_numbers = true)]
    pub filter: Vec<OsString>,
    /// Read this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    pub config: Option<PathBuf>,
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, Args)]
pub struct LoudnessArgs {
    /// Say more on standard error
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say only errors on standard error
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl LoudnessArgs {
    /// As the rest of the program takes it.
    pub fn console(&self) -> crypto_tracer_system::console::Console {
        use crypto_tracer_system::console::{Console, Verbosity};
        Console(match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The words of each example, the way a shell splits these simple ones.
    fn examples(text: &str) -> Vec<Vec<String>> {
        let lines = text.lines().map(str::trim);
        let lines = lines.map(|line| line.strip_prefix("sudo ").unwrap_or(line));
        lines
            .filter(|line| line.starts_with("crypto-tracer "))
            .map(|line| {
                let line = line.split([';', '|', '>', '&']).next().unwrap_or_default();
                let quoted = line.split('\'').enumerate();
                quoted
                    .flat_map(|(at, part)| match at % 2 {
                        0 => part.split_whitespace().map(str::to_owned).collect(),
                        _ => vec![part.to_owned()],
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn each_command_has_three_examples_that_are_right() {
        fn check(command: &mut clap::Command) -> usize {
            let help = command.render_long_help().to_string();
            let examples = examples(&help);
            let name = command.get_name();
            assert!(examples.len() >= 3, "{name} has {}", examples.len());
            for example in &examples {
                let parsed = Cli::try_parse_from(example);
                assert!(parsed.is_ok(), "{example:?}: {}", parsed.unwrap_err());
                assert!(example.iter().any(|word| word == name), "{example:?} in {name}");
            }
            1 + command.get_subcommands_mut().map(check).sum::<usize>()
        }
        assert_eq!(
            check(&mut Cli::command()),
            17,
            "the program, its commands, and those of plugin"
        );
    }

    #[test]
    fn loudness_stands_before_or_behind_the_command() {
        for arguments in [["crypto-tracer", "-q", "version"], ["crypto-tracer", "version", "-q"]] {
            assert!(Cli::try_parse_from(arguments).unwrap().loudness.quiet);
        }
    }

    /// A negative number, or a name that starts with `-`, is the value of the option, not an unknown option.
    #[test]
    fn value_may_start_with_a_dash() {
        fn check(command: &clap::Command) {
            let path = command.get_bin_name().unwrap_or("crypto-tracer");
            let options = command.get_arguments().filter(|it| it.get_action().takes_values());
            for option in options.filter_map(clap::Arg::get_long) {
                let arguments = format!("{path} --{option} -1");
                if let Err(error) = Cli::try_parse_from(arguments.split(' ')) {
                    assert_ne!(error.kind(), ErrorKind::UnknownArgument, "{arguments}: {error}");
                }
            }
            command.get_subcommands().for_each(check);
        }
        let mut cli = Cli::command();
        cli.build();
        check(&cli);
    }

    #[test]
    fn filters_can_be_given_twice() {
        let arguments = "crypto-tracer monitor -p 1 -p 2 -n a -n b -l x -l y -F *.a -F *.b";
        let parsed = Cli::try_parse_from(arguments.split(' ')).unwrap();
        let Command::Monitor(Monitor { trace, .. }) = parsed.command else { panic!() };
        assert_eq!((trace.processes.watched.pid.len(), trace.processes.watched.name.len()), (2, 2));
        assert_eq!((trace.libraries.library.len(), trace.files.file.len()), (2, 2));
    }
}
