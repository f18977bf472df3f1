//! A run on the live system: block on the ring, nap, drain, and again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::losses::{EVERY, LOOK};
use super::{Hangup, Line, LossTeller, Recorder};
use crate::event::{KernelEvent, Notice, Timestamp};
use crate::output::Ended;
use crate::plugin::Level;
use crate::signals::Signals;
use crate::source::Source;
use crate::stats::{Missing, Stats};

/// How long events gather before they are taken: one wake-up for many, and one time order between threads.
const NAP: Duration = Duration::from_millis(1);
/// Records of one batch: bounds what a drain holds in memory.
const BATCH: usize = 4096;
/// How long the ring may be emptied after the end was asked for.
const LAST_DRAIN: Duration = Duration::from_millis(40);
/// How long the writer may take for what is left.
const LAST_WRITE: Duration = Duration::from_millis(40);

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A signal, or the duration is over.
    Asked,
    /// The reader of the output closed it, or the output cannot be written.
    Output,
    /// A plugin failed, and that was to end the run.
    Plugin(String),
}

/// What a run leaves.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub stats: Stats,
    /// How the output ended.
    pub output: Ended,
    /// Why it ended.
    pub why: Why,
    /// How the recording ended.
    pub recording: Option<Ended>,
}

/// A run.
#[derive(Debug)]
pub struct Live {
    source: Source,
    line: Line,
    losses: LossTeller,
    /// When plugins may tell of failures again.
    failures_next: Option<Instant>,
    batch: Vec<KernelEvent>,
    recorder: Option<Recorder>,
    hangup: Hangup,
    /// The counters were not looked at since the last drain.
    untold: bool,
}

impl Live {
    /// Brings the kernel side and the steps together.
    pub fn new(source: Source, line: Line, recorder: Option<Recorder>, hangup: Hangup) -> Live {
        let batch = Vec::with_capacity(BATCH);
        let losses = LossTeller::default();
        Live { source, line, losses, failures_next: None, batch, recorder, hangup, untold: false }
    }

    /// Runs until it is asked to end, `until` is reached, or the output ends.
    pub async fn run(mut self, signals: &Signals, until: Option<Instant>) -> io::Result<Outcome> {
        let ring = watch(self.source.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let reader = Watched::of(&self.line)?;
        let end = async {
            tokio::select! {
                () = signals.asked() => Why::Asked,
                () = at(until) => Why::Asked,
                () = reader.gone() => Why::Output,
            }
        };
        tokio::pin!(end);
        let mut busy = false;
        let why = loop {
            let tick = at(self.next_word());
            tokio::select! {
                biased;
                why = &mut end => break why,
                () = self.line.output.writer().ended() => break Why::Output,
                () = signals.hung_up() => {
                    self.hangup.take(&mut self.line, &mut self.source).await;
                }
                // While events come with every nap, waiting for the first one would only be one more wake-up.
                () = std::future::ready(()), if busy => {}
                ready = ring.readable() => ready?.clear_ready(),
                () = tick => {}
            }
            {
                let round = async {
                    // The thread itself sleeps: nothing else waits for it, and a timer of the runtime takes four system
                    // calls and up to twice the time.
                    std::thread::sleep(NAP);
                    self.drain().await
                };
                tokio::pin!(round);
                tokio::select! {
                    biased;
                    why = &mut end => {
                        if why == Why::Asked {
                            // What is in the middle of the steps may come out.
                            let _ = tokio::time::timeout(LAST_DRAIN, &mut round).await;
                        }
                        break why;
                    }
                    done = &mut round => busy = done? > 0,
                }
            }
            if let Some(why) = self.line.plugins.must_end() {
                break Why::Plugin(why);
            }
        };
        self.finish(why).await
    }

    /// Takes everything that is in the ring; how many records that was.
    async fn drain(&mut self) -> io::Result<usize> {
        let mut drained = 0;
        loop {
            let count = self.take_batch();
            if count == 0 {
                break;
            }
            drained += count;
            // Behind the taking: whoever set the clock before one of these events is noticed.
            self.set_clock();
            self.process().await;
            if self.line.stop.is_asked() {
                break;
            }
            // Lets the signals, the duration and the output have their say at any event rate.
            tokio::task::yield_now().await;
        }
        self.tell(false);
        self.line.output.flush().await;
        Ok(drained)
    }

    fn take_batch(&mut self) -> usize {
        let Live { source, line, batch, recorder, .. } = self;
        source.drain(BATCH, &mut |record| {
            if let Some(recorder) = recorder.as_mut() {
                recorder.record(record);
            }
            line.decode(record, batch);
        })
    }

    async fn process(&mut self) {
        self.line.process(&mut self.batch).await;
        if let Some(recorder) = &mut self.recorder {
            recorder.batch_ends().await;
        }
    }

    fn set_clock(&mut self) {
        let offset_ns = wall_offset_ns();
        self.line.enrich.set_wall_offset_ns(offset_ns);
        if let Some(recorder) = &mut self.recorder {
            recorder.set_wall_offset_ns(offset_ns);
        }
    }

    /// When there is word to give of what was lost or failed.
    fn next_word(&self) -> Option<Instant> {
        let now = Instant::now();
        let failures = self.failures_next.unwrap_or(now);
        self.untold.then(|| self.losses.next(now).max(failures))
    }

    /// Tells in the stream what is missing and what failed.
    fn tell(&mut self, last: bool) {
        let now = Instant::now();
        let at = wall_now();
        let losses_wait = !last && now < self.losses.next(now);
        let failures_wait = !last && self.failures_next.is_some_and(|next| now < next);
        self.untold = losses_wait || failures_wait;
        if !losses_wait {
            self.tell_losses(at, now);
        }
        if !failures_wait {
            self.tell_failures(at, now);
        }
    }

    fn tell_losses(&mut self, at: Timestamp, now: Instant) {
        let mut total = self.line.stats.clone();
        add_losses(&mut total, &self.source);
        let news = self.losses.news(&total.lost, now);
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !news.is_empty()) {
            recorder.lost(at, &news);
        }
        for loss in news {
            self.line.output.notice(&Notice::EventsLost(at, loss));
        }
    }

    fn tell_failures(&mut self, at: Timestamp, now: Instant) {
        let failures = self.line.plugins.take_failures();
        self.failures_next = Some(now + if failures.is_empty() { LOOK } else { EVERY });
        for failure in failures {
            self.line.output.notice(&Notice::PluginFailed(at, failure));
        }
        self.line.stats.plugin_failures = self.line.plugins.failures();
        for line in self.line.plugins.take_log() {
            let text = format!("plugin {}: {}", line.plugin, line.message);
            match line.level {
                Level::Debug => self.line.say.detail(text),
                Level::Error | Level::Warn | Level::Info => self.line.say.info(text),
            }
        }
    }

    /// Detaches, takes what is left in the ring, writes it, and counts what is not out by then.
    async fn finish(mut self, why: Why) -> io::Result<Outcome> {
        self.source.detach();
        if why != Why::Output {
            let until = Instant::now() + LAST_DRAIN;
            while Instant::now() < until && self.take_batch() > 0 {
                self.set_clock();
                let left = until.saturating_duration_since(Instant::now());
                let _ = tokio::time::timeout(left, self.process()).await;
            }
        }
        let left = self.source.drain(usize::MAX, &mut |_| {}) as u64;
        self.line.stats.received += left;
        self.line.stats.lose("ended_before", left);
        self.tell(true);
        add_losses(&mut self.line.stats, &self.source);
        let until = Instant::now() + LAST_WRITE;
        let recording = self.recorder.map(|recorder| recorder.finish(until));
        let output = self.line.output.finish(until);
        Ok(Outcome { stats: self.line.stats, output, why, recording })
    }
}

fn add_losses(stats: &mut Stats, source: &Source) {
    for (cause, count, exact) in source.losses().causes() {
        stats.miss(cause, Missing { count, exact });
    }
}

/// The other end of a pipe: it may close while nothing is written.
#[derive(Debug)]
struct Watched(Option<AsyncFd<OwnedFd>>);

impl Watched {
    fn of(line: &Line) -> io::Result<Watched> {
        let Some(fd) = line.output.writer().watched() else { return Ok(Watched(None)) };
        Ok(Watched(Some(watch(fd.try_clone_to_owned()?, Interest::ERROR)?)))
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

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// What turns boot clock into wall clock. The clock may be set at any time, so it is read for each drain.
fn wall_offset_ns() -> i64 {
    nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Boottime)
}

/// The time of day.
pub fn wall_now() -> Timestamp {
    Timestamp(nanoseconds(ClockId::Realtime).div_euclid(1000))
}
