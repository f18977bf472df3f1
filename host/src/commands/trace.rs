//! What all commands share that trace the live system: everything from the arguments to the pipeline.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::cli::{FormatArg, PluginArgs, Print, Trace};
use crate::enrich::{Before, Enrich, Known};
use crate::error::{Code, Failure};
use crate::output::{Ended, Format, Output, Target};
use crate::pipeline::{Line, Live, Outcome, ReaderHeads};
use crate::plugin::{PluginSource, PluginSpec, Plugins, Setup};
use crate::reader::{Reader, SeenProcess};
use crate::say::Say;
use crate::select::{COMM_BYTES, Kinds, Select};
use crate::signals::Signals;
use crate::source::{self, Source};
use crate::stats::Usage;
use crate::stop::Stop;

/// Size of the ring buffer. It holds over 100 ms of events at full speed.
const RING_BYTES: u32 = 8 << 20;
/// How long the look at `/proc` may take before the run starts without it.
const SCAN: Duration = Duration::from_secs(2);

/// Traces and prints a stream.
pub(super) fn stream(
    kinds: Kinds,
    trace: &Trace,
    print: &Print,
    plugins: &PluginArgs,
    say: Say,
) -> Result<(), Failure> {
    let stop = Stop::default();
    let plugins = Plugins::load(&setup(plugins, &stop)).map_err(usage)?;
    if let Some(path) = &print.output {
        Target::check(path).map_err(failed)?;
    }
    trace.pid.iter().try_for_each(|&pid| check_pid(pid))?;

    let signals = Signals::start(stop.clone()).context("cannot take signals").map_err(failed)?;
    let mut reader = Reader::start().context("cannot start the reader").map_err(failed)?;
    let select = select(kinds, trace);
    let source = start_source(&select, &plugins, &reader)?;
    let mut enrich = Enrich::default();
    if let Some(seen) = reader.scan(Instant::now() + SCAN, &stop) {
        remember(&mut enrich, seen, &plugins);
    }
    let target = match &print.output {
        Some(path) => Target::append(path).map_err(failed)?,
        None => Target::standard_output().context("cannot use standard output").map_err(failed)?,
    };
    let FormatArg::JsonStream = print.format;
    let output = Output::start(target, Format::JsonStream, trace.extended).map_err(failed)?;
    announce(&source, &plugins, say);
    let heads = Box::new(ReaderHeads { reader, stop: stop.clone() });
    let line = Line {
        enrich,
        select,
        plugins,
        heads,
        output,
        stats: Default::default(),
        redact: !print.no_redact,
        extended: trace.extended,
        stop: stop.clone(),
    };
    let until = (!trace.duration.is_zero()).then(|| Instant::now() + trace.duration);
    if let Some(until) = until {
        stop.at(until);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .and_then(|runtime| runtime.block_on(Live::new(source, line).run(&signals, until)))
        .map_err(failed)?;
    report(outcome, say)
}

fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Code::Usage, error)
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Code::Failed, error)
}

fn setup(arguments: &PluginArgs, stop: &Stop) -> Setup {
    let chain = |files: &[OsString]| match files {
        [] => vec![PluginSpec::bundled()],
        files => files.iter().map(|file| named(file)).collect(),
    };
    Setup {
        classifiers: chain(&arguments.classifier),
        redactors: chain(&arguments.redactor),
        stop: stop.clone(),
        ..Setup::default()
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

fn select(kinds: Kinds, trace: &Trace) -> Select {
    let bytes = |texts: &[OsString]| texts.iter().map(|text| text.clone().into_vec()).collect();
    Select {
        kinds,
        pids: trace.pid.clone(),
        names: bytes(&trace.name),
        libraries: bytes(&trace.library),
        files: trace.file.clone(),
    }
}

fn check_pid(pid: u32) -> Result<(), Failure> {
    let found = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).is_some_and(|pid| {
        // Another user's process answers that it may not be signalled: it is there.
        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
    });
    if found { Ok(()) } else { Err(failed(anyhow!("--pid {pid}: there is no such process"))) }
}

/// As much of the filters as the kernel can take.
fn start_source(select: &Select, plugins: &Plugins, reader: &Reader) -> Result<Source, Failure> {
    let comm = select.names.iter().find(|name| name.len() <= COMM_BYTES).cloned();
    let options = source::Options {
        interest: plugins.interest(),
        kinds: source::Kinds {
            open: select.kinds.open && select.libraries.is_empty(),
            load: select.kinds.load && select.files.is_empty(),
            exec: true,
            exit: true,
        },
        pid: select.pids.first().copied(),
        comm,
        ring_bytes: RING_BYTES,
        probe: None,
        own: reader.pid().into_iter().chain([std::process::id()]).collect(),
    };
    Source::start(&options).map_err(|error| {
        let code = match error.exit_code() {
            3 => Code::Privileges,
            4 => Code::Kernel,
            2 => Code::Usage,
            _ => Code::Probe,
        };
        Failure::new(code, error)
    })
}

fn remember(enrich: &mut Enrich, seen: Vec<SeenProcess>, plugins: &Plugins) {
    for process in seen {
        let wanted = |path: &[u8]| {
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            plugins.interest().wants_library(name)
        };
        let libraries = process.mapped.iter().filter(|file| wanted(&file.path));
        let before = Before {
            start_ns: process.start_ns,
            known: Known {
                exe: process.exe.as_deref().map(Into::into),
                cgroup: process.cgroup.as_deref().map(Into::into),
            },
            libraries: libraries.map(|file| (file.dev, file.inode)).collect(),
        };
        enrich.know(process.pid, before);
    }
}

fn announce(source: &Source, plugins: &Plugins, say: Say) {
    for plugin in plugins.running() {
        say.detail(format_args!("plugin {plugin}"));
    }
    let attached = source.attached();
    let probes: Vec<String> = attached
        .iter()
        .map(|probe| match probe.cannot_see.as_slice() {
            [] => probe.hook.clone(),
            unseen => format!("{} (cannot see {})", probe.hook, unseen.join(", ")),
        })
        .collect();
    say.info(format_args!("ready: {}", probes.join("; ")));
}

/// The last line, and whether the run succeeded.
fn report(outcome: Outcome, say: Say) -> Result<(), Failure> {
    let Outcome { stats, output } = outcome;
    say.info(format_args!("{stats}; {}", Usage::own()));
    let Ended { not_written, reader_closed, error, target, .. } = output;
    match error {
        _ if reader_closed => Ok(()),
        Some(error) => Err(failed(
            anyhow::Error::new(error)
                .context(format!("cannot write to {target}: {not_written} events were not written")),
        )),
        None if not_written > 0 => Err(failed(anyhow!(
            "{target} took no more: {not_written} events were not written"
        ))),
        None => Ok(()),
    }
}
