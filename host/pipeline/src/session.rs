//! A run on the live system: wait for the ring, sleep shortly, drain it, repeat.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::losses::{EVERY, LOOK, LossReporter};
use super::status::{StatusSchedule, status};
use super::{LiveReader, Pipeline, Recorder, Reloaded, Reloader};
use crate::stats::{LossCount, Stats};
use crypto_tracer_capture::Source;
use crypto_tracer_event::{KernelEvent, Notice, Timestamp};
use crypto_tracer_output::{Output, OutputControl, WriterReport};
use crypto_tracer_reader::ReaderEvent;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::signals::Signals;
use crypto_tracer_system::usage::ResourceUsage;

/// How long events gather before they are taken: one wake-up for many, and one time order between threads.
const NAP: Duration = Duration::from_millis(1);
/// The same while they come steadily, but few at a time: a wake-up costs as much as ten of them.
const LONG_NAP: Duration = Duration::from_millis(3);
/// At most so many are few. A burst is not let gather.
const FEW: usize = 64;
/// Records of one batch: bounds what a drain holds in memory.
const BATCH: usize = 4096;
/// How long the ring may be emptied after the end was asked for.
const LAST_DRAIN: Duration = Duration::from_millis(30);
/// How long the writer may take for what is left.
const LAST_WRITE: Duration = Duration::from_millis(40);

/// When the reader has to have said what it used, counted from when the end was asked for.
const LAST_WORD: Duration = Duration::from_millis(50);

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A signal, or the duration is over.
    Asked,
    /// Nothing more will come.
    Over,
    /// The reader of the output closed it, or the output cannot be written.
    Output,
    /// A plugin failed, and that was to end the run.
    Plugin(String),
}

/// What a run leaves.
#[derive(Debug)]
pub struct RunOutcome<E> {
    /// What was counted.
    pub stats: Stats,
    /// What the output left.
    pub output: E,
    /// Why it ended.
    pub why: EndReason,
    /// How the recording ended.
    pub recording: Option<WriterReport>,
    /// What the reader used, if it said so.
    pub reader: Option<ResourceUsage>,
}

/// Everything that a live run consists of.
#[derive(Debug)]
pub struct Session<O> {
    /// The stages.
    pub pipeline: Pipeline<O>,
    /// The attached kernel side.
    pub capture: Source,
    /// The reader process.
    pub reader: LiveReader,
    /// What SIGHUP does.
    pub reloader: Reloader,
    /// Writes the recording of `--record`.
    pub recorder: Option<Recorder>,
    /// The output's file descriptor.
    pub control: OutputControl,
    /// When `status` is printed.
    pub schedule: StatusSchedule,
    /// The signals that the process receives.
    pub signals: Signals,
    /// When the run ends; `None`: when it is asked to.
    pub until: Option<Instant>,
}

/// A run, with the state of its loop.
#[derive(Debug)]
struct Run<O> {
    session: Session<O>,
    losses: LossReporter,
    /// When failures of plugins may be reported again.
    failures_next: Option<Instant>,
    batch: Vec<KernelEvent>,
    /// The counters were not looked at since the last drain.
    is_report_due: bool,
}

impl<O: Output> Session<O> {
    /// Runs until the end is requested, the time is over, or the output can take no more.
    ///
    /// # Errors
    /// The ring or the output's pipe cannot be watched.
    pub async fn run(self) -> io::Result<RunOutcome<O::Finished>> {
        let run = Run {
            session: self,
            losses: LossReporter::default(),
            failures_next: None,
            batch: Vec::with_capacity(BATCH),
            is_report_due: false,
        };
        run.run().await
    }
}

impl<O: Output> Run<O> {
    async fn run(mut self) -> io::Result<RunOutcome<O::Finished>> {
        let (signals, until) = (self.session.signals.clone(), self.session.until);
        let ring = watch(self.session.capture.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let reader = PipeWatch::of(&self.session.control)?;
        let end = async {
            tokio::select! {
                () = signals.asked() => EndReason::Asked,
                () = at(until) => EndReason::Asked,
                () = reader.gone() => EndReason::Output,
            }
        };
        tokio::pin!(end);
        let mut drained = 0;
        let mut last_drain = None;
        let why = loop {
            let tick = at(self.next_word());
            tokio::select! {
                biased;
                why = &mut end => break why,
                () = self.session.control.broken() => break EndReason::Output,
                () = signals.hung_up() => tokio::select! {
                    biased;
                    why = &mut end => break why,
                    () = self.session.take_hangup() => {}
                },
                loaded = self.session.reloader.loaded() => self.session.replace_plugins(loaded),
                () = signals.status_asked() => self.session.schedule.ask(),
                // While events come with every nap, waiting for the first one would only be one more wake-up.
                () = std::future::ready(()), if drained > 0 => {}
                ready = ring.readable() => ready?.clear_ready(),
                () = tick => {}
            }
            {
                let nap = if (1..=FEW).contains(&drained) { LONG_NAP } else { NAP };
                let round = async {
                    // The thread itself sleeps: nothing else waits for it, and a timer of the runtime takes four system
                    // calls and up to twice the time.
                    std::thread::sleep(nap);
                    self.drain().await
                };
                tokio::pin!(round);
                tokio::select! {
                    biased;
                    why = &mut end => {
                        if why == EndReason::Asked {
                            // What is in the middle of the steps may come out.
                            let until = *last_drain.insert(Instant::now() + LAST_DRAIN);
                            let _ = tokio::time::timeout_at(until.into(), &mut round).await;
                        }
                        break why;
                    }
                    done = &mut round => drained = done?,
                }
            }
            if let Some(why) = self.session.pipeline.stages.plugins.must_end() {
                break EndReason::Plugin(why);
            }
            if self.session.pipeline.is_complete() {
                break EndReason::Over;
            }
        };
        // One patience for both: a reader that does not read uses up all of it, here or there.
        self.finish(why, last_drain.unwrap_or_else(|| Instant::now() + LAST_DRAIN)).await
    }

    /// Takes what is in the ring; how many records that was.
    async fn drain(&mut self) -> io::Result<usize> {
        let mut drained = 0;
        loop {
            let count = self.take_batch();
            if count > 0 {
                drained += count;
                // Behind the taking: whoever set the clock before one of these events is noticed.
                self.session.pipeline.clock.measure();
                self.process().await;
            }
            // Lets the signals, the duration and the output have their say at any event rate.
            tokio::task::yield_now().await;
            // What came meanwhile is not worth a round, and a line to the output, of its own.
            if count < BATCH || self.session.pipeline.shutdown.is_requested() {
                break;
            }
        }
        self.session.register_reader();
        self.tell(false);
        self.session.pipeline.output.flush().await;
        Ok(drained)
    }

    fn take_batch(&mut self) -> usize {
        let Run { session: Session { capture, pipeline, recorder, .. }, batch, .. } = self;
        capture.drain(BATCH, &mut |record| {
            if let Some(recorder) = recorder.as_mut() {
                recorder.record(record);
            }
            pipeline.decode(record, batch);
        })
    }

    async fn process(&mut self) {
        self.session.pipeline.process(&mut self.batch).await;
        self.session.pipeline.output.flush().await;
        if let Some(recorder) = &mut self.session.recorder {
            recorder.batch_ends().await;
        }
    }

    /// When there is word to give of what was lost or failed, or of the run itself.
    fn next_word(&self) -> Option<Instant> {
        let now = Instant::now();
        let failures = self.failures_next.unwrap_or(now);
        let due = self.is_report_due.then(|| self.losses.next(now).max(failures));
        // Nothing wakes up for a program that was not run. Only who asked for such a probe pays for the look.
        let silent = self.session.capture.loses_silently().then(|| self.losses.look_again(now));
        due.into_iter().chain(silent).chain(self.session.schedule.next()).min()
    }

    /// Tells in the stream what is missing and what failed.
    fn tell(&mut self, last: bool) {
        let now = Instant::now();
        let at = self.session.pipeline.clock.now();
        let losses_wait = !last && now < self.losses.next(now);
        let failures_wait = !last && self.failures_next.is_some_and(|next| now < next);
        self.is_report_due = losses_wait || failures_wait;
        if !losses_wait {
            self.tell_losses(at, now);
        }
        if !failures_wait {
            self.tell_failures(at, now);
        }
        self.tell_status(now);
    }

    fn tell_status(&mut self, now: Instant) {
        let (status_due, counters_due) =
            (self.session.schedule.status_is_due(now), self.session.schedule.counters_are_due(now));
        if !status_due && !counters_due {
            return;
        }
        let mut total = self.session.pipeline.stats.clone();
        add_losses(&mut total, &self.session.capture);
        if status_due {
            let Session { pipeline, capture, .. } = &mut self.session;
            let plugins = &pipeline.stages.plugins;
            let notice = status(&total, plugins, capture.attached(), pipeline.clock.now());
            pipeline.output.notice(&notice);
        }
        if let Some(counters) =
            counters_due.then(|| self.session.schedule.counters(total)).flatten()
        {
            self.session.pipeline.console.detail(counters);
        }
    }

    fn tell_losses(&mut self, at: Timestamp, now: Instant) {
        let mut total = self.session.pipeline.stats.clone();
        add_losses(&mut total, &self.session.capture);
        let news = self.losses.news(&total.lost, now);
        if let Some(recorder) = self.session.recorder.as_mut().filter(|_| !news.is_empty()) {
            recorder.lost(at, &news);
        }
        for loss in news {
            self.session.pipeline.output.notice(&Notice::EventsLost(at, loss));
        }
    }

    fn tell_failures(&mut self, at: Timestamp, now: Instant) {
        let any = self.session.pipeline.report_failures(at);
        self.failures_next = Some(now + if any { EVERY } else { LOOK });
    }

    /// Detaches, takes what is left in the ring, writes it, and counts what is not out by then.
    /// `until`: how long the ring may be emptied.
    async fn finish(
        mut self,
        why: EndReason,
        until: Instant,
    ) -> io::Result<RunOutcome<O::Finished>> {
        let over = Instant::now() + LAST_WORD;
        self.session.capture.detach();
        if why != EndReason::Output {
            while Instant::now() < until && self.take_batch() > 0 {
                self.session.pipeline.clock.measure();
                let left = until.saturating_duration_since(Instant::now());
                let _ = tokio::time::timeout(left, self.process()).await;
            }
        }
        let left = self.session.capture.drain(usize::MAX, &mut |_| {}) as u64;
        self.session.pipeline.stats.received += left;
        self.session.pipeline.stats.add_loss("ended_before", left);
        self.tell(true);
        add_losses(&mut self.session.pipeline.stats, &self.session.capture);
        let until = Instant::now() + LAST_WRITE;
        let recording = self.session.recorder.map(|recorder| recorder.finish(until));
        let output = self.session.pipeline.output.finish(until);
        let reader = self.session.reader.usage(over);
        Ok(RunOutcome { stats: self.session.pipeline.stats, output, why, recording, reader })
    }
}

impl<O> Session<O> {
    /// Leaves a new reader process out of the trace before it opens a file.
    pub fn register_reader(&mut self) {
        register_reader(self.reader.take_event(), &mut self.capture, self.pipeline.console);
    }

    /// Continues with the plugins that a reload has loaded.
    fn replace_plugins(&mut self, loaded: anyhow::Result<Reloaded>) {
        let Session { pipeline, capture, schedule, .. } = self;
        if self.reloader.replace(pipeline, capture, schedule, loaded)
            && let Some(recorder) = &mut self.recorder
        {
            recorder.interest(self.pipeline.stages.plugins.interest());
        }
    }
}

impl<O: Output> Session<O> {
    async fn take_hangup(&mut self) {
        self.reloader.take(&mut self.pipeline, &self.control).await;
    }
}

/// A reader that took the place of one that hung is left out of the trace before it opens anything.
pub fn register_reader(news: Option<ReaderEvent>, source: &mut Source, console: Console) {
    match news {
        None => {}
        Some(ReaderEvent::Off) => console.error(format_args!(
            "readers hung too often: for a while beginnings of files are not looked at"
        )),
        Some(ReaderEvent::Replaced(pids, whose)) => {
            let own: Vec<u32> = pids.into_iter().chain([std::process::id()]).collect();
            let at = whose.map(|uid| format!(" at a file of user {uid}")).unwrap_or_default();
            match source.set_own(&own) {
                Ok(()) => console.info(format_args!("the reader hung{at} and was replaced")),
                Err(error) => console.error(format_args!("the new reader is traced: {error}")),
            }
        }
    }
}

fn add_losses(stats: &mut Stats, source: &Source) {
    for (cause, count, exact) in source.losses().causes() {
        stats.miss(cause, LossCount { count, exact });
    }
}

/// The other end of a pipe: it may close while nothing is written.
#[derive(Debug)]
struct PipeWatch(Option<AsyncFd<OwnedFd>>);

impl PipeWatch {
    fn of(control: &OutputControl) -> io::Result<PipeWatch> {
        let Some(fd) = control.pipe() else { return Ok(PipeWatch(None)) };
        Ok(PipeWatch(Some(watch(fd.try_clone_to_owned()?, Interest::ERROR)?)))
    }

    async fn gone(&self) {
        match &self.0 {
            Some(fd) => {
                let _ = fd.ready(Interest::ERROR).await;
            }
            None => std::future::pending().await,
        }
    }
}

fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open, and the same, for as long as the AsyncFd that owns it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
