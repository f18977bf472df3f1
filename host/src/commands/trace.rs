//! What all commands share that trace the live system: everything from the arguments to the pipeline.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};

use super::{before, line, same};
use crate::cli::{Capture, PluginArgs, Print, Trace};
use crate::config::Config;
use crate::counted::counted;
use crate::enrich::Enrich;
use crate::error::{Code, Failure};
use crate::memory;
use crate::output::{Ended, NewFile, Output, Target};
use crate::pipeline::{
    AskHeads, Family, Hangup, KeptHeads, Line, Live, Outcome, OutputSettings, ReaderHeads,
    Recorder, Reload, Reloaded, Reopen, Sink, Stream, Why, Word, meet_reader,
};
use crate::plugin::{Plugins, Trust};
use crate::reader::{Nursery, Reader, SeenProcess};
use crate::record::Start;
use crate::say::{Loudness, Say};
use crate::select::{COMM_BYTES, Kinds, Select};
use crate::signals::Signals;
use crate::source::{self, Source};
use crate::stats::Stats;
use crate::stop::Stop;

/// Size of the ring buffer. It holds over 100 ms of events at full speed; the writer's buffer comes on top.
pub(super) const RING_BYTES: u32 = 8 << 20;

/// What a command wants of a run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) kinds: Kinds,
    pub(super) trace: &'a Trace,
    pub(super) plugins: &'a PluginArgs,
    pub(super) capture: &'a Capture,
    /// The file that is printed to, if it is one.
    pub(super) output: Option<&'a Path>,
    /// The kernel side may leave out processes with another name.
    pub(super) names_in_kernel: bool,
    pub(super) say: Say,
}

/// A run whose kernel side is attached, with all privileges.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) stop: Stop,
    signals: Signals,
    trust: Trust,
    plugins: Plugins,
    reader: Reader,
    source: Source,
    enrich: Enrich,
    config: Config,
    /// The processes that were there before.
    pub(super) seen: Vec<SeenProcess>,
    /// What the filters leave.
    pub(super) select: Select,
    /// What a new output file is given.
    pub(super) new: NewFile,
}

/// From arguments to an attached kernel side. None: the end was asked for before.
pub(super) fn begin(run: &Run<'_>, nursery: Nursery) -> Result<Option<Begun>, Failure> {
    let stop = Stop::default();
    // First: a thread that is there before takes signals as if nobody waited for them.
    let signals = Signals::start(stop.clone()).context("cannot take signals").map_err(failed)?;
    // Before the configuration: in a user namespace nothing seems to belong to root.
    source::check_user_namespace().map_err(refused)?;
    let trust = Trust::of_this_process();
    let config = line::config(run.plugins, &trust)?;
    let plugins = line::plugins(run.plugins, &config, &trust, &stop)?;
    let Some(plugins) = plugins else { return Ok(None) };
    let new = line::new_file(&config)?;
    if let Some(path) = run.output {
        line::named_by_user(|| Target::check(path)).map_err(failed)?;
    }
    if let Some(record) = &run.capture.record {
        same::check_record(record, run.output)?;
        Target::check_new(record).map_err(failed)?;
    }
    run.trace.processes.watched.pid.iter().try_for_each(|&pid| before::check(pid))?;

    let mut reader = Reader::start(nursery).context("cannot start the reader").map_err(failed)?;
    let select = line::select(run.kinds, run.trace);
    line::warn(&select, plugins.interest(), run.say);
    line::warn_of_links(&select, run.say);
    let mut source = start_source(run, &select, &plugins, &reader, &config)?;
    let watched = &run.trace.processes.watched;
    if watched.follow_children {
        before::follow(&watched.pid, &mut source, &mut reader, &stop, run.say)?;
    }
    let interest = plugins.interest();
    let seen = before::scan(&mut reader, interest, watched.follow_children, &stop, run.say)?;
    meet_reader(reader.news(), &mut source, run.say);
    let mut enrich = Enrich::default();
    line::remember(&mut enrich, &seen, plugins.interest());
    let begun =
        Begun { stop, signals, trust, config, plugins, reader, source, enrich, seen, select, new };
    Ok(Some(begun))
}

/// A run that has given up its privileges.
#[derive(Debug)]
pub(super) struct Ready {
    begun: Rest,
    recorder: Option<Recorder>,
    pub(super) heads: Box<dyn AskHeads>,
    pub(super) plugins: Plugins,
    pub(super) stop: Stop,
    /// Processes that are the tracer's own.
    pub(super) own: Vec<u32>,
}

/// What only the run itself needs.
#[derive(Debug)]
struct Rest {
    signals: Signals,
    trust: Trust,
    source: Source,
    enrich: Enrich,
    select: Select,
    config: Config,
}

impl Begun {
    /// Opens the recording, if one is wanted, and gives up all privileges; the output is open by now.
    pub(super) fn ready(self, run: &Run<'_>) -> Result<Ready, Failure> {
        let Begun { stop, signals, trust, config, select, .. } = self;
        let Begun { plugins, mut reader, source, enrich, seen, .. } = self;
        let recording = run.capture.record.as_deref();
        let recording = recording.map(|path| line::named_by_user(|| Target::create_new(path)));
        let recording = recording.transpose().map_err(failed)?;
        // Everything is attached and open: what is left to do needs no privileges.
        // A configuration that is there may name a group later.
        let gives = self.new.gid.is_some() || line::has_config(run.plugins, &trust);
        line::confine(run.output, gives)?;
        reader.wait_to_be_known();
        let own = reader.pids().into_iter().chain([std::process::id()]).collect();
        let reader = ReaderHeads { reader, stop: stop.clone() };
        let (heads, recorder) = recorder(run, recording, reader, &plugins, seen)?;
        memory::give_back();
        let begun = Rest { signals, trust, source, enrich, select, config };
        Ok(Ready { begun, recorder, heads, plugins, stop, own })
    }
}

impl Ready {
    /// Leaves a reader out of the trace that took the place of one that hung.
    pub(super) fn meet_reader(&mut self, say: Say) {
        meet_reader(self.heads.news(), &mut self.begun.source, say);
    }

    /// Runs to the end. `reopen` opens the output anew; None: it is no file that was named.
    pub(super) fn live<S: Sink>(
        self,
        run: &Run<'_>,
        sink: S,
        reopen: Option<Reopen>,
    ) -> Result<Outcome<S::Ended>, Failure> {
        let Ready { begun, recorder, heads, plugins, stop, .. } = self;
        let Rest { signals, trust, source, enrich, select, config } = begun;
        let output = output_settings(&config)?;
        announce(&source, &plugins, &config, run);
        let duration = run.trace.processes.duration;
        let until = (!duration.is_zero()).then(|| Instant::now() + duration);
        if let Some(until) = until {
            stop.at(until);
        }
        let hangup = Hangup::new(reopen, reload(run, trust, config, &stop), output);
        let line = Line {
            enrich,
            select,
            family: Family::default(),
            plugins,
            heads,
            sink,
            stats: Stats::default(),
            stop,
            say: run.say,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let word = Word::new(output.status_every, run.say.0 >= Loudness::Verbose);
        let live = Live::new(source, line, recorder, hangup, word);
        runtime.and_then(|runtime| runtime.block_on(live.run(&signals, until))).map_err(failed)
    }
}

/// Traces and prints a stream.
pub(super) fn stream(run: &Run<'_>, nursery: Nursery, print: &Print) -> Result<(), Failure> {
    let Some(begun) = begin(run, nursery)? else { return Ok(()) };
    let (new, trust) = (begun.new, begun.trust.clone());
    let Some(target) = line::target(print, new, &begun.stop)? else { return Ok(()) };
    let ready = begun.ready(run)?;
    let output = line::output(target, print)?;
    let sink = Stream { output, redact: !print.no_redact, extended: print.extended };
    let reopen = run.output.map(|path| reopen(path.to_owned(), print, run.plugins, &trust, new));
    let outcome = ready.live(run, sink, reopen)?;
    let failure = ended(outcome.recording, outcome.why);
    line::report(&outcome.stats, outcome.reader, outcome.output, run.say).and(failure)
}

/// Whether the recording is whole, and no plugin ended the run.
pub(super) fn ended(recording: Option<Ended>, why: Why) -> Result<(), Failure> {
    recording.map_or(Ok(()), line::ended)?;
    match why {
        Why::Plugin(why) => Err(failed(anyhow!(why))),
        Why::Asked | Why::Over | Why::Output => Ok(()),
    }
}

/// What the configuration says of the output.
fn output_settings(config: &Config) -> Result<OutputSettings, Failure> {
    let status_every = config.output.status_every;
    Ok(OutputSettings { new: line::new_file(config)?, status_every })
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
        let config = line::config(&arguments, &trust);
        new = config.and_then(|config| line::new_file(&config)).unwrap_or(new);
        line::again(&path, &print, new)
    })
}

/// The same as at the start, once more.
fn reload(run: &Run<'_>, trust: Trust, start: Config, stop: &Stop) -> Reload {
    let (arguments, stop) = (run.plugins.clone(), stop.clone());
    let load = move || {
        let config = line::config(&arguments, &trust)?;
        let plugins = line::plugins(&arguments, &config, &trust, &stop);
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
    Failure::new(Code::Failed, error)
}

/// These processes, and those that descend from them already.
pub(super) fn family(pids: &[u32], seen: &[SeenProcess]) -> Family {
    Family::of(pids, seen.iter().map(|process| (process.ppid, process.pid)).collect())
}

/// The probe for opens and loads that was asked for.
fn named_probe<'a>(run: &'a Run<'_>, config: &'a Config) -> Option<&'a str> {
    run.capture.probe.as_deref().or(config.capture.open_probe.as_deref())
}

/// As much of the filters as the kernel can take.
fn start_source(
    run: &Run<'_>,
    select: &Select,
    plugins: &Plugins,
    reader: &Reader,
    config: &Config,
) -> Result<Source, Failure> {
    let comm = select.names.iter().find(|name| name.len() <= COMM_BYTES).cloned();
    let comm = comm.filter(|_| run.names_in_kernel);
    let probe = named_probe(run, config).map(str::to_owned);
    let options = source::Options {
        interest: plugins.interest(),
        kinds: source::Kinds {
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
pub(super) fn refused(error: source::Error) -> Failure {
    let code = match error.exit_code() {
        2 => Code::Usage,
        3 => Code::Privileges,
        4 => Code::Kernel,
        _ => Code::Probe,
    };
    Failure::new(code, error)
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
        only: only(run.kinds, run.trace),
        processes,
    };
    run.say.info(format_args!(
        "recording to {}: raw, nothing in it is redacted; for its owner only",
        path.display()
    ));
    let heads = KeptHeads::new(Box::new(reader));
    let writer = Output::raw_writer(target).map_err(failed)?;
    let recorder = Recorder::new(writer, start, heads.kept());
    Ok((Box::new(heads), Some(recorder)))
}

/// The filters that the kernel may have applied already.
fn only(kinds: Kinds, trace: &Trace) -> Vec<String> {
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

fn announce(source: &Source, plugins: &Plugins, config: &Config, run: &Run<'_>) {
    for plugin in plugins.running() {
        run.say.detail(format_args!("plugin {plugin}"));
    }
    for probe in source.attached() {
        for unseen in &probe.cannot_see {
            run.say.detail(format_args!("{} cannot see {}", probe.probe, unseen.what));
        }
        if let Some(costs) = probe.costs {
            run.say.detail(format_args!("{} costs {costs}", probe.probe));
        }
    }
    if let Some(outside) = source.outside() {
        run.say.info(outside);
    }
    let hooks: Vec<&str> = source.attached().iter().map(|probe| probe.hook.as_str()).collect();
    let spots = source.attached().iter().map(|probe| probe.cannot_see.len()).sum();
    let doctor = doctor(named_probe(run, config));
    run.say.info(format_args!("ready: {}; {}", hooks.join(", "), blind_spots(spots, &doctor)));
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
    use crate::output::BUFFER_BYTES;

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
