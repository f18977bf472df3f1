//! What all commands share that trace the live system: everything from the arguments to the pipeline.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::line::{self, report};
use crate::cli::{Capture, PluginArgs, Print, Trace};
use crate::config;
use crate::confine;
use crate::enrich::Enrich;
use crate::error::{Code, Failure};
use crate::event::ProcessKey;
use crate::output::{NewFile, Output, Target};
use crate::pipeline::{AskHeads, Family, Hangup, KeptHeads, Live, ReaderHeads, Recorder, Why};
use crate::plugin::{Plugins, Trust};
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
    pub(super) capture: &'a Capture,
    pub(super) say: Say,
}

/// Traces and prints a stream.
pub(super) fn stream(run: &Run<'_>) -> Result<(), Failure> {
    let stop = Stop::default();
    // First: a thread that is there before takes signals as if nobody waited for them.
    let signals = Signals::start(stop.clone()).context("cannot take signals").map_err(failed)?;
    let trust = Trust::of_this_process();
    let config = line::config(run.plugins, &trust)?;
    let plugins = line::plugins(run.plugins, &config, &trust, &stop)?;
    let new = line::new_file(&config)?;
    if let Some(path) = &run.print.output {
        Target::check(path).map_err(failed)?;
    }
    run.trace.processes.pid.iter().try_for_each(|&pid| check_pid(pid))?;

    let mut reader = Reader::start().context("cannot start the reader").map_err(failed)?;
    let select = line::select(run.kinds, run.trace);
    line::warn(&select, plugins.interest(), run.say);
    let mut capture = config.capture;
    if run.capture.probe.is_some() {
        capture.open_probe = run.capture.probe.clone();
    }
    let mut source = start_source(run, &select, &plugins, &reader, capture)?;
    let seen = reader.scan(Instant::now() + SCAN, &stop).unwrap_or_default();
    follow(run, &mut source, &seen)?;
    let mut enrich = Enrich::default();
    line::remember(&mut enrich, &seen, plugins.interest());
    let target = line::target(run.print, new)?;
    let recording =
        run.capture.record.as_deref().map(Target::create_new).transpose().map_err(failed)?;
    confine(run, new).map_err(failed)?;
    let output = line::output(target, run.print)?;
    reader.wait_to_be_known();
    let reader = ReaderHeads { reader, stop: stop.clone() };
    let (heads, recorder) = recorder(run, recording, reader, &plugins, seen)?;
    give_memory_back();
    announce(&source, &plugins, run);
    let duration = run.trace.processes.duration;
    let until = (!duration.is_zero()).then(|| Instant::now() + duration);
    if let Some(until) = until {
        stop.at(until);
    }
    let parts = line::Parts {
        enrich,
        select,
        family: Family::default(),
        plugins,
        heads,
        output,
        stop: stop.clone(),
        say: run.say,
    };
    let line = line::line(parts, run.print);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let live = Live::new(source, line, recorder, hangup(run, new, &trust, &stop));
    let outcome =
        runtime.and_then(|runtime| runtime.block_on(live.run(&signals, until))).map_err(failed)?;
    let recorded = outcome.recording.map_or(Ok(()), line::ended);
    let ended = match outcome.why {
        Why::Plugin(why) => Err(failed(anyhow!(why))),
        Why::Asked | Why::Output => Ok(()),
    };
    report(&outcome.stats, outcome.output, run.say).and(recorded).and(ended)
}

/// The same as at the start, once more.
fn hangup(run: &Run<'_>, new: NewFile, trust: &Trust, stop: &Stop) -> Hangup {
    let print = run.print.clone();
    let reopen = move || line::target(&print, new).map_err(|failure| failure.error);
    let named = run.print.output.is_some();
    let (arguments, trust, stop) = (run.plugins.clone(), trust.clone(), stop.clone());
    let reload = move || {
        let config = line::config(&arguments, &trust)?;
        line::plugins(&arguments, &config, &trust, &stop)
    };
    Hangup {
        reopen: named.then(|| Box::new(reopen) as Box<dyn FnMut() -> _>),
        reload: Box::new(move || reload().map_err(|failure: Failure| failure.error)),
    }
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

/// Names the processes that are there already; those that they make from now on the kernel side finds by itself.
fn follow(run: &Run<'_>, source: &mut Source, seen: &[SeenProcess]) -> Result<(), Failure> {
    let processes = &run.trace.processes;
    if !processes.follow_children {
        return Ok(());
    }
    let parents = seen.iter().map(|process| (process.ppid, process.pid)).collect();
    let family = Family::of(&processes.pid, parents);
    let members = seen.iter().filter(|process| family.has(process.pid));
    let keys: Vec<ProcessKey> = members
        .map(|process| ProcessKey { tgid: process.pid, start_ns: process.start_ns })
        .collect();
    source.follow(&keys).map_err(|error| Failure::new(Code::Probe, error))
}

/// As much of the filters as the kernel can take.
fn start_source(
    run: &Run<'_>,
    select: &Select,
    plugins: &Plugins,
    reader: &Reader,
    capture: config::Capture,
) -> Result<Source, Failure> {
    let comm = select.names.iter().find(|name| name.len() <= COMM_BYTES).cloned();
    let options = source::Options {
        interest: plugins.interest(),
        kinds: source::Kinds {
            open: select.kinds.open && select.libraries.is_empty(),
            load: select.kinds.load && select.files.is_empty(),
            // Whatever is printed: an exec tells the executable of what comes behind it.
            exec: true,
            exit: select.kinds.exit,
            // A child that never executes anything has its parent's executable.
            fork: true,
        },
        pid: run.trace.processes.pid.first().copied(),
        follow_children: run.trace.processes.follow_children,
        comm,
        ring_bytes: capture.ring_bytes.unwrap_or(RING_BYTES),
        probe: capture.open_probe,
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
fn confine(run: &Run<'_>, new: NewFile) -> anyhow::Result<()> {
    let output = run.print.output.as_deref();
    let directory = output.map(|path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    });
    confine::thread(directory.as_slice(), new.gid.is_some()).context("cannot drop privileges")
}

/// The recording, if one is wanted, and who answers for heads so that it has them.
fn recorder(
    run: &Run<'_>,
    recording: Option<Target>,
    reader: ReaderHeads,
    plugins: &Plugins,
    processes: Vec<SeenProcess>,
) -> Result<(Box<dyn AskHeads>, Option<Recorder>), Failure> {
    let (Some(path), Some(target)) = (&run.capture.record, recording) else {
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
