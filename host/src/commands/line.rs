//! From arguments to the steps behind the kernel, for live runs and replays.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, anyhow};

use crate::cli::{ColorArg, FormatArg, PluginArgs, Print, Trace};
use crate::enrich::{Before, Enrich, Known};
use crate::error::{Code, Failure};
use crate::interest::Interest;
use crate::output::{Ended, Format, Look, Output, Target};
use crate::pipeline::{AskHeads, Line};
use crate::plugin::{PluginSource, PluginSpec, Plugins, Setup};
use crate::reader::SeenProcess;
use crate::say::Say;
use crate::select::{Kinds, Select};
use crate::stats::{Stats, Usage};
use crate::stop::Stop;

/// What a line is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) enrich: Enrich,
    pub(super) select: Select,
    pub(super) plugins: Plugins,
    pub(super) heads: Box<dyn AskHeads>,
    pub(super) output: Output,
    pub(super) stop: Stop,
    pub(super) say: Say,
}

pub(super) fn line(parts: Parts, print: &Print, trace: &Trace) -> Line {
    let Parts { enrich, select, plugins, heads, output, stop, say } = parts;
    Line {
        enrich,
        select,
        plugins,
        heads,
        output,
        stats: Stats::default(),
        redact: !print.no_redact,
        extended: trace.extended,
        stop,
        say,
    }
}

/// Loads the plugins; a bad one is a bad argument.
pub(super) fn plugins(arguments: &PluginArgs, stop: &Stop) -> Result<Plugins, Failure> {
    let chain = |files: &[OsString]| match files {
        [] => vec![PluginSpec::bundled()],
        files => files.iter().map(named).collect(),
    };
    let setup = Setup {
        classifiers: chain(&arguments.classifier),
        redactors: chain(&arguments.redactor),
        stop: stop.clone(),
        ..Setup::default()
    };
    Plugins::load(&setup).map_err(|error| Failure::new(Code::Usage, error))
}

/// `default` names the bundled plugin.
fn named(file: &OsString) -> PluginSpec {
    if file == "default" {
        PluginSpec::bundled()
    } else {
        PluginSpec::command_line(PluginSource::File(file.into()))
    }
}

pub(super) fn select(kinds: Kinds, trace: &Trace) -> Select {
    let bytes = |texts: &[OsString]| texts.iter().map(|text| text.clone().into_vec()).collect();
    Select {
        kinds,
        pids: trace.pid.clone(),
        names: bytes(&trace.name),
        libraries: bytes(&trace.library),
        files: trace.file.clone(),
    }
}

/// Opens where the output goes.
pub(super) fn target(print: &Print) -> Result<Target, Failure> {
    let target = match &print.output {
        Some(path) => Target::open(path, format(print).appends()).map_err(anyhow::Error::new),
        None => Target::standard_output().context("cannot use standard output"),
    };
    target.map_err(|error| Failure { code: Code::Failed, error })
}

/// Starts the output's writer.
pub(super) fn output(target: Target, print: &Print, extended: bool) -> Result<Output, Failure> {
    let output = Output::start(target, format(print), extended);
    output.context("cannot start the writer").map_err(|error| Failure { code: Code::Failed, error })
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
fn look(print: &Print) -> Look {
    let terminal = print.output.is_none() && std::io::stdout().is_terminal();
    let width = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten();
    let color = match print.color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    Look { width: width.map(|size| size.ws_col).filter(|&columns| columns > 0), color }
}

/// Takes in the processes that were there before, with the libraries that somebody is interested in.
pub(super) fn remember(enrich: &mut Enrich, seen: &[SeenProcess], interest: &Interest) {
    for process in seen {
        let wanted = |path: &[u8]| {
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            interest.wants_library(name)
        };
        let libraries = process.mapped.iter().filter(|file| wanted(&file.path));
        let before = Before {
            start_ns: process.start_ns,
            known: Known { exe: process.exe.as_deref().map(Into::into) },
            libraries: libraries.map(|file| (file.dev, file.inode)).collect(),
        };
        enrich.know(process.pid, before);
    }
}

/// The last line, and whether everything is out.
pub(super) fn report(stats: &Stats, output: Ended, say: Say) -> Result<(), Failure> {
    say.info(format_args!("{stats}; {}", Usage::own()));
    ended(output)
}

/// An output that did not take everything is a failure; a reader that has seen enough is none.
pub(super) fn ended(output: Ended) -> Result<(), Failure> {
    let Ended { not_written, reader_closed, error, target, .. } = output;
    let error = match error {
        _ if reader_closed => return Ok(()),
        Some(error) => anyhow::Error::new(error)
            .context(format!("cannot write to {target}: {not_written} events were not written")),
        None if not_written > 0 => {
            anyhow!("{target} took no more: {not_written} events were not written")
        }
        None => return Ok(()),
    };
    Err(Failure { code: Code::Failed, error })
}
