//! Starts a live run, for all commands that trace the running system.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};

use super::document::failed;
use super::output_opener::OutputOpener;
use super::run_request::RunRequest;
use super::start_times::StartTimes;
use super::{capture, output_conflict, preflight, record, setup};
use crate::cli::{PluginArgs, Print};
use crate::config::Config;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_capture::{Source, check_user_namespace};
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::KnownUses;
use crypto_tracer_output::{Direct, Discard, NewFile, Output, OutputControl, Target, WriterReport};
use crypto_tracer_pipeline::enrich::{Enrich, RunningProcess};
use crypto_tracer_pipeline::stats::Stats;
use crypto_tracer_pipeline::{
    EndReason, Family, LiveReader, OutputSettings, Pipeline, PluginStages, Recorder, Reload,
    Reloaded, Reloader, Reopen, RunOutcome, Scratch, Session, Snapshot, StatusSchedule,
    TargetWatch, register_reader,
};
use crypto_tracer_plugin::Trust;
use crypto_tracer_reader::{ExistingProcess, ReaderClient, Spawner};
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::{Console, Verbosity};
use crypto_tracer_system::memory;
use crypto_tracer_system::privileges::Privileges;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// A run that is being started: first attached with all privileges, then confined.
#[derive(Debug)]
pub(super) struct SessionBuilder {
    pub(super) pipeline: Pipeline,
    capture: Source,
    reader: LiveReader,
    recorder: Option<Recorder>,
    signals: Signals,
    pub(super) trust: Trust,
    config: Config,
    /// Processes that started before the run.
    pub(super) existing: Vec<ExistingProcess>,
    /// The same processes with what their descendants' events need, for a recording.
    running: Vec<RunningProcess>,
    /// Permissions and group of a new output file.
    pub(super) new_file: NewFile,
    /// Pids of the tracer itself.
    own: Vec<u32>,
    /// The processes of `--pid` that run. Empty: processes that start later are traced too.
    watched: Vec<u32>,
    /// Counters for the report of a blocked write.
    snapshot: Snapshot,
    start_times: StartTimes,
}

/// Checks whether the output and the recording can be opened later.
fn check_targets(run: &RunRequest<'_>) -> Result<(), Failure> {
    if let Some(path) = run.output {
        setup::open_as_caller(|| Target::check(path)).map_err(failed)?;
    }
    if let Some(record) = &run.capture.record {
        // As the caller: otherwise the messages would reveal whether a path exists.
        setup::as_caller(|| output_conflict::check_record(record, run.output))??;
        setup::open_as_caller(|| Target::check_new(record)).map_err(failed)?;
    }
    Ok(())
}

impl SessionBuilder {
    /// Reads the configuration, loads the plugins, starts the reader and attaches the kernel side. Returns `None` if a
    /// shutdown is requested.
    pub(super) fn attach(
        run: &RunRequest<'_>,
        spawner: Spawner,
        opener: Option<&OutputOpener>,
    ) -> Result<Option<SessionBuilder>, Failure> {
        let shutdown = Shutdown::default();
        // First: a thread that started earlier would not have these signals blocked.
        let signals =
            Signals::start(shutdown.clone()).context("cannot handle signals").map_err(failed)?;
        let starting = signals.clone();
        starting.during_startup(|| {
            SessionBuilder::attach_with(run, spawner, opener, (signals, shutdown))
        })
    }

    fn attach_with(
        run: &RunRequest<'_>,
        spawner: Spawner,
        opener: Option<&OutputOpener>,
        (signals, shutdown): (Signals, Shutdown),
    ) -> Result<Option<SessionBuilder>, Failure> {
        let mut start_times = StartTimes::begin();
        // Before the configuration: in a user namespace no file seems to belong to root.
        check_user_namespace().map_err(capture::capture_failure)?;
        let trust = Trust::of_this_process();
        let config = setup::config(run.plugins, &trust)?;
        let clock = Clock::system();
        let plugins =
            setup::plugins(run.plugins, &config, &trust, &shutdown, &clock, run.needs_assets)?;
        let Some(plugins) = plugins else { return Ok(None) };
        start_times.end("plugins");
        let new_file = setup::new_file(&config)?;
        check_targets(run)?;
        let mut client =
            ReaderClient::start(spawner).context("cannot start the reader").map_err(failed)?;
        if let Some(opener) = opener {
            client.add_helper(opener.pid());
        }
        let watched = &run.trace.processes.watched;
        watched.pid.iter().try_for_each(|&pid| preflight::check(pid, &mut client, &shutdown))?;
        let select = setup::select(run.kinds, run.trace, Family::default());
        setup::warn_of_unsatisfiable(&select, plugins.interest(), run.console);
        setup::warn_of_links(&select, run.console);
        let pid = watched.pid.first().copied();
        let started = pid.and_then(|pid| preflight::start_time(pid, &mut client, &shutdown));
        start_times.end("reader process");
        let mut source = capture::start(run, &select, &plugins, &client, &config, started)?;
        start_times.end_capture(source.start_times());
        if let Some(pid) = pid {
            preflight::check_still_exists(pid, started, &mut client, &shutdown)?;
        }
        let mut watched_pids = watched.pid.clone();
        if watched.follow_children {
            watched_pids =
                preflight::follow(&watched.pid, &mut source, &mut client, &shutdown, run.console)?;
        }
        let existing = preflight::scan(
            &mut client,
            plugins.interest(),
            watched.follow_children,
            &shutdown,
            run.console,
        )?;
        register_reader(client.take_event(), &mut source, run.console);
        let mut enrich = Enrich::new(clock.clone());
        setup::add_baselines(&mut enrich, &existing, plugins.interest());
        start_times.end("running processes");
        let mut reader = LiveReader::new(client, shutdown.clone());
        let mut stages = PluginStages::new(Box::new(reader.clone()), plugins, run.redaction);
        stages.ancestry = enrich.ancestry.clone();
        let running = running(run, &stages, &mut reader, &shutdown);
        start_times.end("ancestors");
        let pipeline = Pipeline {
            clock,
            enrich,
            select,
            observers: Vec::new(),
            stages,
            baseline: None,
            output: Box::new(Discard),
            stats: Stats::default(),
            shutdown,
            console: run.console,
            scratch: Scratch::default(),
        };
        Ok(Some(SessionBuilder {
            pipeline,
            capture: source,
            reader,
            recorder: None,
            signals,
            trust,
            config,
            existing,
            running,
            new_file,
            own: Vec::new(),
            watched: watched_pids,
            snapshot: Snapshot::default(),
            start_times,
        }))
    }

    /// Opens the recording, if requested, and drops all privileges that the output and the BPF maps do not need. The
    /// output must be open by now.
    /// `document`: the file of a document, which is written at the end.
    pub(super) fn confine(
        &mut self,
        run: &RunRequest<'_>,
        document: Option<&Path>,
    ) -> Result<(), Failure> {
        let path = run.capture.record.as_deref();
        let recording = path.map(|path| setup::open_as_caller(|| Target::create_new(path)));
        let recording = recording.transpose().map_err(failed)?;
        setup::confine(document, document.is_some() && self.new_file.gid.is_some())?;
        self.reader.hold_requests_until_event_taken();
        self.own = self.reader.pids().into_iter().chain([std::process::id()]).collect();
        if let Some(target) = recording {
            let existing = std::mem::take(&mut self.existing);
            let Pipeline { stages, clock, .. } = &mut self.pipeline;
            let (heads, mut recorder) =
                record::start(run, target, self.reader.clone(), &stages.plugins, existing, clock)?;
            recorder.add_running(std::mem::take(&mut self.running));
            stages.reader = Box::new(heads);
            self.recorder = Some(recorder);
        }
        memory::give_back();
        self.announce_privileges();
        Ok(())
    }

    /// Prints what each process of the run may do.
    fn announce_privileges(&self) {
        for &pid in self.own.iter().rev() {
            if let Some(privileges) = Privileges::of(pid) {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                let name = name.trim_end();
                self.pipeline.console.detail(format_args!("process {pid} ({name}): {privileges}"));
            }
        }
    }

    /// Returns whether this is a process of the tracer itself.
    pub(super) fn is_own(&self, pid: u32) -> bool {
        self.own.contains(&pid)
    }

    /// Returns the client of the reader process.
    pub(super) fn reader(&self) -> LiveReader {
        self.reader.clone()
    }

    /// Returns the attached probes, and what the run cannot see.
    pub(super) fn coverage(&self) -> (Vec<String>, Vec<String>) {
        let attached = self.capture.attached();
        let probes = attached.iter().map(|probe| format!("{}: {}", probe.rung, probe.hook));
        let spots = attached.iter().flat_map(|probe| {
            probe.cannot_see.iter().map(|spot| format!("{} cannot see {}", probe.rung, spot.what))
        });
        let namespace = self.capture.pid_namespace_limit().map(str::to_owned);
        (probes.collect(), spots.chain(namespace).collect())
    }

    /// Excludes a new reader process from the trace.
    pub(super) fn register_reader(&mut self) {
        register_reader(self.reader.take_event(), &mut self.capture, self.pipeline.console);
    }

    /// Puts the session together. `reopen` opens the file of `--output` again; `None` without such a file.
    pub(super) fn build(
        self,
        run: &RunRequest<'_>,
        (output, control): (Box<dyn Output>, OutputControl),
        reopen: Option<Reopen>,
    ) -> Result<Session, Failure> {
        let SessionBuilder {
            pipeline,
            capture: source,
            reader,
            recorder,
            signals,
            snapshot,
            mut start_times,
            ..
        } = self;
        start_times.end("output and confinement");
        run.console.detail(start_times);
        let settings = output_settings(&self.config)?;
        capture::announce(&source, &pipeline.stages.plugins, &self.config, run);
        let duration = run.trace.processes.duration;
        let until = (!duration.is_zero()).then(|| Instant::now() + duration);
        if let Some(until) = until {
            pipeline.shutdown.at(until);
        }
        let reload = reload(run, self.trust, self.config, &pipeline);
        let is_verbose = run.console.0 >= Verbosity::Verbose;
        Ok(Session {
            pipeline: Pipeline { output, ..pipeline },
            capture: source,
            reader,
            reloader: Reloader::new(reopen, reload, settings),
            recorder,
            control,
            snapshot,
            schedule: StatusSchedule::new(settings.status_every, is_verbose),
            signals,
            until,
        })
    }
}

/// Begins the table of ancestors if a plugin asks for them. Returns the running processes if the table or a recording needs
/// them.
fn running(
    run: &RunRequest<'_>,
    stages: &PluginStages,
    reader: &mut LiveReader,
    shutdown: &Shutdown,
) -> Vec<RunningProcess> {
    let asks_for_ancestors = stages.plugins.asks_for_ancestors();
    if !asks_for_ancestors && run.capture.record.is_none() {
        return Vec::new();
    }
    let running = preflight::running(reader, shutdown, run.console);
    if asks_for_ancestors {
        stages.ancestry.begin();
        stages.ancestry.add(&running);
    }
    running
}

/// Runs a session to its end on this thread.
pub(super) fn block_on(session: Session) -> Result<RunOutcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    memory::drop_startup_pages();
    runtime.and_then(|runtime| runtime.block_on(session.run())).map_err(failed)
}

/// Traces and prints a stream; with a baseline, only what is new.
pub(super) fn stream(
    run: &RunRequest<'_>,
    spawner: Spawner,
    print: &Print,
    baseline: Option<KnownUses>,
) -> Result<(), Failure> {
    let fork = |path| OutputOpener::fork(path, setup::appends(print));
    let opener = run.output.map(fork).transpose().context("cannot start the opener of the output");
    let opener = opener.map_err(failed)?;
    let builder = SessionBuilder::attach(run, spawner, opener.as_ref())?;
    let Some(mut builder) = builder else { return Ok(()) };
    builder.pipeline.baseline = baseline;
    if !builder.watched.is_empty() {
        let watch = TargetWatch::new(std::mem::take(&mut builder.watched), run.console);
        builder.pipeline.observers.push(Box::new(watch));
    }
    let new_file = builder.new_file;
    let target = setup::target(print, new_file, &builder.pipeline.shutdown)?;
    let Some(target) = target else { return Ok(()) };
    builder.confine(run, None)?;
    let direct = direct(&builder, run.console);
    let output = setup::output(target, print, Some(direct))?;
    let reopen = run
        .output
        .zip(opener)
        .map(|(path, opener)| reopen(path, opener, run.plugins, &builder.trust, new_file));
    let outcome = block_on(builder.build(run, output, reopen)?)?;
    let failure = check_end(outcome.recording, outcome.reason);
    setup::report(&outcome.stats, outcome.reader, outcome.output, run.console).and(failure)
}

/// Permits the pipeline's thread to write. If a write blocks it after a shutdown request, another thread reports the run as of
/// the last flush and ends the process.
fn direct(builder: &SessionBuilder, console: Console) -> Direct {
    let snapshot = builder.snapshot.clone();
    let on_stall = Box::new(move |output: WriterReport| {
        let stats = snapshot.stats();
        console.info("events in the kernel's buffer are not counted");
        let outcome = setup::report(&stats, None, output, console);
        let code = outcome.err().map_or(ExitStatus::Failed, |failure| {
            Console(Verbosity::Quiet).error(printable(&format!("{:#}", failure.error)));
            failure.code
        });
        std::process::exit(code as i32);
    });
    Direct { shutdown: builder.pipeline.shutdown.clone(), on_stall }
}

/// Returns the failure of an incomplete recording, or of a plugin that ended the run.
pub(super) fn check_end(recording: Option<WriterReport>, reason: EndReason) -> Result<(), Failure> {
    recording.map_or(Ok(()), |report| setup::check_written(report, "record"))?;
    match reason {
        EndReason::Plugin(message) => Err(failed(anyhow!(message))),
        EndReason::Requested | EndReason::Completed | EndReason::Output => Ok(()),
    }
}

/// `[output]` of the configuration.
fn output_settings(config: &Config) -> Result<OutputSettings, Failure> {
    let status_every = config.output.status_every;
    Ok(OutputSettings { new: setup::new_file(config)?, status_every })
}

/// Opens the file of `--output` again, with the permissions that the configuration gives by then. A configuration that
/// cannot be read changes nothing here; the reload that follows reports it.
fn reopen(
    path: &Path,
    mut opener: OutputOpener,
    arguments: &PluginArgs,
    trust: &Trust,
    new_file: NewFile,
) -> Reopen {
    let path = path.to_owned();
    let (arguments, trust) = (arguments.clone(), trust.clone());
    let mut new_file = new_file;
    Box::new(move || {
        let config = setup::config(&arguments, &trust);
        new_file = config.and_then(|config| setup::new_file(&config)).unwrap_or(new_file);
        let opened = opener.open(new_file).and_then(|fd| Target::opened(fd, &path));
        opened.with_context(|| format!("cannot open the file of --output {}", path.display()))
    })
}

/// Reads the configuration and loads the plugins as at the start.
fn reload(run: &RunRequest<'_>, trust: Trust, start: Config, pipeline: &Pipeline) -> Reload {
    let (shutdown, clock) = (pipeline.shutdown.clone(), pipeline.clock.clone());
    let (arguments, needs_assets) = (run.plugins.clone(), run.needs_assets);
    let compiled = pipeline.stages.plugins.compiled().clone();
    let load = move || {
        let config = setup::config(&arguments, &trust)?;
        let plugins = setup::reloaded_plugins(
            &arguments,
            &config,
            &trust,
            &shutdown,
            &clock,
            (&compiled, needs_assets),
        );
        // Compilation leaves free memory in the allocator, and the compiler's own code in the resident set.
        memory::give_back();
        memory::drop_startup_pages();
        let needs_restart = config.needs_restart(&start);
        let output = output_settings(&config)?;
        plugins.map(|plugins| Some(Reloaded { plugins: plugins?, needs_restart, output }))
    };
    Arc::new(move || {
        let loaded = load().map_err(|failure: Failure| failure.error)?;
        loaded.context("shutdown was requested")
    })
}

/// The processes of `pids` and their descendants among `existing`.
pub(super) fn family(pids: &[u32], existing: &[ExistingProcess]) -> Family {
    let children: Vec<(u32, u32)> =
        existing.iter().map(|process| (process.ppid, process.pid)).collect();
    Family::of(pids, &children)
}
