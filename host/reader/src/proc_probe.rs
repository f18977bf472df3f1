//! Probes processes on separate threads. A thread that blocks delays only the process that it probes: another thread
//! continues with the others.
//!
//! An access to a process in the middle of `execve` may block until `execve` completes: on `maps`, and in newer kernels
//! on `stat`, `exe`, `root` and `ns` too. `execve` closes files, and a FUSE file system can delay that indefinitely.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::sync::mpsc::{SendError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// Maximum number of blocked threads that searches of all processes may cause. Each ends when its process unblocks, or
/// with the reader.
const MAX_BLOCKED: usize = 512;
/// The same for reads of heads. Searches leave room for them, and they leave room for each other: the tracer requests
/// no more heads for a user whose files block threads.
const MAX_BLOCKED_HEADS: usize = 768;
/// Maximum number of threads that wait for a job.
const MAX_IDLE: usize = 4;
/// A thread that is blocked for this long will probably not continue.
const HANG_TIMEOUT: Duration = Duration::from_secs(1);
/// Enough for paths below `/proc`, and for the readers of heads.
const STACK_BYTES: usize = 256 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, and the processes that block one of them. Clones share both.
#[derive(Clone, Debug, Default)]
pub(super) struct ProbePool(Arc<Mutex<Threads>>);

#[derive(Debug, Default)]
struct Threads {
    idle: Vec<SyncSender<Job>>,
    /// By process ID.
    blocked: HashMap<u32, BlockedThread>,
}

#[derive(Debug)]
struct BlockedThread {
    since: Instant,
    /// The user to blame, until [`ProbePool::take_hung`] has returned the user.
    uid: Option<u32>,
}

/// How long probes may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// If no probe completes for this long, further threads continue with the processes that follow.
    pub(super) stall: Duration,
    /// For one process, if none follows.
    pub(super) each: Duration,
    /// For all processes.
    pub(super) total: Duration,
}

impl Timeouts {
    /// For one response about all processes or a page of them: below the timeout after which a reader counts as hung.
    pub(super) const RESPONSE: Timeouts = Timeouts {
        stall: Duration::from_millis(10),
        each: Duration::from_millis(100),
        total: Duration::from_millis(600),
    };
}

/// What is probed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<I> {
    /// The process that may block.
    pub(super) pid: u32,
    /// The user to blame if it does.
    pub(super) uid: Option<u32>,
    /// Passed to the probe.
    pub(super) item: I,
}

/// Result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probed<T> {
    /// The probe returned this.
    Done(T),
    /// The process has blocked the probe for this long, perhaps since an earlier call. Zero if the probe only lacks
    /// processor time.
    Blocked(Duration),
    /// The time was over, or too many threads are blocked.
    NotStarted,
}

impl<T> Probed<T> {
    pub(super) fn done(self) -> Option<T> {
        match self {
            Probed::Done(result) => Some(result),
            Probed::Blocked(_) | Probed::NotStarted => None,
        }
    }
}

impl ProbePool {
    /// Probes processes. Returns the results in the order of `pids`.
    pub(super) fn each_process<T: Send + 'static>(
        &self,
        pids: impl IntoIterator<Item = u32>,
        timeouts: Timeouts,
        probe: impl Fn(u32) -> T + Send + Sync + 'static,
    ) -> Vec<Probed<T>> {
        let target = |pid| Target { pid, uid: None, item: pid };
        self.each(pids.into_iter().map(target), timeouts, probe)
    }

    /// Probes targets. Returns the results in their order.
    pub(super) fn each<I: Send + 'static, T: Send + 'static>(
        &self,
        targets: impl IntoIterator<Item = Target<I>>,
        timeouts: Timeouts,
        probe: impl Fn(I) -> T + Send + Sync + 'static,
    ) -> Vec<Probed<T>> {
        let deadline = Instant::now() + timeouts.total;
        let run = Arc::new(Run {
            progress: Mutex::new(self.progress(targets)),
            finished: Condvar::new(),
            probe,
            pool: self.clone(),
        });
        let job = |run: &Arc<Run<_, _, _>>| {
            let run = run.clone();
            Box::new(move || run.work()) as Job
        };
        let mut progress = locked(&run.progress);
        let max_blocked = match progress.queue.front() {
            Some((_, Target { uid: Some(_), .. })) => MAX_BLOCKED_HEADS,
            _ => MAX_BLOCKED,
        };
        let mut completed = None;
        while !progress.is_finished() {
            let stalled = completed == Some(progress.completed);
            completed = Some(progress.completed);
            if (stalled || progress.running.is_empty()) && progress.has_startable() {
                // Doubles the number of threads.
                let missing = progress.running.len().clamp(1, progress.queue.len());
                let room = max_blocked.saturating_sub(self.blocked_count());
                let room = room.saturating_sub(progress.running.len());
                drop(progress);
                let started = (0..missing.min(room)).filter(|_| self.start(job(&run))).count();
                progress = locked(&run.progress);
                if started == 0 && progress.running.is_empty() && !progress.is_finished() {
                    break;
                }
            } else if stalled && progress.all_exceed(timeouts.each) {
                break;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                break;
            }
            let interval = timeouts.stall.min(remaining);
            let waited =
                run.finished.wait_timeout_while(progress, interval, |it| !it.is_finished());
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.abandon(&mut progress)
    }

    /// The targets, without those that are known to block.
    fn progress<I, T>(&self, targets: impl IntoIterator<Item = Target<I>>) -> Progress<I, T> {
        let threads = locked(&self.0);
        let (mut queue, mut results) = (VecDeque::new(), Vec::new());
        for (index, target) in targets.into_iter().enumerate() {
            match threads.blocked.get(&target.pid) {
                Some(blocked) => results.push(Probed::Blocked(blocked.since.elapsed())),
                None => {
                    results.push(Probed::NotStarted);
                    queue.push_back((index, target));
                }
            }
        }
        Progress { queue, running: Vec::new(), results, completed: 0, abandoned: false }
    }

    /// Gives the job to an idle thread or to a new one. Returns false if none could be started.
    fn start(&self, job: Job) -> bool {
        let idle = locked(&self.0).idle.pop();
        let job = match idle {
            Some(thread) => match thread.send(job) {
                Ok(()) => return true,
                Err(SendError(job)) => job,
            },
            None => job,
        };
        let pool = self.clone();
        let work = move || {
            let (sender, jobs) = sync_channel::<Job>(1);
            let mut next = Some(job);
            while let Some(job) = next {
                job();
                let mut threads = locked(&pool.0);
                if threads.idle.len() >= MAX_IDLE {
                    return;
                }
                threads.idle.push(sender.clone());
                drop(threads);
                next = jobs.recv().ok();
            }
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(work).is_ok()
    }

    /// Abandons the threads that have not finished, and takes the results.
    fn abandon<I, T>(&self, progress: &mut Progress<I, T>) -> Vec<Probed<T>> {
        progress.abandoned = true;
        let mut threads = locked(&self.0);
        for Running { index, pid, uid, since, tid } in std::mem::take(&mut progress.running) {
            threads.blocked.insert(pid, BlockedThread { since, uid });
            if let Some(result) = progress.results.get_mut(index) {
                // On a loaded machine a thread may wait for a processor, for which its user is not to blame.
                let blocked = if is_runnable(tid) { Duration::ZERO } else { since.elapsed() };
                *result = Probed::Blocked(blocked);
            }
        }
        std::mem::take(&mut progress.results)
    }

    /// Returns the users whose threads have been blocked for so long that they will probably not continue, each thread
    /// once.
    pub(super) fn take_hung(&self) -> Vec<u32> {
        let mut threads = locked(&self.0);
        let hung = threads.blocked.values_mut().filter(|it| it.since.elapsed() >= HANG_TIMEOUT);
        hung.filter_map(|blocked| blocked.uid.take()).collect()
    }

    fn blocked_count(&self) -> usize {
        locked(&self.0).blocked.len()
    }
}

/// The probes of one call.
struct Run<I, T, P> {
    progress: Mutex<Progress<I, T>>,
    finished: Condvar,
    probe: P,
    pool: ProbePool,
}

impl<I, T, P: Fn(I) -> T> Run<I, T, P> {
    /// Probes targets until none is left.
    fn work(&self) {
        let tid = rustix::thread::gettid();
        let mut progress = locked(&self.progress);
        while let Some((index, Target { pid, uid, item })) = progress.take_next() {
            progress.running.push(Running { index, pid, uid, since: Instant::now(), tid });
            drop(progress);
            let result = (self.probe)(item);
            // Under the lock, either the result is recorded or the thread is already abandoned.
            progress = locked(&self.progress);
            if progress.abandoned {
                locked(&self.pool.0).blocked.remove(&pid);
                return;
            }
            progress.running.retain(|running| running.index != index);
            progress.completed += 1;
            if let Some(slot) = progress.results.get_mut(index) {
                *slot = Probed::Done(result);
            }
        }
        // The caller is not notified after each process.
        if progress.is_finished() {
            self.finished.notify_one();
        }
    }
}

#[derive(Debug)]
struct Progress<I, T> {
    queue: VecDeque<(usize, Target<I>)>,
    running: Vec<Running>,
    /// In the order of the targets.
    results: Vec<Probed<T>>,
    completed: usize,
    /// The threads must discard their results and end.
    abandoned: bool,
}

#[derive(Debug)]
struct Running {
    index: usize,
    pid: u32,
    uid: Option<u32>,
    since: Instant,
    /// The thread.
    tid: Pid,
}

impl<I, T> Progress<I, T> {
    fn is_finished(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty()
    }

    /// Index in the queue of the next target. A process is probed by one thread at a time: if it blocks, the others would
    /// block too.
    fn next(&self) -> Option<usize> {
        let is_free = |pid: u32| self.running.iter().all(|running| running.pid != pid);
        self.queue.iter().position(|(_, target)| is_free(target.pid))
    }

    fn has_startable(&self) -> bool {
        self.next().is_some()
    }

    fn take_next(&mut self) -> Option<(usize, Target<I>)> {
        self.queue.remove(self.next().filter(|_| !self.abandoned)?)
    }

    /// Whether all running probes have taken at least this long.
    fn all_exceed(&self, limit: Duration) -> bool {
        self.running.iter().all(|running| running.since.elapsed() >= limit)
    }
}

/// Whether a thread of this process runs or waits for a processor.
fn is_runnable(tid: Pid) -> bool {
    let stat = fs::read(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    let name_end = stat.iter().rposition(|&byte| byte == b')');
    name_end.is_some_and(|at| stat.get(at..).is_some_and(|rest| rest.starts_with(b") R")))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
