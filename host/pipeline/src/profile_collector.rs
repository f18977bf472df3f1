//! Builds the profile of a run, and detects the end of its processes.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::heads::PREFETCH_TIMEOUT;
use super::plugin_stages::details_facts;
use super::stale::{STALE_TIMEOUT, StaleTracker};
use super::{LiveReader, Observer, PluginStages};
use crate::select::Select;
use crypto_tracer_event::{
    Arguments, EnrichedEvent, EnrichedWhat, KernelEvent, KernelWhat, Notice, PathIdentity,
    ProcessSummary, RedactedEvent,
};
use crypto_tracer_output::Output;
use crypto_tracer_output::document::{ProfileBuilder, Stale};
use crypto_tracer_reader::ProcessDetails;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::Console;

/// Maximum number of new processes in one batch that are inspected. Further ones are known from their events only.
const MAX_INSPECTED: usize = 64;
/// `/proc` rounds start times down to a multiple of this.
const TICK_NS: u64 = 10_000_000;

/// The processes of a profile.
#[derive(Debug)]
pub struct ProfileTarget {
    /// Filters for their events.
    pub select: Select,
    /// Whether to include their descendants.
    pub follow_children: bool,
    /// The processes that match at the start. `None`: any process can match, also one that starts later.
    pub pids: Option<Vec<u32>>,
}

/// Builds a profile. Copies share it: one observes the run, one is its output, and one remains with the command.
#[derive(Clone, Debug)]
pub struct ProfileCollector(Rc<RefCell<Collector>>);

#[derive(Debug)]
struct Collector {
    builder: ProfileBuilder,
    /// Finds out which libraries and files are stale.
    tracker: StaleTracker<PathIdentity>,
    select: Select,
    /// A child of a matching process matches too: with `--follow-children`, and with `--name` until it changes its name.
    inherits: bool,
    /// Running processes that match.
    alive: HashSet<u32>,
    /// Running processes that can match. `None`: any process can match.
    candidates: Option<HashSet<u32>>,
    /// A child of a candidate is a candidate.
    follow_children: bool,
    /// New processes of this batch, and whether their start was observed.
    new: Vec<(ProcessSummary, bool)>,
    /// Number of events so far.
    count: Arc<AtomicU64>,
    clock: Clock,
    console: Console,
}

impl ProfileCollector {
    /// Builds a profile of the processes of `target`.
    pub fn new(
        target: ProfileTarget,
        reader: LiveReader,
        clock: Clock,
        console: Console,
    ) -> ProfileCollector {
        let ProfileTarget { select, follow_children, pids } = target;
        let running = |pids: Vec<u32>| pids.into_iter().filter(|&pid| is_running(pid)).collect();
        ProfileCollector(Rc::new(RefCell::new(Collector {
            builder: ProfileBuilder::default(),
            tracker: StaleTracker::new(Some(reader)),
            inherits: follow_children || select.pids.is_empty(),
            select,
            alive: HashSet::new(),
            candidates: pids.map(running),
            follow_children,
            new: Vec::new(),
            count: Arc::default(),
            clock,
            console,
        })))
    }

    /// Returns whether the profile includes this process, according to its pid and name.
    pub fn wants(&self, process: &ProcessDetails) -> bool {
        self.0.borrow().select.wants_process(&details_facts(process))
    }

    /// Adds a process that started before the run, with its libraries and files.
    pub fn add_existing(&self, process: &ProcessDetails, stages: &mut PluginStages) {
        let mut collector = self.0.borrow_mut();
        collector.alive.insert(process.pid);
        let summary = collector.summary(process);
        collector.add(summary, Some(process), true, stages);
    }

    /// Returns whether the profile has no process yet.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().builder.is_empty()
    }

    /// Returns the counter of events, for a progress display.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.borrow().count)
    }

    /// Takes the profile out of the collector, with the libraries and files that are stale.
    pub fn take(&self) -> (ProfileBuilder, HashMap<PathIdentity, Stale>) {
        let mut collector = self.0.borrow_mut();
        let stale = collector.tracker.look(STALE_TIMEOUT);
        (std::mem::take(&mut collector.builder), stale)
    }
}

impl Collector {
    /// `before`: the process had its libraries and files before the run.
    fn add(
        &mut self,
        summary: ProcessSummary,
        process: Option<&ProcessDetails>,
        before: bool,
        stages: &mut PluginStages,
    ) {
        process.iter().for_each(|process| self.tracker.add_existing(process));
        let held = process.map(|process| stages.existing(process, self.clock.now()));
        self.builder.add_process(stages.redact_process(summary));
        for held in held.into_iter().flatten() {
            self.builder.add_held(&held, before);
            self.tracker.set_own_key(&held);
        }
    }

    fn summary(&self, process: &ProcessDetails) -> ProcessSummary {
        ProcessSummary {
            pid: process.pid,
            start_ns: process.start_ns,
            start_time: self.clock.wall(process.start_ns),
            name: process.comm.clone(),
            exe: process.exe.clone(),
            arguments: Some(arguments(process)),
            uid: process.uid,
            gid: Some(process.gid),
        }
    }

    fn kernel_event(&mut self, event: &KernelEvent) {
        let pid = event.process.tgid;
        self.tracker.follow(event);
        if let Some(candidates) = &mut self.candidates {
            match event.what {
                KernelWhat::Fork if self.follow_children && candidates.contains(&event.ppid) => {
                    candidates.insert(pid);
                }
                KernelWhat::Exit { .. } => {
                    candidates.remove(&pid);
                }
                _ => {}
            }
        }
        match event.what {
            KernelWhat::Fork if self.inherits && self.alive.contains(&event.ppid) => {
                self.alive.insert(pid);
            }
            // An exec changes the name. If the process still matches, its exec event is selected and adds it again.
            KernelWhat::Exit { .. } | KernelWhat::Exec { .. } => {
                self.alive.remove(&pid);
            }
            _ => {}
        }
    }

    fn selected(&mut self, event: &EnrichedEvent) {
        self.tracker.add_event(event);
        let process = &event.process;
        let (pid, start_ns) = (process.key.tgid, process.key.start_ns);
        if !matches!(event.what, EnrichedWhat::Exit { .. }) {
            self.alive.insert(pid);
        }
        let is_same = |new: &ProcessSummary| (new.pid, new.start_ns) == (pid, start_ns);
        if self.builder.knows(pid, start_ns) || self.new.iter().any(|(new, _)| is_same(new)) {
            return;
        }
        let (arguments, starts) = match &event.what {
            EnrichedWhat::Exec { arguments } => (Some(arguments.clone()), true),
            _ => (None, false),
        };
        let summary = ProcessSummary {
            pid,
            start_ns,
            start_time: self.clock.wall(start_ns),
            name: process.comm.as_bytes().to_vec(),
            exe: process.exe.as_deref().map(<[u8]>::to_vec),
            arguments,
            uid: process.uid,
            gid: None,
        };
        self.new.push((summary, starts));
    }

    /// Inspects the batch's new processes together, and adds them.
    fn batch_selected(&mut self, stages: &mut PluginStages) {
        self.tracker.end_batch();
        let new = std::mem::take(&mut self.new);
        if new.is_empty() {
            return;
        }
        let pids: Vec<u32> = new.iter().map(|(new, _)| new.pid).take(MAX_INSPECTED).collect();
        let interest = stages.plugins.interest();
        let until = Instant::now() + PREFETCH_TIMEOUT;
        let inspected = stages.reader.inspect(&pids, Some(interest), until).unwrap_or_default();
        for (mut summary, starts) in new {
            // The pid of an ended process may be reused.
            let is_same = |process: &&ProcessDetails| {
                process.pid == summary.pid && summary.start_ns.abs_diff(process.start_ns) < TICK_NS
            };
            let process = inspected.iter().find(is_same);
            if let Some(process) = process {
                summary.gid = Some(process.gid);
                summary.arguments = summary.arguments.or_else(|| Some(arguments(process)));
                summary.exe = summary.exe.or_else(|| process.exe.clone());
            }
            // If the start was observed, events contain everything that the process loads and opens.
            self.add(summary, process.filter(|_| !starts), false, stages);
        }
    }

    /// Removes processes that have ended: their exit may be among the lost events.
    fn remove_ended(&mut self) {
        self.alive.retain(|&pid| is_running(pid));
        if let Some(candidates) = &mut self.candidates {
            candidates.retain(|&pid| is_running(pid));
        }
    }
}

impl Observer for ProfileCollector {
    fn on_kernel_event(&mut self, event: &KernelEvent) {
        self.0.borrow_mut().kernel_event(event);
    }

    fn on_selected(&mut self, event: &EnrichedEvent) {
        self.0.borrow_mut().selected(event);
    }

    fn on_batch_selected(&mut self, stages: &mut PluginStages) {
        self.0.borrow_mut().batch_selected(stages);
    }

    fn is_complete(&self) -> bool {
        let collector = self.0.borrow();
        !collector.builder.is_empty() && collector.alive.is_empty()
            || collector.candidates.as_ref().is_some_and(HashSet::is_empty)
    }
}

impl Output for ProfileCollector {
    fn event(&mut self, event: &RedactedEvent) -> bool {
        let mut collector = self.0.borrow_mut();
        collector.builder.add_event(event);
        collector.tracker.set_own_key(event);
        collector.count.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn notice(&mut self, notice: &Notice) -> bool {
        let mut collector = self.0.borrow_mut();
        match notice {
            // The document contains the number of lost events.
            Notice::EventsLost(..) => collector.remove_ended(),
            Notice::PluginFailed(_, failure) => collector.console.info(failure),
            Notice::Status(_, status) => collector.console.info(status),
        }
        false
    }
}

/// Returns whether the process exists. EPERM is the answer for a process of another user.
fn is_running(pid: u32) -> bool {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    raw.is_some_and(|raw| test_kill_process(raw) != Err(Errno::SRCH))
}

fn arguments(process: &ProcessDetails) -> Arguments {
    Arguments { bytes: process.cmdline.clone(), truncated: process.cmdline_truncated }
}
