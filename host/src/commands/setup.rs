//! Builds the parts of a run from the arguments, for live runs and replays.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::cli::{ColorArg, FormatArg, PluginArgs, Print, Trace};
use crate::config::Config;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::{
    Direct, Format, NewFile, OpenError, Output, OutputControl, Stream, TableStyle, Target,
    WriterReport,
};
use crypto_tracer_pipeline::Family;
use crypto_tracer_pipeline::enrich::{Baseline, Enrich, ProcessInfo};
use crypto_tracer_pipeline::glob::Glob;
use crypto_tracer_pipeline::select::Select;
use crypto_tracer_pipeline::stats::Stats;
use crypto_tracer_plugin::{
    CompiledPlugins, LoadError, PluginSource, PluginSpec, Plugins, Problem, Setup, Trust,
};
use crypto_tracer_reader::{ExistingProcess, resolve_links};
use crypto_tracer_system::accounts;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::confine::{self, RetainedPrivileges};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::seccomp;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::usage::{ResourceUsage, Used};

/// Reads the configuration. An invalid one is a usage error.
pub(super) fn config(arguments: &PluginArgs, trust: &Trust) -> Result<Config, Failure> {
    read_config(arguments.config.as_deref(), trust)
}

/// Reads the configuration from `file`, or from the default path.
pub(super) fn read_config(file: Option<&Path>, trust: &Trust) -> Result<Config, Failure> {
    Config::load(file, trust).map_err(|error| Failure::new(ExitStatus::Usage, error))
}

/// Loads the plugins, with inspectors if an output or `--inspector` asks for assets. An invalid plugin is a usage error.
/// Returns `None` if a shutdown is requested.
pub(super) fn plugins(
    arguments: &PluginArgs,
    config: &Config,
    trust: &Trust,
    shutdown: &Shutdown,
    clock: &Clock,
    needs_assets: bool,
) -> Result<Option<Plugins>, Failure> {
    let compiled = CompiledPlugins::default();
    reloaded_plugins(arguments, config, trust, shutdown, clock, (&compiled, needs_assets))
}

/// Like [`plugins`], without compiling those that `compiled` has from an earlier load.
pub(super) fn reloaded_plugins(
    arguments: &PluginArgs,
    config: &Config,
    trust: &Trust,
    shutdown: &Shutdown,
    clock: &Clock,
    (compiled, needs_assets): (&CompiledPlugins, bool),
) -> Result<Option<Plugins>, Failure> {
    let named = arguments.chains().into_iter().filter(|(_, files)| !files.is_empty());
    let chains = named.map(|(kind, files)| (kind, files.iter().map(plugin_spec).collect()));
    let needs_assets = needs_assets || !arguments.inspector.is_empty();
    let setup = config.setup(chains.collect(), trust, shutdown);
    let clock = clock.clone();
    let compiled = compiled.clone();
    match Plugins::load(&Setup { clock, compiled, needs_assets, ..setup }) {
        Ok(plugins) => Ok(Some(plugins)),
        Err(LoadError { problem: Problem::Stopped, .. }) => Ok(None),
        Err(error) => Err(Failure::new(ExitStatus::Usage, error)),
    }
}

/// Returns the plugin of an argument: `default` is the bundled one.
fn plugin_spec(file: &OsString) -> PluginSpec {
    if file == "default" {
        PluginSpec::bundled()
    } else {
        PluginSpec::command_line(PluginSource::File(file.into()))
    }
}

/// Builds the host's filters. `family`: the processes of `--follow-children`, if the kernel side does not filter them.
pub(super) fn select(kinds: EventKinds, trace: &Trace, family: Family) -> Select {
    let bytes = |texts: &[OsString]| texts.iter().map(|text| text.clone().into_vec()).collect();
    let watched = &trace.processes.watched;
    Select {
        kinds,
        // With --follow-children, events have the pids of all descendants.
        pids: if watched.follow_children { vec![] } else { watched.pid.clone() },
        family,
        names: bytes(&watched.name),
        libraries: bytes(&trace.libraries.library),
        files: trace.files.file.clone(),
    }
}

/// Warns of filters that no event can pass.
pub(super) fn warn_of_unsatisfiable(select: &Select, interest: &Interest, console: Console) {
    for warning in select.unsatisfiable(interest) {
        console.info(format_args!("warning: {warning}"));
    }
}

/// Warns of a `--file` that contains a symbolic link: resolved paths are compared.
pub(super) fn warn_of_links(select: &Select, console: Console) {
    for glob in &select.files {
        let (fixed, rest) = glob.fixed_part();
        // With the caller's permissions, so that the warning reveals no link that the caller cannot read.
        let absolute = Path::new(&fixed).is_absolute();
        let resolve = || absolute.then(|| resolve_links(Path::new(&fixed))).flatten();
        let resolved = confine::as_invoker(resolve).ok().flatten();
        let Some(resolved) = resolved.as_deref().and_then(Path::to_str) else { continue };
        let corrected = format!("{}{rest}", Glob::escape(resolved.trim_end_matches('/')));
        console.info(format_args!(
            "warning: --file '{}' contains a symbolic link, but resolved paths are compared; write '{}'",
            printable(glob.as_str()),
            printable(&corrected)
        ));
    }
}

/// Returns permissions and group of a new output file. An unknown group is a usage error.
pub(super) fn new_file(config: &Config) -> Result<NewFile, Failure> {
    let mut new = NewFile::default();
    if let Some(mode) = config.output.mode {
        new.mode = mode;
    }
    if let Some(group) = &config.output.group {
        let error = || anyhow!("[output] group: there is no group {group:?} in /etc/group");
        let gid = accounts::group_id(group)
            .ok_or_else(|| Failure { code: ExitStatus::Usage, error: error() })?;
        new.gid = Some(gid);
    }
    Ok(new)
}

/// Drops all privileges except those that the output and the BPF maps need.
/// `changes_group`: the group of new files may have to be set.
pub(super) fn confine(output: Option<&Path>, changes_group: bool) -> Result<(), Failure> {
    let retained = RetainedPrivileges::for_output(output, changes_group);
    let confined = confine::confine_thread(&retained).context("cannot drop privileges");
    confined.map_err(|error| Failure { code: ExitStatus::Failed, error })?;
    // Best effort, like Landlock: a kernel without seccomp.
    let _ = seccomp::restrict(seccomp::Role::Main);
    Ok(())
}

/// Opens a file of the command line with the permissions of the caller.
pub(super) fn open_as_caller<T>(
    open: impl FnOnce() -> Result<T, OpenError>,
) -> Result<T, anyhow::Error> {
    as_caller(open).map_err(|failure| failure.error)?.map_err(anyhow::Error::new)
}

/// Runs a task with the permissions of the caller.
pub(super) fn as_caller<T>(task: impl FnOnce() -> T) -> Result<T, Failure> {
    confine::as_invoker(task)
        .context("cannot switch to the caller's permissions")
        .map_err(|error| Failure { code: ExitStatus::Failed, error })
}

/// Opens the target of the output. Returns `None` if a shutdown is requested while a FIFO has no reader.
pub(super) fn target(
    print: &Print,
    new: NewFile,
    shutdown: &Shutdown,
) -> Result<Option<Target>, Failure> {
    let target = match &print.output {
        Some(path) => open_as_caller(|| Target::open_waiting(path, appends(print), new, shutdown)),
        None => Target::standard_output().map(Some).context("cannot use standard output"),
    };
    target.map_err(|error| Failure { code: ExitStatus::Failed, error })
}

/// Starts the output of a command that prints events. A new kind of output is chosen here. `direct`: this thread may write
/// itself as long as the target takes everything at once.
pub(super) fn output(
    target: Target,
    print: &Print,
    direct: Option<Direct>,
) -> Result<(Box<dyn Output>, OutputControl), Failure> {
    let start = || -> std::io::Result<(Box<dyn Output>, OutputControl)> {
        let stream = Stream::start(target, format(print), print.extended, direct)?;
        let control = stream.control()?;
        Ok((Box::new(stream), control))
    };
    start()
        .context("cannot start the writer")
        .map_err(|error| Failure { code: ExitStatus::Failed, error })
}

/// Returns whether an existing file of the output is kept.
pub(super) fn appends(print: &Print) -> bool {
    format(print).appends()
}

fn format(print: &Print) -> Format {
    match print.format {
        FormatArg::JsonStream => Format::JsonStream,
        FormatArg::JsonArray => Format::JsonArray,
        FormatArg::JsonPretty => Format::JsonPretty,
        FormatArg::Table => Format::Table(table_style(print)),
    }
}

/// Returns the width of the terminal and whether to use colours.
fn table_style(print: &Print) -> TableStyle {
    let terminal = print.output.is_none() && std::io::stdout().is_terminal();
    let width = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten();
    let color = match print.color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    TableStyle { width: width.map(|size| size.ws_col).filter(|&columns| columns > 0), color }
}

/// Adds the existing processes, with their libraries of interest.
pub(super) fn add_baselines(
    enrich: &mut Enrich,
    existing: &[ExistingProcess],
    interest: &Interest,
) {
    for process in existing {
        let wanted = |path: &[u8]| {
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            interest.wants_library(name)
        };
        let libraries = process.mapped.iter().filter(|file| wanted(&file.path));
        let baseline = Baseline {
            start_ns: process.start_ns,
            info: ProcessInfo { exe: process.exe.as_deref().map(Into::into) },
            libraries: libraries.map(|file| ((file.dev, file.inode), file.path.clone())).collect(),
        };
        enrich.insert(process.pid, baseline);
    }
}

/// Prints the plugins' failures and the counters. Returns the failure of an incomplete output.
pub(super) fn report(
    stats: &Stats,
    reader: Option<ResourceUsage>,
    output: WriterReport,
    console: Console,
) -> Result<(), Failure> {
    for ((plugin, kind, cause), count) in &stats.plugin_failures {
        let times = counted(*count, "time");
        console.info(format_args!("plugin {plugin} failed {times} as a {kind}: {cause}"));
    }
    report_counters(stats, reader, console);
    check_written(output, "event")
}

/// Prints the missing heads, and the last line with the counters and the resource usage.
pub(super) fn report_counters(stats: &Stats, reader: Option<ResourceUsage>, console: Console) {
    if let Some(heads) = stats.missing_heads_summary() {
        console.info(heads);
    }
    console.info(format_args!("{stats}; {}", Used::with(reader)));
}

/// Returns the failure of an incomplete output. A pipe that its reader has closed is not a failure. `item`: what the writer
/// counts.
pub(super) fn check_written(output: WriterReport, item: &'static str) -> Result<(), Failure> {
    let WriterReport { not_written, reader_closed, error, target, .. } = output;
    let verb = if not_written == 1 { "was" } else { "were" };
    let lost = format!("{} {verb} not written", counted(not_written, item));
    let error = match error {
        _ if reader_closed => return Ok(()),
        Some(error) => {
            anyhow::Error::new(error).context(format!("cannot write to {target}: {lost}"))
        }
        None if not_written > 0 => {
            anyhow!("{target} is blocked: {lost}")
        }
        None => return Ok(()),
    };
    Err(Failure { code: ExitStatus::Failed, error })
}
