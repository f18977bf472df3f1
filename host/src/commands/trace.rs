//! What all commands share that trace the live system: everything from the arguments to the pipeline.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};

use super::{output_conflict, preflight, setup};
use crate::cli::{Capture, PluginArgs, Print, Trace};
use crate::config::Config;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_capture::{self as capture, Source};
use crypto_tracer_event::counted::counted;
use crypto_tracer_output::{NewFile, Output, Target, WriterReport};
use crypto_tracer_pipeline::enrich::Enrich;
use crypto_tracer_pipeline::recording::Start;
use crypto_tracer_pipeline::select::{COMM_BYTES, Select, ShownKinds};
use crypto_tracer_pipeline::stats::Stats;
use crypto_tracer_pipeline::{
    EndReason, Family, HeadReader, LiveRun, OutputSettings, Pipeline, ReaderHeads, Recorder,
    RecordingHeads, Reload, Reloaded, Reloader, Reopen, RunOutcome, Sink, StatusSchedule, Stream,
    register_reader,
};
use crypto_tracer_plugin::{Plugins, Trust};
use crypto_tracer_reader::{ExistingProcess, ReaderClient, Spawner};
use crypto_tracer_system::console::{Console, Verbosity};
use crypto_tracer_system::memory;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// Size of the ring buffer. It holds over 100 ms of events at full speed; the writer's buffer comes on top.
pub(super) const RING_BYTES: u32 = 8 << 20;

/// What a command wants of a run.
#[derive(Debug)]
pub(super) struct RunRequest<'a> {
    pub(super) kinds: ShownKinds,
    pub(super) trace: &'a Trace,
    pub(super) plugins: &'a PluginArgs,
    pub(super) capture: &'a Capture,
    /// The file that is printed to, if it is one.
    pub(super) output: Option<&'a Path>,
    /// The kernel side may leave out processes with another name.
    pub(super) names_in_kernel: bool,
    pub(super) console: Console,
}

/// A run whose kernel side is attached, with all privileges.
#[derive(Debug)]
pub(super) struct AttachedSession {
    pub(super) shutdown: Shutdown,
    signals: Signals,
    trust: Trust,
    plugins: Plugins,
    reader: ReaderClient,
    source: Source,
    enrich: Enrich,
    config: Config,
    /// The processes that were there before.
    pub(super) seen: Vec<ExistingProcess>,
    /// What the filters leave.
    pub(super) select: Select,
    /// What a new output file is given.
    pub(super) new: NewFile,
}

/// From arguments to an attached kernel side. None: the end was asked for before.
pub(super) fn begin(
    run: &RunRequest<'_>,
    spawner: Spawner,
) -> Result<Option<AttachedSession>, Failure> {
    let shutdown = Shutdown::default();
    // First: a thread that is there before takes signals as if nobody waited for them.
    let signals =
        Signals::start(shutdown.clone()).context("cannot take signals").map_err(failed)?;
    // Before the configuration: in a user namespace nothing seems to belong to root.
    capture::check_user_namespace().map_err(refused)?;
    let trust = Trust::of_this_process();
    let config = setup::config(run.plugins, &trust)?;
    let plugins = setup::plugins(run.plugins, &config, &trust, &shutdown)?;
    let Some(plugins) = plugins else { return Ok(None) };
    let new = setup::new_file(&config)?;
    if let Some(path) = run.output {
        setup::named_by_user(|| Target::check(path)).map_err(failed)?;
    }
    if let Some(record) = &run.capture.record {
        output_conflict::check_record(record, run.output)?;
        Target::check_new(record).map_err(failed)?;
    }
    run.trace.processes.watched.pid.iter().try_for_each(|&pid| preflight::check(pid))?;

    let mut reader =
        ReaderClient::start(spawner).context("cannot start the reader").map_err(failed)?;
    let select = setup::select(run.kinds, run.trace);
    setup::warn(&select, plugins.interest(), run.console);
    setup::warn_of_links(&select, run.console);
    let mut source = start_source(run, &select, &plugins, &reader, &config)?;
    let watched = &run.trace.processes.watched;
    if watched.follow_children {
        preflight::follow(&watched.pid, &mut source, &mut reader, &shutdown, run.console)?;
    }
    let interest = plugins.interest();
    let seen =
        preflight::scan(&mut reader, interest, watched.follow_children, &shutdown, run.console)?;
    register_reader(reader.news(), &mut source, run.console);
    let mut enrich = Enrich::default();
    setup::remember(&mut enrich, &seen, plugins.interest());
    let begun = AttachedSession {
        shutdown,
        signals,
        trust,
        config,
        plugins,
        reader,
        source,
        enrich,
        seen,
        select,
        new,
    };
    Ok(Some(begun))
}

/// A run that has given up its privileges.
#[derive(Debug)]
pub(super) struct Session {
    begun: SessionParts,
    recorder: Option<Recorder>,
    pub(super) heads: Box<dyn HeadReader>,
    pub(super) plugins: Plugins,
    pub(super) shutdown: Shutdown,
    /// Processes that are the tracer's own.
    pub(super) own: Vec<u32>,
}

/// What only the run itself needs.
#[derive(Debug)]
struct SessionParts {
    signals: Signals,
    trust: Trust,
    source: Source,
    enrich: Enrich,
    select: Select,
    config: Config,
}

impl AttachedSession {
    /// Opens the recording, if one is wanted, and gives up all privileges; the output is open by now.
    pub(super) fn ready(self, run: &RunRequest<'_>) -> Result<Session, Failure> {
        let AttachedSession { shutdown, signals, trust, config, select, .. } = self;
        let AttachedSession { plugins, mut reader, source, enrich, seen, .. } = self;
        let recording = run.capture.record.as_deref();
        let recording = recording.map(|path| setup::named_by_user(|| Target::create_new(path)));
        let recording = recording.transpose().map_err(failed)?;
        // Everything is attached and open: what is left to do needs no privileges.
        // A configuration that is there may name a group later.
        let gives = self.new.gid.is_some() || setup::has_config(run.plugins, &trust);
        setup::confine(run.output, gives)?;
        reader.wait_until_ready();
        let own = reader.pids().into_iter().chain([std::process::id()]).collect();
        let reader = ReaderHeads { reader, shutdown: shutdown.clone() };
        let (heads, recorder) = recorder(run, recording, reader, &plugins, seen)?;
        memory::give_back();
        let begun = SessionParts { signals, trust, source, enrich, select, config };
        Ok(Session { begun, recorder, heads, plugins, shutdown, own })
    }
}

impl Session {
    /// Leaves a reader out of the trace that took the place of one that hung.
    pub(super) fn register_reader(&mut self, console: Console) {
        register_reader(self.heads.news(), &mut self.begun.source, console);
    }

    /// Runs to the end. `reopen` opens the output anew; None: it is no file that was named.
    pub(super) fn live<S: Sink>(
        self,
        run: &RunRequest<'_>,
        sink: S,
        reopen: Option<Reopen>,
    ) -> Result<RunOutcome<S::Ended>, Failure> {
        let Session { begun, recorder, heads, plugins, shutdown, .. } = self;
        let SessionParts { signals, trust, source, enrich, select, config } = begun;
        let output = output_settings(&config)?;
        announce(&source, &plugins, &config, run);
        let duration = run.trace.processes.duration;
        let until = (!duration.is_zero()).then(|| Instant::now() + duration);
        if let Some(until) = until {
            shutdown.at(until);
        }
        let reloader = Reloader::new(reopen, reload(run, trust, config, &shutdown), output);
        let pipeline = Pipeline {
            enrich,
            select,
            family: Family::default(),
            plugins,
            heads,
            sink,
            stats: Stats::default(),
            shutdown,
            console: run.console,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let schedule =
            StatusSchedule::new(output.status_every, run.console.0 >= Verbosity::Verbose);
        let live = LiveRun::new(source, pipeline, recorder, reloader, schedule);
        runtime.and_then(|runtime| runtime.block_on(live.run(&signals, until))).map_err(failed)
    }
}

/// Traces and prints a stream.
pub(super) fn stream(run: &RunRequest<'_>, spawner: Spawner, print: &Print) -> Result<(), Failure> {
    let Some(begun) = begin(run, spawner)? else { return Ok(()) };
    let (new, trust) = (begun.new, begun.trust.clone());
    let Some(target) = setup::target(print, new, &begun.shutdown)? else { return Ok(()) };
    let ready = begun.ready(run)?;
    let output = setup::output(target, print)?;
    let sink = Stream { output, redact: !print.no_redact, extended: print.extended };
    let reopen = run.output.map(|path| reopen(path.to_owned(), print, run.plugins, &trust, new));
    let outcome = ready.live(run, sink, reopen)?;
    let failure = ended(outcome.recording, outcome.why);
    setup::report(&outcome.stats, outcome.reader, outcome.output, run.console).and(failure)
}

/// Whether the recording is whole, and no plugin ended the run.
pub(super) fn ended(recording: Option<WriterReport>, why: EndReason) -> Result<(), Failure> {
    recording.map_or(Ok(()), setup::ended)?;
    match why {
        EndReason::Plugin(why) => Err(failed(anyhow!(why))),
        EndReason::Asked | EndReason::Over | EndReason::Output => Ok(()),
    }
}

/// What the configuration says of the output.
fn output_settings(config: &Config) -> Result<OutputSettings, Failure> {
    let status_every = config.output.status_every;
    Ok(OutputSettings { new: setup::new_file(config)?, status_every })
}

/// Opens the output anew, as the configuration says by then. One that is damaged changes nothing; the reload that follows
/// says so.
fn reopen(
    path: PathBuf,
    print: &Print,
    arguments: &PluginArgs,
    trust: &Trust,
    new: NewFile,
) -> Reopen {
    let (print, arguments, trust) = (print.clone(), arguments.clone(), trust.clone());
    let mut new = new;
    Box::new(move || {
        let config = setup::config(&arguments, &trust);
        new = config.and_then(|config| setup::new_file(&config)).unwrap_or(new);
        setup::again(&path, &print, new)
    })
}

/// The same as at the start, once more.
fn reload(run: &RunRequest<'_>, trust: Trust, start: Config, shutdown: &Shutdown) -> Reload {
    let (arguments, shutdown) = (run.plugins.clone(), shutdown.clone());
    let load = move || {
        let config = setup::config(&arguments, &trust)?;
        let plugins = setup::plugins(&arguments, &config, &trust, &shutdown);
        // The compiler took it.
        memory::give_back();
        let needs_restart = config.needs_restart(&start);
        let output = output_settings(&config)?;
        plugins.map(|plugins| Some(Reloaded { plugins: plugins?, needs_restart, output }))
    };
    Arc::new(move || {
        let loaded = load().map_err(|failure: Failure| failure.error)?;
        loaded.context("the run is to end")
    })
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(ExitStatus::Failed, error)
}

/// These processes, and those that descend from them already.
pub(super) fn family(pids: &[u32], seen: &[ExistingProcess]) -> Family {
    Family::of(pids, seen.iter().map(|process| (process.ppid, process.pid)).collect())
}

/// The probe for opens and loads that was asked for.
fn named_probe<'a>(run: &'a RunRequest<'_>, config: &'a Config) -> Option<&'a str> {
    run.capture.probe.as_deref().or(config.capture.open_probe.as_deref())
}

/// As much of the filters as the kernel can take.
fn start_source(
    run: &RunRequest<'_>,
    select: &Select,
    plugins: &Plugins,
    reader: &ReaderClient,
    config: &Config,
) -> Result<Source, Failure> {
    let comm = select.names.iter().find(|name| name.len() <= COMM_BYTES).cloned();
    let comm = comm.filter(|_| run.names_in_kernel);
    let probe = named_probe(run, config).map(str::to_owned);
    let options = capture::CaptureOptions {
        interest: plugins.interest(),
        kinds: capture::EventKinds {
            open: select.kinds.open && select.libraries.is_empty(),
            load: select.kinds.load && select.files.is_empty(),
            // Whatever is printed: an exec tells the executable of what comes behind it.
            exec: true,
            // What ended need not be remembered.
            exit: true,
            // A child that never executes anything has its parent's executable.
            fork: true,
        },
        pid: run.trace.processes.watched.pid.first().copied(),
        follow_children: run.trace.processes.watched.follow_children,
        comm,
        ring_bytes: config.capture.ring_bytes.unwrap_or(RING_BYTES),
        probe,
        own: reader.pids().into_iter().chain([std::process::id()]).collect(),
    };
    Source::start(&options).map_err(refused)
}

/// Why nothing is captured, with the code for it.
pub(super) fn refused(error: capture::Error) -> Failure {
    let code = match error.exit_code() {
        2 => ExitStatus::Usage,
        3 => ExitStatus::Privileges,
        4 => ExitStatus::Kernel,
        _ => ExitStatus::Probe,
    };
    Failure::new(code, error)
}

/// The recording, if one is wanted, and who answers for heads so that it has them.
fn recorder(
    run: &RunRequest<'_>,
    recording: Option<Target>,
    reader: ReaderHeads,
    plugins: &Plugins,
    processes: Vec<ExistingProcess>,
) -> Result<(Box<dyn HeadReader>, Option<Recorder>), Failure> {
    let (Some(path), Some(target)) = (&run.capture.record, recording) else {
        return Ok((Box::new(reader), None));
    };
    let start = Start {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        interest: plugins.interest().clone(),
        only: only(run.kinds, run.trace),
        processes,
    };
    run.console.info(format_args!(
        "recording to {}: raw, nothing in it is redacted; for its owner only",
        path.display()
    ));
    let heads = RecordingHeads::new(Box::new(reader));
    let writer = Output::raw_writer(target).map_err(failed)?;
    let recorder = Recorder::new(writer, start, heads.kept());
    Ok((Box::new(heads), Some(recorder)))
}

/// The filters that the kernel may have applied already.
fn only(kinds: ShownKinds, trace: &Trace) -> Vec<String> {
    let command = match (kinds.open, kinds.load) {
        (true, false) => Some("files".to_owned()),
        (false, true) => Some("libs".to_owned()),
        _ => None,
    };
    let watched = &trace.processes.watched;
    let follow = watched.follow_children.then(|| "--follow-children".to_owned());
    let text = |option: &str, words: &OsString| format!("{option} {}", words.to_string_lossy());
    let pids = watched.pid.iter().map(|pid| format!("--pid {pid}"));
    let names = watched.name.iter().map(|name| text("--name", name));
    let libraries = trace.libraries.library.iter().map(|library| text("--library", library));
    let files = trace.files.file.iter().map(|glob| format!("--file {}", glob.as_str()));
    command
        .into_iter()
        .chain(pids)
        .chain(follow)
        .chain(names)
        .chain(libraries)
        .chain(files)
        .collect()
}

fn announce(source: &Source, plugins: &Plugins, config: &Config, run: &RunRequest<'_>) {
    for plugin in plugins.running() {
        run.console.detail(format_args!("plugin {plugin}"));
    }
    for probe in source.attached() {
        for unseen in &probe.cannot_see {
            run.console.detail(format_args!("{} cannot see {}", probe.probe, unseen.what));
        }
        if let Some(costs) = probe.costs {
            run.console.detail(format_args!("{} costs {costs}", probe.probe));
        }
    }
    if let Some(outside) = source.outside() {
        run.console.info(outside);
    }
    let hooks: Vec<&str> = source.attached().iter().map(|probe| probe.hook.as_str()).collect();
    let spots = source.attached().iter().map(|probe| probe.cannot_see.len()).sum();
    let doctor = doctor(named_probe(run, config));
    run.console.info(format_args!("ready: {}; {}", hooks.join(", "), blind_spots(spots, &doctor)));
}

/// How many things the probes cannot see, and where they are listed.
fn blind_spots(count: usize, doctor: &str) -> String {
    match count {
        0 => "no blind spots".to_owned(),
        count => format!("{} (see '{doctor}')", counted(count, "blind spot")),
    }
}

/// The command that judges the same probes.
fn doctor(probe: Option<&str>) -> String {
    let probe = probe.map(|name| format!(" --probe {name}")).unwrap_or_default();
    format!("crypto-tracer doctor{probe}")
}

#[cfg(test)]
mod tests {
    use super::{RING_BYTES, blind_spots, doctor};
    use crypto_tracer_output::BUFFER_BYTES;

    #[test]
    fn the_start_says_how_much_is_not_seen_and_where_that_is_listed() {
        let doctor = doctor(Some("tp_btf"));
        assert_eq!(blind_spots(0, &doctor), "no blind spots");
        assert_eq!(
            blind_spots(1, &doctor),
            "1 blind spot (see 'crypto-tracer doctor --probe tp_btf')"
        );
        let doctor = super::doctor(None);
        assert_eq!(blind_spots(3, &doctor), "3 blind spots (see 'crypto-tracer doctor')");
    }

    #[test]
    fn events_have_ten_megabytes_between_kernel_and_output() {
        assert_eq!((RING_BYTES, BUFFER_BYTES), (8 << 20, 2 << 20));
    }
}
