//! A run on the live system: block on the ring, nap, drain, and again.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Line, LossTeller};
use crate::event::{KernelEvent, Notice, Timestamp};
use crate::output::Ended;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A signal, or the duration is over.
    Asked,
    /// The reader of the output closed it, or the output cannot be written.
    Output,
}

/// What a run leaves.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub stats: Stats,
    /// How the output ended.
    pub output: Ended,
}

/// A run.
#[derive(Debug)]
pub struct Live {
    source: Source,
    line: Line,
    losses: LossTeller,
    batch: Vec<KernelEvent>,
    /// The counters were not looked at since the last drain.
    untold: bool,
}

impl Live {
    /// Brings the kernel side and the steps together.
    pub fn new(source: Source, line: Line) -> Live {
        let batch = Vec::with_capacity(BATCH);
        Live { source, line, losses: LossTeller::default(), batch, untold: false }
    }

    /// Runs until it is asked to end, `until` is reached, or the output ends.
    pub async fn run(mut self, signals: &Signals, until: Option<Instant>) -> io::Result<Outcome> {
        let ring =
            AsyncFd::with_interest(self.source.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let nap = Nap::new()?;
        let reader = Watched::of(&self.line)?;
        let end = async {
            tokio::select! {
                () = signals.asked() => Why::Asked,
                () = at(until) => Why::Asked,
                () = reader.gone() => Why::Output,
            }
        };
        tokio::pin!(end);
        let why = loop {
            let tick = at(self.next_word());
            tokio::select! {
                biased;
                why = &mut end => break why,
                () = self.line.output.writer().ended() => break Why::Output,
                ready = ring.readable() => ready?.clear_ready(),
                () = tick => {}
            }
            let round = async {
                nap.take().await?;
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
                done = &mut round => done?,
            }
        };
        self.finish(why).await
    }

    /// Takes everything that is in the ring.
    async fn drain(&mut self) -> io::Result<()> {
        self.line.enrich.set_wall_offset_ns(wall_offset_ns());
        while self.take_batch() > 0 {
            self.line.process(&mut self.batch).await;
            if self.line.stop.is_asked() {
                break;
            }
            // Lets the signals, the duration and the output have their say at any event rate.
            tokio::task::yield_now().await;
        }
        self.tell(false);
        self.line.output.flush().await;
        Ok(())
    }

    fn take_batch(&mut self) -> usize {
        let Live { source, line, batch, .. } = self;
        source.drain(BATCH, &mut |record| line.decode(record, batch))
    }

    /// When there is word to give of what was lost or failed.
    fn next_word(&self) -> Option<Instant> {
        self.untold.then(|| self.losses.next(Instant::now()))
    }

    /// Tells in the stream what is missing and what failed.
    fn tell(&mut self, last: bool) {
        let now = Instant::now();
        self.untold = !last && now < self.losses.next(now);
        if self.untold {
            return;
        }
        let at = wall_now();
        let mut total = self.line.stats.clone();
        add_losses(&mut total, &self.source);
        for loss in self.losses.news(&total.lost, now) {
            self.line.output.notice(&Notice::EventsLost(at, loss));
        }
        for failure in self.line.plugins.take_failures() {
            self.line.stats.plugin_failures += failure.count;
            self.line.output.notice(&Notice::PluginFailed(at, failure));
        }
    }

    /// Detaches, takes what is left in the ring, writes it, and counts what is not out by then.
    async fn finish(mut self, why: Why) -> io::Result<Outcome> {
        self.source.detach();
        if why == Why::Asked {
            let until = Instant::now() + LAST_DRAIN;
            self.line.enrich.set_wall_offset_ns(wall_offset_ns());
            while Instant::now() < until && self.take_batch() > 0 {
                let left = until.saturating_duration_since(Instant::now());
                let _ = tokio::time::timeout(left, self.line.process(&mut self.batch)).await;
            }
        }
        let left = self.source.drain(usize::MAX, &mut |_| {}) as u64;
        self.line.stats.received += left;
        self.line.stats.lose("ended_before", left);
        self.tell(true);
        add_losses(&mut self.line.stats, &self.source);
        let output = self.line.output.finish(Instant::now() + LAST_WRITE);
        Ok(Outcome { stats: self.line.stats, output })
    }
}

fn add_losses(stats: &mut Stats, source: &Source) {
    for (cause, count, exact) in source.losses().causes() {
        stats.miss(cause, Missing { count, exact });
    }
}

/// One millisecond, to the microsecond: tokio's own timer may take two.
#[derive(Debug)]
struct Nap(AsyncFd<OwnedFd>);

impl Nap {
    fn new() -> io::Result<Nap> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Nap(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    async fn take(&self) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let nap = Timespec { tv_sec: 0, tv_nsec: i64::from(NAP.subsec_nanos()) };
        let once = Itimerspec { it_interval: zero, it_value: nap };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let taken = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            match taken {
                Ok(done) => return done.map(|_| ()),
                Err(_not_yet) => {}
            }
        }
    }
}

/// The other end of a pipe: it may close while nothing is written.
#[derive(Debug)]
struct Watched(Option<AsyncFd<Raw>>);

/// A descriptor that the writer owns.
#[derive(Debug)]
struct Raw(RawFd);

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Watched {
    fn of(line: &Line) -> io::Result<Watched> {
        let fd = line.output.writer().watched().map(|fd| Raw(fd.as_raw_fd()));
        Ok(Watched(fd.map(|fd| AsyncFd::with_interest(fd, Interest::ERROR)).transpose()?))
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

fn wall_now() -> Timestamp {
    Timestamp(nanoseconds(ClockId::Realtime).div_euclid(1000))
}
