//! What all commands share that trace the live system: everything from the arguments to the pipeline.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::line::{self, report};
use crate::cli::{PluginArgs, Print, Trace};
use crate::confine;
use crate::enrich::Enrich;
use crate::error::{Code, Failure};
use crate::output::{Output, Target};
use crate::pipeline::{AskHeads, KeptHeads, Live, ReaderHeads, Recorder};
use crate::plugin::Plugins;
use crate::reader::{Reader, SeenProcess};
use crate::record::Start;
use crate::say::Say;
use crate::select::{COMM_BYTES, Kinds, Select};
use crate::signals::Signals;
use crate::source::{self, Source};
use crate::stop::Stop;

/// Size of the ring buffer. It holds over 100 ms of events at full speed.
const RING_BYTES: u32 = 8 << 20;
/// How long the look at `/proc` may take before the run starts without it.
const SCAN: Duration = Duration::from_secs(2);

/// What a command wants of a run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) kinds: Kinds,
    pub(super) trace: &'a Trace,
    pub(super) print: &'a Print,
    pub(super) plugins: &'a PluginArgs,
    pub(super) record: Option<&'a Path>,
    pub(super) say: Say,
}

/// Traces and prints a stream.
pub(super) fn stream(run: &Run<'_>) -> Result<(), Failure> {
    let stop = Stop::default();
    // First: a thread that is there before takes signals as if nobody waited for them.
    let signals = Signals::start(stop.clone()).context("cannot take signals").map_err(failed)?;
    let plugins = line::plugins(run.plugins, &stop)?;
    if let Some(path) = &run.print.output {
        Target::check(path).map_err(failed)?;
    }
    run.trace.pid.iter().try_for_each(|&pid| check_pid(pid))?;

    let mut reader = Reader::start().context("cannot start the reader").map_err(failed)?;
    let select = line::select(run.kinds, run.trace);
    let source = start_source(&select, &plugins, &reader)?;
    let seen = reader.scan(Instant::now() + SCAN, &stop).unwrap_or_default();
    let mut enrich = Enrich::default();
    line::remember(&mut enrich, &seen, plugins.interest());
    let target = line::target(run.print)?;
    let recording = run.record.map(Target::create_new).transpose().map_err(failed)?;
    confine(run).map_err(failed)?;
    let output = line::output(target, run.print, run.trace.extended)?;
    let reader = ReaderHeads { reader, stop: stop.clone() };
    let (heads, recorder) = recorder(run, recording, reader, &plugins, seen)?;
    give_memory_back();
    announce(&source, &plugins, run);
    let until = (!run.trace.duration.is_zero()).then(|| Instant::now() + run.trace.duration);
    if let Some(until) = until {
        stop.at(until);
    }
    let parts = line::Parts { enrich, select, plugins, heads, output, stop, say: run.say };
    let line = line::line(parts, run.print, run.trace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let live = Live::new(source, line, recorder);
    let outcome =
        runtime.and_then(|runtime| runtime.block_on(live.run(&signals, until))).map_err(failed)?;
    let recorded = outcome.recording.map_or(Ok(()), line::ended);
    report(&outcome.stats, outcome.output, run.say).and(recorded)
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Code::Failed, error)
}

fn check_pid(pid: u32) -> Result<(), Failure> {
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let found = raw.is_some_and(|raw| {
        // Another user's process answers that it may not be signalled: it is there.
        rustix::process::test_kill_process(raw) != Err(rustix::io::Errno::SRCH)
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
            fork: false,
        },
        pid: select.pids.first().copied(),
        follow_children: false,
        comm,
        ring_bytes: RING_BYTES,
        probe: None,
        own: reader.pids().into_iter().chain([std::process::id()]).collect(),
    };
    Source::start(&options).map_err(|error| {
        let code = match error.exit_code() {
            2 => Code::Usage,
            3 => Code::Privileges,
            4 => Code::Kernel,
            _ => Code::Probe,
        };
        Failure::new(code, error)
    })
}

/// Reading the kernel's types took tens of megabytes that nobody needs any more.
fn give_memory_back() {
    // SAFETY: gives free pages of the allocator back to the kernel; nothing that is allocated is touched.
    unsafe { libc::malloc_trim(0) };
}

/// Everything is attached and open: what is left to do needs no privileges.
fn confine(run: &Run<'_>) -> anyhow::Result<()> {
    let output = run.print.output.as_deref();
    let directory = output.map(|path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    });
    confine::thread(directory.as_slice()).context("cannot drop privileges")
}

/// The recording, if one is wanted, and who answers for heads so that it has them.
fn recorder(
    run: &Run<'_>,
    recording: Option<Target>,
    reader: ReaderHeads,
    plugins: &Plugins,
    processes: Vec<SeenProcess>,
) -> Result<(Box<dyn AskHeads>, Option<Recorder>), Failure> {
    let (Some(path), Some(target)) = (run.record, recording) else {
        return Ok((Box::new(reader), None));
    };
    let start = Start {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        interest: plugins.interest().clone(),
        processes,
    };
    run.say.info(format_args!(
        "recording to {}: raw, nothing in it is redacted; for its owner only",
        path.display()
    ));
    let heads = KeptHeads { inner: Box::new(reader), kept: Default::default() };
    let writer = Output::raw_writer(target).map_err(failed)?;
    let recorder = Recorder::new(writer, start, heads.kept.clone());
    Ok((Box::new(heads), Some(recorder)))
}

fn announce(source: &Source, plugins: &Plugins, run: &Run<'_>) {
    for plugin in plugins.running() {
        run.say.detail(format_args!("plugin {plugin}"));
    }
    let probes: Vec<String> = source
        .attached()
        .iter()
        .map(|probe| match probe.cannot_see.as_slice() {
            [] => probe.hook.clone(),
            unseen => format!("{} (cannot see {})", probe.hook, unseen.join(", ")),
        })
        .collect();
    run.say.info(format_args!("ready: {}", probes.join("; ")));
}
