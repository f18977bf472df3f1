//! From arguments to the steps behind the kernel, for live runs and replays.

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
    Format, NewFile, OpenError, OutputControl, Stream, TableStyle, Target, WriterReport,
};
use crypto_tracer_pipeline::Family;
use crypto_tracer_pipeline::enrich::{Baseline, Enrich, ProcessInfo};
use crypto_tracer_pipeline::glob::Glob;
use crypto_tracer_pipeline::select::Select;
use crypto_tracer_pipeline::stats::Stats;
use crypto_tracer_plugin::{LoadError, PluginSource, PluginSpec, Plugins, Problem, Setup, Trust};
use crypto_tracer_reader::{ExistingProcess, resolve_links};
use crypto_tracer_system::accounts;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::confine::{self, RetainedPrivileges};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::usage::{ResourceUsage, Used};

/// Reads the configuration; one that is not obeyed is a bad argument.
pub(super) fn config(arguments: &PluginArgs, trust: &Trust) -> Result<Config, Failure> {
    read_config(arguments.config.as_deref(), trust)
}

/// The same, of this file, or of the usual one.
pub(super) fn read_config(file: Option<&Path>, trust: &Trust) -> Result<Config, Failure> {
    Config::load(file, trust).map_err(|error| Failure::new(ExitStatus::Usage, error))
}

/// Whether there is a configuration that a reload reads anew.
pub(super) fn has_config(arguments: &PluginArgs, trust: &Trust) -> bool {
    Config::find(arguments.config.as_deref(), trust).is_ok_and(|found| found.is_some())
}

/// Loads the plugins; a bad one is a bad argument. None: the end was asked for meanwhile.
pub(super) fn plugins(
    arguments: &PluginArgs,
    config: &Config,
    trust: &Trust,
    shutdown: &Shutdown,
    clock: &Clock,
) -> Result<Option<Plugins>, Failure> {
    let named_chains = arguments.chains().into_iter().filter(|(_, files)| !files.is_empty());
    let chains = named_chains.map(|(kind, files)| (kind, files.iter().map(named).collect()));
    let setup = config.setup(chains.collect(), trust, shutdown);
    match Plugins::load(&Setup { clock: clock.clone(), ..setup }) {
        Ok(plugins) => Ok(Some(plugins)),
        Err(LoadError { problem: Problem::Stopped, .. }) => Ok(None),
        Err(error) => Err(Failure::new(ExitStatus::Usage, error)),
    }
}

/// `default` names the bundled plugin.
fn named(file: &OsString) -> PluginSpec {
    if file == "default" {
        PluginSpec::bundled()
    } else {
        PluginSpec::command_line(PluginSource::File(file.into()))
    }
}

/// The host's filters. `family`: the processes of `--follow-children`, where the kernel side does not know them.
pub(super) fn select(kinds: EventKinds, trace: &Trace, family: Family) -> Select {
    let bytes = |texts: &[OsString]| texts.iter().map(|text| text.clone().into_vec()).collect();
    let watched = &trace.processes.watched;
    Select {
        kinds,
        // With --follow-children, the pid is not that of all events.
        pids: if watched.follow_children { vec![] } else { watched.pid.clone() },
        family,
        names: bytes(&watched.name),
        libraries: bytes(&trace.libraries.library),
        files: trace.files.file.clone(),
    }
}

/// Warns of filters that leave nothing.
pub(super) fn warn(select: &Select, interest: &Interest, console: Console) {
    for warning in select.unsatisfiable(interest) {
        console.info(format_args!("warning: {warning}"));
    }
}

/// Warns of `--file` whose beginning is no path that files have on this machine: what is compared is resolved.
pub(super) fn warn_of_links(select: &Select, console: Console) {
    for glob in &select.files {
        let (fixed, rest) = glob.fixed_part();
        // By the caller's rights: he learns of no link that he could not see.
        let absolute = Path::new(&fixed).is_absolute();
        let resolve = || absolute.then(|| resolve_links(Path::new(&fixed))).flatten();
        let resolved = confine::as_caller(resolve).ok().flatten();
        let Some(resolved) = resolved.as_deref().and_then(Path::to_str) else { continue };
        let right = format!("{}{rest}", Glob::escape(resolved.trim_end_matches('/')));
        console.info(format_args!(
            "warning: --file '{}' leads through a symbolic link, and resolved paths are compared; write '{}'",
            printable(glob.as_str()),
            printable(&right)
        ));
    }
}

/// What a new output file is given; a group that is not there is a bad argument.
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

/// Gives up all privileges but those that the output still needs.
/// `gives`: new files may have to be given to a group.
pub(super) fn confine(output: Option<&Path>, gives: bool) -> Result<(), Failure> {
    let kept = RetainedPrivileges::for_output(output, gives);
    let confined = confine::thread(&kept).context("cannot drop privileges");
    confined.map_err(|error| Failure { code: ExitStatus::Failed, error })
}

/// Opens a file that was named on the command line, by no other right than that of who named it.
pub(super) fn named_by_user<T>(
    open: impl FnOnce() -> Result<T, OpenError>,
) -> Result<T, anyhow::Error> {
    confine::as_caller(open).context("cannot lay down privileges")?.map_err(anyhow::Error::new)
}

/// Opens where the output goes. None: the end was asked for while nobody read it.
pub(super) fn target(
    print: &Print,
    new: NewFile,
    shutdown: &Shutdown,
) -> Result<Option<Target>, Failure> {
    let target = match &print.output {
        Some(path) => {
            named_by_user(|| Target::open_waiting(path, format(print).appends(), new, shutdown))
        }
        None => Target::standard_output().map(Some).context("cannot use standard output"),
    };
    target.map_err(|error| Failure { code: ExitStatus::Failed, error })
}

/// Opens the file of the output once more, in the middle of a run that waits for nobody.
pub(super) fn again(path: &Path, print: &Print, new: NewFile) -> Result<Target, anyhow::Error> {
    Target::open(path, format(print).appends(), new).map_err(anyhow::Error::new)
}

/// Starts the stream of a command that prints events. A new kind of output is chosen here.
pub(super) fn output(target: Target, print: &Print) -> Result<(Stream, OutputControl), Failure> {
    let stream = Stream::start(target, format(print), print.extended);
    let started = stream.and_then(|stream| stream.control().map(|control| (stream, control)));
    started
        .context("cannot start the writer")
        .map_err(|error| Failure { code: ExitStatus::Failed, error })
}

fn format(print: &Print) -> Format {
    match print.format {
        FormatArg::JsonStream => Format::JsonStream,
        FormatArg::JsonArray => Format::JsonArray,
        FormatArg::JsonPretty => Format::JsonPretty,
        FormatArg::Table => Format::Table(look(print)),
    }
}

/// Columns and colours are a terminal's; a file gets neither.
fn look(print: &Print) -> TableStyle {
    let terminal = print.output.is_none() && std::io::stdout().is_terminal();
    let width = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten();
    let color = match print.color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    TableStyle { width: width.map(|size| size.ws_col).filter(|&columns| columns > 0), color }
}

/// Takes in the processes that were there before, with the libraries that somebody is interested in.
pub(super) fn remember(enrich: &mut Enrich, seen: &[ExistingProcess], interest: &Interest) {
    for process in seen {
        let wanted = |path: &[u8]| {
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            interest.wants_library(name)
        };
        let libraries = process.mapped.iter().filter(|file| wanted(&file.path));
        let before = Baseline {
            start_ns: process.start_ns,
            known: ProcessInfo { exe: process.exe.as_deref().map(Into::into) },
            libraries: libraries.map(|file| ((file.dev, file.inode), file.path.clone())).collect(),
        };
        enrich.insert(process.pid, before);
    }
}

/// What failed, the last line, and whether everything is out.
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
    console.info(format_args!("{stats}; {}", Used::with(reader)));
    ended(output)
}

/// An output that did not take everything is a failure; a reader that has seen enough is none.
pub(super) fn ended(output: WriterReport) -> Result<(), Failure> {
    let WriterReport { not_written, reader_closed, error, target, .. } = output;
    let verb = if not_written == 1 { "was" } else { "were" };
    let lost = format!("{} {verb} not written", counted(not_written, "event"));
    let error = match error {
        _ if reader_closed => return Ok(()),
        Some(error) => {
            anyhow::Error::new(error).context(format!("cannot write to {target}: {lost}"))
        }
        None if not_written > 0 => {
            anyhow!("{target} took no more: {lost}")
        }
        None => return Ok(()),
    };
    Err(Failure { code: ExitStatus::Failed, error })
}
