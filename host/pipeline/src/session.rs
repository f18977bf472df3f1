//! The loop of a live run: wait for the ring, sleep briefly, drain it, repeat.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::losses::{CHECK_INTERVAL, LossReporter, REPORT_INTERVAL};
use super::missing_heads::MissingHeadsReporter;
use super::reader_events::register_reader;
use super::status::{StatusSchedule, status};
use super::{LiveReader, Pipeline, Recorder, Reloaded, Reloader};
use crate::stats::{LossCount, Stats};
use crypto_tracer_capture::{DrainLimit, Drained, Source};
use crypto_tracer_event::{KernelEvent, Notice, Timestamp};
use crypto_tracer_output::{OutputControl, WriterReport};
use crypto_tracer_system::memory;
use crypto_tracer_system::signals::Signals;
use crypto_tracer_system::usage::ResourceUsage;

/// Delay before a drain: many events take one wake-up, and events of several threads are sorted together.
const NAP: Duration = Duration::from_millis(1);
/// Delay while events arrive steadily but slowly: a wake-up costs as much as ten events.
const LONG_NAP: Duration = Duration::from_millis(3);
/// Maximum number of events in a drain that is followed by [`LONG_NAP`]. A burst is drained sooner.
const FEW: usize = 64;
/// Maximum size of a batch. Limits the memory of a drain: the events of a batch take a few times as much.
const BATCH: DrainLimit = DrainLimit { records: 4096, bytes: 1 << 20 };
/// Size in bytes of the records after whose processing free memory is given back.
const LARGE: usize = 256 << 10;
/// Time limit for draining the ring after a shutdown request.
const LAST_DRAIN: Duration = Duration::from_millis(30);
/// Time limit for the writers after the last drain.
const LAST_WRITE: Duration = Duration::from_millis(40);
/// Time limit for the reader process to report its resource usage, from the end of the loop.
const USAGE_TIMEOUT: Duration = Duration::from_millis(50);

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A signal, or the end of the duration.
    Requested,
    /// All traced processes have ended.
    Completed,
    /// The reader of the output closed it, or the output cannot be written.
    Output,
    /// A plugin failed that ends the run on failure.
    Plugin(String),
}

/// Result of a run.
#[derive(Debug)]
pub struct RunOutcome {
    /// Counters.
    pub stats: Stats,
    /// Result of the output.
    pub output: WriterReport,
    /// Why the run ended.
    pub reason: EndReason,
    /// Result of the recording.
    pub recording: Option<WriterReport>,
    /// Resource usage of the reader process, if it answered in time.
    pub reader: Option<ResourceUsage>,
}

/// The parts of a live run.
#[derive(Debug)]
pub struct Session {
    /// The stages.
    pub pipeline: Pipeline,
    /// The attached kernel side.
    pub capture: Source,
    /// The reader process.
    pub reader: LiveReader,
    /// Handles SIGHUP.
    pub reloader: Reloader,
    /// Writes the recording of `--record`.
    pub recorder: Option<Recorder>,
    /// Control of the output's file descriptor.
    pub control: OutputControl,
    /// Schedule of `status`.
    pub schedule: StatusSchedule,
    /// Signals that the process receives.
    pub signals: Signals,
    /// End of the run; `None` if it runs until a shutdown request.
    pub until: Option<Instant>,
}

/// A session with the state of its loop.
#[derive(Debug)]
struct Run {
    session: Session,
    losses: LossReporter,
    /// Earliest time of the next report of plugin failures.
    failures_next: Option<Instant>,
    batch: Vec<KernelEvent>,
    /// A large drain has left free memory in the allocator.
    is_memory_due: bool,
    /// Earliest time at which it is given back.
    memory_next: Option<Instant>,
    missing_heads: MissingHeadsReporter,
    /// Losses or failures since the last drain were not reported, because the interval has not passed.
    is_report_due: bool,
}

impl Session {
    /// Runs until a shutdown request, the end of the duration, or the end of the output.
    ///
    /// # Errors
    /// The ring or the output's pipe cannot be watched.
    pub async fn run(self) -> io::Result<RunOutcome> {
        let run = Run {
            session: self,
            losses: LossReporter::default(),
            failures_next: None,
            batch: Vec::with_capacity(BATCH.records),
            is_memory_due: false,
            memory_next: None,
            missing_heads: MissingHeadsReporter::new(Instant::now()),
            is_report_due: false,
        };
        run.run().await
    }
}

impl Run {
    async fn run(mut self) -> io::Result<RunOutcome> {
        let (signals, until) = (self.session.signals.clone(), self.session.until);
        let ring = watch(self.session.capture.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let reader = PipeWatch::of(&self.session.control)?;
        let end = async {
            tokio::select! {
                () = signals.asked() => EndReason::Requested,
                () = sleep_until(until) => EndReason::Requested,
                () = reader.closed() => EndReason::Output,
            }
        };
        tokio::pin!(end);
        let mut drained = 0;
        let mut last_drain = None;
        let reason = loop {
            let tick = sleep_until(self.next_report());
            tokio::select! {
                biased;
                reason = &mut end => break reason,
                () = self.session.control.broken() => break EndReason::Output,
                () = signals.hung_up() => tokio::select! {
                    biased;
                    reason = &mut end => break reason,
                    () = self.session.start_reload() => {}
                },
                loaded = self.session.reloader.loaded() => self.session.replace_plugins(loaded),
                () = signals.status_asked() => self.session.schedule.request(),
                // While every drain finds events, waiting for the first one would only be another wake-up.
                () = std::future::ready(()), if drained > 0 => {}
                ready = ring.readable() => ready?.clear_ready(),
                () = tick => {}
            }
            {
                let nap = if (1..=FEW).contains(&drained) { LONG_NAP } else { NAP };
                let round = async {
                    // Blocks the thread: no other task runs on it, and a tokio timer takes four system calls and up to
                    // twice the time.
                    std::thread::sleep(nap);
                    self.drain().await
                };
                tokio::pin!(round);
                tokio::select! {
                    biased;
                    reason = &mut end => {
                        if reason == EndReason::Requested {
                            // Events in the middle of the stages may still reach the output.
                            let until = *last_drain.insert(Instant::now() + LAST_DRAIN);
                            let _ = tokio::time::timeout_at(until.into(), &mut round).await;
                        }
                        break reason;
                    }
                    done = &mut round => drained = done?,
                }
            }
            if let Some(message) = self.session.pipeline.stages.plugins.must_end() {
                break EndReason::Plugin(message);
            }
            if self.session.pipeline.is_complete() {
                break EndReason::Completed;
            }
        };
        // Both drains share one time limit: a blocked output uses all of it in either.
        self.finish(reason, last_drain.unwrap_or_else(|| Instant::now() + LAST_DRAIN)).await
    }

    /// Drains the ring. Returns the number of records.
    async fn drain(&mut self) -> io::Result<usize> {
        let (mut drained, mut bytes) = (0, 0);
        loop {
            let batch = self.take_batch();
            if batch.records > 0 {
                drained += batch.records;
                bytes += batch.bytes;
                // After the drain, so that a clock change before any of these events is measured.
                self.session.pipeline.clock.measure();
                self.process().await;
            }
            // Signals, the duration and the output are polled at any event rate.
            tokio::task::yield_now().await;
            // The few records that arrived meanwhile wait for the next drain.
            if !batch.has_more || self.session.pipeline.shutdown.is_requested() {
                break;
            }
        }
        self.session.register_reader();
        self.report(false);
        let now = Instant::now();
        self.session.pipeline.observers.iter_mut().for_each(|observer| observer.on_due(now));
        self.session.pipeline.flush().await;
        self.give_back(bytes);
        Ok(drained)
    }

    fn take_batch(&mut self) -> Drained {
        let Run { session: Session { capture, pipeline, recorder, .. }, batch, .. } = self;
        pipeline.stages.set_ring_state(capture.is_ring_half_full());
        capture.drain(BATCH, &mut |record| {
            if let Some(recorder) = recorder.as_mut() {
                recorder.record(record);
            }
            pipeline.decode(record, batch);
        })
    }

    /// Gives free memory back after a drain of this size, at most once a second: the allocator keeps what a drain of long
    /// paths took.
    fn give_back(&mut self, bytes: usize) {
        self.is_memory_due |= bytes >= LARGE;
        let now = Instant::now();
        if self.is_memory_due && self.memory_next.is_none_or(|next| now >= next) {
            memory::give_back();
            (self.is_memory_due, self.memory_next) = (false, Some(now + REPORT_INTERVAL));
        }
    }

    async fn process(&mut self) {
        self.session.pipeline.process(&mut self.batch).await;
        self.session.pipeline.flush().await;
        if let Some(recorder) = &mut self.session.recorder {
            recorder.end_batch().await;
        }
    }

    /// Returns the time of the next report of losses, failures or status.
    fn next_report(&self) -> Option<Instant> {
        let now = Instant::now();
        let failures = self.failures_next.unwrap_or(now);
        let due = self.is_report_due.then(|| self.losses.next(now).max(failures));
        // A BPF program that the kernel skips wakes nothing up. Only probes with such losses need regular checks.
        let silent = self.session.capture.loses_silently().then(|| self.losses.next_idle(now));
        let observers = self.session.pipeline.observers.iter().filter_map(|it| it.next_due());
        due.into_iter().chain(silent).chain(self.session.schedule.next()).chain(observers).min()
    }

    /// Reports losses, failures and status in the stream. `last`: without waiting for the interval.
    fn report(&mut self, last: bool) {
        let now = Instant::now();
        let at = self.session.pipeline.clock.now();
        let defer_losses = !last && now < self.losses.next(now);
        let defer_failures = !last && self.failures_next.is_some_and(|next| now < next);
        self.is_report_due = defer_losses || defer_failures;
        if !defer_losses {
            self.report_losses(at, now);
        }
        if !defer_failures {
            self.report_failures(at, now);
        }
        self.report_status(now);
        let Pipeline { stats, console, .. } = &self.session.pipeline;
        if let Some(summary) = self.missing_heads.due(stats, now).filter(|_| !last) {
            console.info(summary);
        }
    }

    fn report_status(&mut self, now: Instant) {
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

    fn report_losses(&mut self, at: Timestamp, now: Instant) {
        let mut total = self.session.pipeline.stats.clone();
        add_losses(&mut total, &self.session.capture);
        let losses = self.losses.take_new(&total.lost, now);
        if let Some(recorder) = self.session.recorder.as_mut().filter(|_| !losses.is_empty()) {
            recorder.add_losses(at, &losses);
        }
        for loss in losses {
            self.session.pipeline.output.notice(&Notice::EventsLost(at, loss));
        }
    }

    fn report_failures(&mut self, at: Timestamp, now: Instant) {
        let has_failures = self.session.pipeline.report_failures(at);
        self.failures_next =
            Some(now + if has_failures { REPORT_INTERVAL } else { CHECK_INTERVAL });
    }

    /// Detaches the probes, processes the records in the ring until `until`, and counts the others as lost.
    async fn finish(mut self, reason: EndReason, until: Instant) -> io::Result<RunOutcome> {
        let usage_deadline = Instant::now() + USAGE_TIMEOUT;
        self.session.capture.detach();
        if reason != EndReason::Output {
            while Instant::now() < until && self.take_batch().records > 0 {
                self.session.pipeline.clock.measure();
                let remaining = until.saturating_duration_since(Instant::now());
                let _ = tokio::time::timeout(remaining, self.process()).await;
            }
        }
        let all = DrainLimit { records: usize::MAX, bytes: usize::MAX };
        let unprocessed = self.session.capture.drain(all, &mut |_| {}).records as u64;
        self.session.pipeline.stats.received += unprocessed;
        self.session.pipeline.stats.add_loss("ended_before", unprocessed);
        self.report(true);
        add_losses(&mut self.session.pipeline.stats, &self.session.capture);
        let until = Instant::now() + LAST_WRITE;
        let recording = self.session.recorder.map(|recorder| recorder.finish(until));
        let output = self.session.pipeline.output.finish(until);
        let reader = self.session.reader.usage(usage_deadline);
        Ok(RunOutcome { stats: self.session.pipeline.stats, output, reason, recording, reader })
    }
}

impl Session {
    fn register_reader(&mut self) {
        register_reader(self.reader.take_event(), &mut self.capture, self.pipeline.console);
    }

    /// Replaces the plugins by those that a reload has loaded.
    fn replace_plugins(&mut self, loaded: anyhow::Result<Reloaded>) {
        let Session { pipeline, capture, schedule, .. } = self;
        if self.reloader.replace(pipeline, capture, schedule, loaded)
            && let Some(recorder) = &mut self.recorder
        {
            recorder.add_interest(self.pipeline.stages.plugins.interest());
        }
        // The old plugins are gone by now. Their compiled code alone takes megabytes.
        memory::give_back();
    }

    async fn start_reload(&mut self) {
        self.reloader.start(&mut self.pipeline, &self.control).await;
    }
}

fn add_losses(stats: &mut Stats, source: &Source) {
    for (cause, count, exact) in source.losses().causes() {
        stats.add_loss_count(cause, LossCount { count, exact });
    }
}

/// Watches the other end of a pipe, which its reader can close at any time.
#[derive(Debug)]
struct PipeWatch(Option<AsyncFd<OwnedFd>>);

impl PipeWatch {
    fn of(control: &OutputControl) -> io::Result<PipeWatch> {
        let Some(fd) = control.pipe() else { return Ok(PipeWatch(None)) };
        Ok(PipeWatch(Some(watch(fd.try_clone_to_owned()?, Interest::ERROR)?)))
    }

    /// Returns when the reader has closed the pipe; pending for other outputs.
    async fn closed(&self) {
        match &self.0 {
            Some(fd) => {
                let _ = fd.ready(Interest::ERROR).await;
            }
            None => std::future::pending().await,
        }
    }
}

fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd remains open and unchanged as long as the AsyncFd that owns it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
