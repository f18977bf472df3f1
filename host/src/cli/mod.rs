//! The command line: commands and their arguments.

mod doctor;
mod document;
mod examples;
mod inventory;
mod inventory_documents;
mod options;
pub(crate) mod plugin;
mod usage_error;
pub(crate) mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use doctor::DoctorArgs;
pub use document::{DocumentFormat, DocumentOutput, DocumentPrint, ProfileArgs, SnapshotArgs};
pub use inventory::InventoryCommand;
pub(crate) use inventory::{InventoryAction, InventoryRecord};
pub use inventory_documents::{
    ExportFormat, InventoryDiff, InventoryExport, InventoryMerge, ReportArgs,
};
pub use options::{
    Capture, ColorArg, Files, FormatArg, Libraries, PluginArgs, Print, Processes, Trace,
    VerbosityArgs, Watched,
};
pub use usage_error::{help_hint, usage_error};

/// Shows which process opens which certificate, key or keystore, which process loads which crypto library, and which
/// processes start and end.
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
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Amount of messages on standard error.
    #[command(flatten)]
    pub verbosity: VerbosityArgs,
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
    /// Print one document about selected processes
    ///
    /// Traces the processes that --pid or --name selects, for --duration or until they end. Then prints which libraries
    /// they loaded and which files they opened, including those from before the start. Needs privileges.
    #[command(after_help = examples::PROFILE)]
    Profile(ProfileArgs),
    /// Print one document about every running process
    ///
    /// Reads from /proc which processes have crypto libraries loaded and crypto files open. Without privileges, covers
    /// only the processes of its own user, and reports this.
    #[command(after_help = examples::SNAPSHOT)]
    Snapshot(SnapshotArgs),
    /// Write and use inventories: which programs used which crypto libraries and files
    #[command(after_help = examples::INVENTORY)]
    Inventory(InventoryCommand),
    /// Write an inventory as one HTML page
    ///
    /// The page needs no network: certificates by their end and last use, who uses which key, libraries by version, what
    /// is stale, and what was not seen and why. All tables can be sorted and filtered.
    #[command(after_help = examples::REPORT)]
    Report(ReportArgs),
    /// Print what monitor would print for a recorded run
    ///
    /// Processes a recording of `monitor --record` with the current plugins and options. Needs no privileges.
    #[command(after_help = examples::REPLAY)]
    Replay(Replay),
    /// Check what this kernel and these privileges allow, without tracing
    ///
    /// Tries every probe. Prints whether it works, or why not and what would help, and what it cannot see. The exit code
    /// is 0 if monitor would run, otherwise the exit code of monitor.
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Write, check, test and measure plugins, without tracing
    #[command(after_help = examples::PLUGIN)]
    Plugin(plugin::PluginCommand),
    /// Print the completion script for a shell
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
    /// All filters, and the duration.
    #[command(flatten)]
    pub trace: Trace,
    /// Only loads and opens that the inventory FILE does not have; no process_exec and process_exit
    #[arg(
        long,
        value_name = "FILE",
        value_parser = values::path(),
        allow_negative_numbers = true,
        help_heading = "Tracing"
    )]
    pub baseline: Option<PathBuf>,
    /// How events are captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Output.
    #[command(flatten)]
    pub print: Print,
    /// Plugins, and the configuration file.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `files`
#[derive(Debug, Args)]
pub struct FilesCommand {
    /// Duration and filters by process.
    #[command(flatten)]
    pub processes: Processes,
    /// Filters by file.
    #[command(flatten)]
    pub files: Files,
    /// How events are captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Output.
    #[command(flatten)]
    pub print: Print,
    /// Plugins, and the configuration file.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `libs`
#[derive(Debug, Args)]
pub struct LibsCommand {
    /// Duration and filters by process.
    #[command(flatten)]
    pub processes: Processes,
    /// Filters by library.
    #[command(flatten)]
    pub libraries: Libraries,
    /// How events are captured.
    #[command(flatten)]
    pub capture: Capture,
    /// Output.
    #[command(flatten)]
    pub print: Print,
    /// Plugins, and the configuration file.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// The recording
    #[arg(value_name = "FILE", value_parser = values::path())]
    pub recording: PathBuf,
    /// Print the events as cases for `plugin test`, without the filters of the configuration
    #[arg(long, conflicts_with_all = ["filter", "output"])]
    pub cases: bool,
    /// Print what the configuration NEW changes, compared to OLD
    #[arg(
        long,
        num_args = 2,
        value_names = ["OLD", "NEW"],
        value_parser = values::path(),
        allow_negative_numbers = true,
        conflicts_with_all = ["cases", "classifier", "redactor", "filter", "config", "output"]
    )]
    pub diff: Vec<PathBuf>,
    /// All filters, and the duration.
    #[command(flatten)]
    pub trace: Trace,
    /// Output.
    #[command(flatten)]
    pub print: Print,
    /// Plugins, and the configuration file.
    #[command(flatten)]
    pub plugins: PluginArgs,
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// Shell of the script
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `help`
#[derive(Debug, Args)]
pub struct Help {
    /// Command to describe; without one, the program
    #[arg(value_name = "COMMAND")]
    pub words: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The words of each example. Splits only the quoting and operators that the examples use.
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
    fn each_command_has_three_valid_examples() {
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
            25,
            "the program, its commands, and those of plugin and inventory"
        );
    }

    #[test]
    fn verbosity_is_accepted_before_and_after_the_command() {
        for arguments in [["crypto-tracer", "-q", "version"], ["crypto-tracer", "version", "-q"]] {
            assert!(Cli::try_parse_from(arguments).unwrap().verbosity.quiet);
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
    fn filters_can_be_repeated() {
        let arguments = "crypto-tracer monitor -p 1 -p 2 -n a -n b -l x -l y -F *.a -F *.b";
        let parsed = Cli::try_parse_from(arguments.split(' ')).unwrap();
        let Command::Monitor(Monitor { trace, .. }) = parsed.command else { panic!() };
        assert_eq!((trace.processes.watched.pid.len(), trace.processes.watched.name.len()), (2, 2));
        assert_eq!((trace.libraries.library.len(), trace.files.file.len()), (2, 2));
    }
}
