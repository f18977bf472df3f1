//! Gathers a profile, and notices when the processes that it is about have ended.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::heads::WAIT;
use super::{HeadReader, Sink, details_facts, judge_existing, redactor, wall_now, wall_of};
use crate::select::Select;
use crypto_tracer_event::{
    Arguments, ClassifiedEvent, EnrichedEvent, EnrichedWhat, KernelEvent, KernelWhat, Notice,
};
use crypto_tracer_output::document::{ProfileBuilder, SeenProcess};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_reader::ProcessDetails;
use crypto_tracer_system::console::Console;

/// Processes met in one drain that are looked into; what is known of the others is what their events tell.
const MOST_LOOKED: usize = 64;

/// A profile in the making.
#[derive(Debug)]
pub struct ProfileCollector {
    builder: ProfileBuilder,
    /// Which processes it is about.
    select: Select,
    /// A child of theirs is one of them: with `--follow-children`, and with `--name` until it has another one.
    inherits: bool,
    /// Those that run.
    alive: HashSet<u32>,
    /// Of all that can be meant, those that run; None: any process can.
    can_come: Option<HashSet<u32>>,
    /// A child of those can be meant too.
    follow_children: bool,
    /// Those of this drain that were not met before, and whether they were seen to begin.
    fresh: Vec<(SeenProcess, bool)>,
    /// The pipe that the document goes to.
    pipe: Option<OwnedFd>,
    /// Events so far, for whoever shows progress.
    count: Arc<AtomicU64>,
    redact: bool,
    console: Console,
}

/// Whose profile it is.
#[derive(Debug)]
pub struct ProfileTarget {
    /// What their events have to meet.
    pub select: Select,
    /// Their descendants' too.
    pub follow_children: bool,
    /// All that can be meant at the start; None: any process can, also one that comes later.
    pub pids: Option<Vec<u32>>,
}

impl ProfileCollector {
    /// For the processes of `whose`. `pipe`: where the document goes, if that is one.
    pub fn new(
        whose: ProfileTarget,
        redact: bool,
        pipe: Option<OwnedFd>,
        console: Console,
    ) -> ProfileCollector {
        let ProfileTarget { select, follow_children, pids } = whose;
        let running = |pids: Vec<u32>| pids.into_iter().filter(|&pid| runs(pid)).collect();
        ProfileCollector {
            builder: ProfileBuilder::default(),
            inherits: follow_children || select.pids.is_empty(),
            select,
            alive: HashSet::new(),
            can_come: pids.map(running),
            follow_children,
            fresh: Vec::new(),
            pipe,
            count: Arc::default(),
            redact,
            console,
        }
    }

    /// Whether it is about this process, as far as its name tells.
    pub fn wants(&self, process: &ProcessDetails) -> bool {
        self.select.wants_process(&details_facts(process))
    }

    /// Takes in a process that was there before the run, with what it has.
    pub fn found(
        &mut self,
        process: &ProcessDetails,
        heads: &mut dyn HeadReader,
        plugins: &mut Plugins,
    ) {
        self.alive.insert(process.pid);
        self.take(seen(process), Some(process), true, heads, plugins);
    }

    /// Whether no process was met yet.
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// The number of events so far, while it runs.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }

    /// What was gathered.
    pub fn into_builder(self) -> ProfileBuilder {
        self.builder
    }

    fn take(
        &mut self,
        seen: SeenProcess,
        process: Option<&ProcessDetails>,
        before: bool,
        heads: &mut dyn HeadReader,
        plugins: &mut Plugins,
    ) {
        let uid = seen.uid;
        let held = process.map(|process| judge_existing(process, wall_now(), heads, plugins));
        let mut redact = redactor(plugins, uid, self.redact);
        self.builder.meet(seen, &mut *redact);
        for held in held.into_iter().flatten() {
            self.builder.held_before(held, before, &mut *redact);
        }
    }
}

impl Sink for ProfileCollector {
    type Ended = ProfileCollector;

    fn on_kernel_event(&mut self, event: &KernelEvent) {
        let pid = event.process.tgid;
        if let Some(can_come) = &mut self.can_come {
            match event.what {
                KernelWhat::Fork if self.follow_children && can_come.contains(&event.ppid) => {
                    can_come.insert(pid);
                }
                KernelWhat::Exit { .. } => {
                    can_come.remove(&pid);
                }
                _ => {}
            }
        }
        match event.what {
            KernelWhat::Fork if self.inherits && self.alive.contains(&event.ppid) => {
                self.alive.insert(pid);
            }
            // With an exec comes another name; if the process is still meant, the event is left, and says so.
            KernelWhat::Exit { .. } | KernelWhat::Exec { .. } => {
                self.alive.remove(&pid);
            }
            KernelWhat::Fork | KernelWhat::FileOpen { .. } | KernelWhat::LibLoad { .. } => {}
        }
    }

    fn selected(&mut self, event: &EnrichedEvent) {
        let process = &event.process;
        let (pid, start_ns) = (process.key.tgid, process.key.start_ns);
        if !matches!(event.what, EnrichedWhat::Exit { .. }) {
            self.alive.insert(pid);
        }
        let fresh = |seen: &SeenProcess| (seen.pid, seen.start_ns) == (pid, start_ns);
        if self.builder.knows(pid, start_ns) || self.fresh.iter().any(|(seen, _)| fresh(seen)) {
            return;
        }
        let (arguments, begins) = match &event.what {
            EnrichedWhat::Exec { arguments } => (Some(arguments.clone()), true),
            _ => (None, false),
        };
        let seen = SeenProcess {
            pid,
            start_ns,
            start_time: wall_of(start_ns),
            name: process.comm.as_bytes().to_vec(),
            exe: process.exe.as_deref().map(<[u8]>::to_vec),
            arguments,
            uid: process.uid,
            gid: None,
        };
        self.fresh.push((seen, begins));
    }

    fn all_selected(&mut self, heads: &mut dyn HeadReader, plugins: &mut Plugins) {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return;
        }
        let pids: Vec<u32> = fresh.iter().map(|(seen, _)| seen.pid).take(MOST_LOOKED).collect();
        let looked = heads.look(&pids, Some(plugins.interest()), Instant::now() + WAIT);
        let looked = looked.unwrap_or_default();
        for (mut seen, begins) in fresh {
            // The pid of one that ended may be used again.
            let same = |process: &&ProcessDetails| {
                process.pid == seen.pid && seen.start_ns.abs_diff(process.start_ns) < SAME_NS
            };
            let process = looked.iter().find(same);
            if let Some(process) = process {
                seen.gid = Some(process.gid);
                seen.arguments = seen.arguments.or_else(|| Some(arguments(process)));
                seen.exe = seen.exe.or_else(|| process.exe.clone());
            }
            // What one loads that was seen to begin is told by events.
            self.take(seen, process.filter(|_| !begins), false, heads, plugins);
        }
    }

    fn event(&mut self, event: ClassifiedEvent, plugins: &mut Plugins) {
        let uid = event.event.process.uid;
        self.builder.event(event, &mut *redactor(plugins, uid, self.redact));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Losses are in the statistics.
    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::EventsLost(..) => {}
            Notice::PluginFailed(_, failure) => self.console.info(failure),
            Notice::Status(_, status) => self.console.info(status),
        }
    }

    fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    fn is_over(&self) -> bool {
        !self.builder.is_empty() && self.alive.is_empty()
            || self.can_come.as_ref().is_some_and(HashSet::is_empty)
    }

    /// The end of a process may be among what was lost.
    fn lost(&mut self) {
        self.alive.retain(|&pid| runs(pid));
        if let Some(can_come) = &mut self.can_come {
            can_come.retain(|&pid| runs(pid));
        }
    }

    fn finish(self, _deadline: Instant) -> ProfileCollector {
        self
    }
}

/// Another user's process answers that it may not be signalled: it is there.
fn runs(pid: u32) -> bool {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    raw.is_some_and(|raw| test_kill_process(raw) != Err(Errno::SRCH))
}

/// `/proc` rounds start times down to this.
const SAME_NS: u64 = 10_000_000;

fn seen(process: &ProcessDetails) -> SeenProcess {
    SeenProcess {
        pid: process.pid,
        start_ns: process.start_ns,
        start_time: wall_of(process.start_ns),
        name: process.comm.clone(),
        exe: process.exe.clone(),
        arguments: Some(arguments(process)),
        uid: process.uid,
        gid: Some(process.gid),
    }
}

fn arguments(process: &ProcessDetails) -> Arguments {
    Arguments { bytes: process.cmdline.clone(), truncated: process.cmdline_truncated }
}
