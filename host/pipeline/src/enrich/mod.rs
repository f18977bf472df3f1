//! [`KernelEvent`] → [`EnrichedEvent`]: wall clock, executable, container, the library's name; each library once.

mod cgroups;
mod loads;
mod names;

use std::collections::HashMap;
use std::sync::Arc;

use hashlink::LruCache;

use self::cgroups::Cgroups;
use self::loads::Loads;
pub use self::names::{container, library_name};
use crypto_tracer_system::boot::TICK_NS;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::fs_magic::OVERLAYFS;

use crypto_tracer_event::{
    EnrichedEvent, EnrichedWhat, KernelEvent, KernelWhat, ProcessFacts, ProcessKey,
};

/// Processes that are remembered. When there are more, the one that was silent longest is forgotten.
pub const MOST_PROCESSES: usize = 16_384;

/// What is remembered of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// The executable's path.
    pub exe: Option<Arc<[u8]>>,
}

/// A process that was there before the tracer, as `/proc` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Start time in nanoseconds of the boot clock: it was then, or up to [`TICK_NS`] later.
    pub start_ns: u64,
    /// What is remembered of it.
    pub known: ProcessInfo,
    /// Device and inode number, and path, of each library that it has mapped.
    pub libraries: Vec<((u32, u64), Vec<u8>)>,
}

/// The step's memory.
#[derive(Debug)]
pub struct Enrich {
    clock: Clock,
    processes: LruCache<ProcessKey, ProcessInfo>,
    /// The process that has a pid now, as far as events told.
    by_pid: LruCache<u32, ProcessKey>,
    /// By pid. Each moves to `processes` with its first event, which tells its exact start time.
    before: HashMap<u32, Baseline>,
    loads: Loads,
    cgroups: Cgroups,
}

impl Default for Enrich {
    fn default() -> Self {
        Enrich::new(Clock::system())
    }
}

impl Enrich {
    /// `clock` turns the kernel's times into wall-clock time.
    pub fn new(clock: Clock) -> Enrich {
        Enrich {
            clock,
            processes: LruCache::new(MOST_PROCESSES),
            by_pid: LruCache::new(MOST_PROCESSES),
            before: HashMap::new(),
            loads: Loads::default(),
            cgroups: Cgroups::default(),
        }
    }

    /// Takes in a process that ran before the tracer did.
    pub fn insert(&mut self, pid: u32, before: Baseline) {
        if self.before.len() < MOST_PROCESSES {
            self.before.insert(pid, before);
        }
    }

    /// Enriches one event. None: it is nothing to tell (a library that this program image has already).
    pub fn enrich(&mut self, event: KernelEvent) -> Option<EnrichedEvent> {
        let key = event.process;
        self.adopt(&event);
        if matches!(event.what, KernelWhat::Fork) {
            self.inherit(&event);
            return None;
        }
        self.by_pid.insert(key.tgid, key);
        if let KernelWhat::Exec { exe, .. } = &event.what {
            // Nothing else tells later that its beginning is missing.
            let marked = exe.path.marked();
            let path = marked.as_deref().unwrap_or(&exe.path.bytes);
            self.processes.insert(key, ProcessInfo { exe: Some(path.into()) });
        }
        let known = match event.what {
            KernelWhat::Exit { .. } => self.forget(&key),
            _ => self.processes.get(&key).cloned(),
        }
        .unwrap_or_default();
        let what = match event.what {
            KernelWhat::FileOpen { file, flags } => EnrichedWhat::FileOpen { file, flags },
            KernelWhat::LibLoad { file } => {
                let (path, inode) = (&file.path.bytes, (file.dev, file.inode));
                let overlaid = (file.sb_magic == OVERLAYFS).then_some(path.as_slice());
                if !self.loads.is_first(key, event.exec_id, inode, overlaid) {
                    return None;
                }
                let library_name = library_name(file.path.file_name()).to_vec();
                EnrichedWhat::LibLoad { file, library_name }
            }
            KernelWhat::Exec { arguments, .. } => EnrichedWhat::Exec { arguments },
            KernelWhat::Exit { wait_status } => exit(wait_status),
            KernelWhat::Fork => return None,
        };
        let cgroup = self.cgroups.path(event.cgroup_id);
        let container = cgroup.as_deref().and_then(container).map(Arc::from);
        let process = ProcessFacts {
            key,
            exec_id: event.exec_id,
            tid: event.tid,
            ppid: event.ppid,
            uid: event.uid,
            comm: event.comm,
            exe: known.exe,
            mount_ns: event.mount_ns,
            root: event.root,
            cgroup_id: event.cgroup_id,
            cgroup,
            container,
        };
        Some(EnrichedEvent { timestamp: self.clock.wall(event.ts_ns), process, what })
    }

    /// Cgroups of these events that are not known yet, each with a process that is in it.
    pub fn unknown_cgroups(&self, events: &[KernelEvent]) -> Vec<(u64, u32)> {
        let mut unknown: Vec<(u64, u32)> = Vec::new();
        for event in events {
            let id = event.cgroup_id;
            let wanted = self.cgroups.is_wanted(id, event.ts_ns);
            if wanted && unknown.iter().all(|&(known, _)| known != id) {
                unknown.push((id, event.process.tgid));
            }
        }
        unknown
    }

    /// Takes in the path of a cgroup; None: it is not to be found, and not asked for again.
    pub fn insert_cgroup(&mut self, id: u64, path: Option<&str>) {
        self.cgroups.insert(id, path);
    }

    /// Takes in that nobody answered for a cgroup in time: it is asked for again, some time after `ts_ns`.
    pub fn cgroup_unanswered(&mut self, id: u64, ts_ns: u64) {
        self.cgroups.unanswered(id, ts_ns);
    }

    /// A process that ended makes room. What is still known of it.
    fn forget(&mut self, key: &ProcessKey) -> Option<ProcessInfo> {
        self.loads.forget(key);
        if self.by_pid.peek(&key.tgid) == Some(key) {
            self.by_pid.remove(&key.tgid);
        }
        self.processes.remove(key)
    }

    /// A child runs what its parent runs, until it executes something else.
    fn inherit(&mut self, fork: &KernelEvent) {
        let parent = self.by_pid.get(&fork.ppid).and_then(|key| self.processes.peek(key));
        let before = || self.before.get(&fork.ppid).map(|before| &before.known);
        if let Some(known) = parent.or_else(before).cloned() {
            self.processes.insert(fork.process, known);
        }
        self.by_pid.insert(fork.process.tgid, fork.process);
    }

    /// The first event of a process that was there before.
    fn adopt(&mut self, event: &KernelEvent) {
        let key = event.process;
        let Some(before) = self.before.remove(&key.tgid) else { return };
        if key.start_ns.checked_sub(before.start_ns).is_none_or(|later| later >= TICK_NS) {
            return; // That one is gone, and its pid is used again.
        }
        self.processes.insert(key, before.known);
        // An exec has a new image, without the old one's libraries.
        if !matches!(event.what, KernelWhat::Exec { .. }) {
            for (file, path) in before.libraries {
                self.loads.preloaded(key, event.exec_id, file, path);
            }
        }
    }
}

fn exit(wait_status: u32) -> EnrichedWhat {
    // As <sys/wait.h> has it: the low seven bits are the signal, the next byte is the status.
    match (wait_status & 0x7f) as u8 {
        0 => EnrichedWhat::Exit { exit_code: ((wait_status >> 8) & 0xff) as i32, signal: None },
        signal => EnrichedWhat::Exit { exit_code: 128 + i32::from(signal), signal: Some(signal) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_event::{Arguments, Comm, KernelPath, OpenedFile, Timestamp};

    fn event(start_ns: u64, what: KernelWhat) -> KernelEvent {
        KernelEvent {
            ts_ns: 1_500_000,
            process: ProcessKey { tgid: 7, start_ns },
            exec_id: 1,
            tid: 7,
            ppid: 1,
            uid: 0,
            comm: Comm::default(),
            mount_ns: 0,
            cgroup_id: 0,
            root: (0, 0),
            what,
        }
    }

    fn file(path: &str, inode: u64) -> OpenedFile {
        let path = KernelPath { bytes: path.into(), ..KernelPath::default() };
        OpenedFile { path, inode, ..OpenedFile::default() }
    }

    fn load(inode: u64) -> KernelWhat {
        KernelWhat::LibLoad { file: file("/lib/libssl.so.3", inode) }
    }

    #[test]
    fn a_library_is_told_once_for_each_program_image() {
        let mut enrich = Enrich::default();
        assert!(enrich.enrich(event(1, load(5))).is_some());
        assert!(enrich.enrich(event(1, load(5))).is_none());
        assert!(enrich.enrich(event(1, load(6))).is_some());
        assert!(enrich.enrich(event(2, load(5))).is_some(), "another process with the same pid");
        let mut after_exec = event(1, load(5));
        after_exec.exec_id = 2;
        assert!(enrich.enrich(after_exec).is_some());
    }

    #[test]
    fn what_was_there_before_the_start_is_known_with_the_first_event() {
        let known = ProcessInfo { exe: Some((*b"/bin/old").into()) };
        let before =
            Baseline { start_ns: 3 * TICK_NS, known, libraries: vec![((0, 5), Vec::new())] };
        let start_ns = 3 * TICK_NS + 17;

        let mut enrich = Enrich::default();
        enrich.insert(7, before.clone());
        assert!(enrich.enrich(event(start_ns, load(5))).is_none(), "mapped before");
        let told = enrich.enrich(event(start_ns, load(6))).unwrap();
        assert_eq!(told.process.exe.as_deref(), Some(&b"/bin/old"[..]));

        let mut enrich = Enrich::default();
        enrich.insert(7, before.clone());
        let told = enrich.enrich(event(4 * TICK_NS, load(5))).unwrap();
        assert_eq!(told.process.exe, None, "the pid is used again");

        // Where another time namespace is ahead by a part of a tick.
        let mut enrich = Enrich::default();
        enrich.insert(7, Baseline { start_ns: 3 * TICK_NS + 13, ..before.clone() });
        assert!(enrich.enrich(event(4 * TICK_NS + 12, load(5))).is_none(), "mapped before");

        let mut enrich = Enrich::default();
        enrich.insert(7, before);
        let exec = KernelWhat::Exec { exe: file("/bin/new", 1), arguments: Arguments::default() };
        let told = enrich.enrich(event(start_ns, exec)).unwrap();
        assert_eq!(told.process.exe.as_deref(), Some(&b"/bin/new"[..]));
        assert!(enrich.enrich(event(start_ns, load(5))).is_some(), "a new image");
    }

    #[test]
    fn cgroups_are_asked_for_once() {
        let mut enrich = Enrich::default();
        let mut inside = event(1, load(5));
        inside.cgroup_id = 77;
        let batch = [inside.clone(), inside.clone(), event(1, load(6))];
        assert_eq!(enrich.unknown_cgroups(&batch), [(77, 7), (0, 7)]);
        enrich.insert_cgroup(77, Some("/docker/x"));
        enrich.insert_cgroup(0, None);
        assert_eq!(enrich.unknown_cgroups(&batch), []);
        assert_eq!(enrich.enrich(inside).unwrap().process.cgroup.as_deref(), Some("/docker/x"));
    }

    #[test]
    fn wall_clock_is_boot_clock_and_offset() {
        let clock = Clock::recorded();
        clock.replay_to(1_000_000_000_000_000_999, None);
        let mut enrich = Enrich::new(clock);
        let event = enrich.enrich(event(1, load(5))).unwrap();
        assert_eq!(event.timestamp, Timestamp(1_000_000_000_001_500));
    }

    #[test]
    fn the_executable_is_remembered_until_the_exit() {
        let mut enrich = Enrich::default();
        let exec = KernelWhat::Exec { exe: file("/bin/sh", 1), arguments: Arguments::default() };
        enrich.enrich(event(1, exec)).unwrap();
        let opened = || KernelWhat::FileOpen { file: file("/a.pem", 2), flags: 0 };
        let exe = |event: Option<EnrichedEvent>| event.unwrap().process.exe;
        assert_eq!(exe(enrich.enrich(event(1, opened()))).as_deref(), Some(&b"/bin/sh"[..]));
        assert_eq!(exe(enrich.enrich(event(2, opened()))), None, "same pid, another process");
        let exit = KernelWhat::Exit { wait_status: 0 };
        assert_eq!(exe(enrich.enrich(event(1, exit))).as_deref(), Some(&b"/bin/sh"[..]));
        assert_eq!(exe(enrich.enrich(event(1, opened()))), None);
    }

    #[test]
    fn processes_that_ended_displace_nobody() {
        let mut enrich = Enrich::default();
        let exec = || KernelWhat::Exec { exe: file("/bin/sh", 1), arguments: Arguments::default() };
        enrich.enrich(event(1, exec())).unwrap();
        assert!(enrich.enrich(event(1, load(5))).is_some());
        for start_ns in 2..2 + 2 * MOST_PROCESSES as u64 {
            let of_another = |what| {
                let process = ProcessKey { tgid: 100 + start_ns as u32, start_ns };
                KernelEvent { process, ..event(start_ns, what) }
            };
            enrich.enrich(of_another(exec())).unwrap();
            assert!(enrich.enrich(of_another(load(5))).is_some());
            enrich.enrich(of_another(KernelWhat::Exit { wait_status: 0 })).unwrap();
        }
        assert!(enrich.enrich(event(1, load(5))).is_none(), "told already");
        let told = enrich.enrich(event(1, load(6))).unwrap();
        assert_eq!(told.process.exe.as_deref(), Some(&b"/bin/sh"[..]));
        assert_eq!((enrich.by_pid.len(), enrich.processes.len()), (1, 1));
    }

    #[test]
    fn a_child_that_executes_nothing_runs_what_its_parent_runs() {
        let mut enrich = Enrich::default();
        let exec = KernelWhat::Exec { exe: file("/bin/sh", 1), arguments: Arguments::default() };
        enrich.enrich(event(1, exec)).unwrap();
        let child = |what| {
            let process = ProcessKey { tgid: 8, start_ns: 2 };
            KernelEvent { process, ppid: 7, ..event(2, what) }
        };
        assert!(enrich.enrich(child(KernelWhat::Fork)).is_none(), "nothing to tell");
        let exit = enrich.enrich(child(KernelWhat::Exit { wait_status: 0 })).unwrap();
        assert_eq!(exit.process.exe.as_deref(), Some(&b"/bin/sh"[..]));
    }

    #[test]
    fn wait_status_is_told_as_shells_do() {
        for (status, code, signal) in [
            (0, 0, None),
            (0x0100, 1, None),
            (0xff00, 255, None),
            (9, 137, Some(9)),
            (0x8b, 139, Some(11)),
        ] {
            assert_eq!(exit(status), EnrichedWhat::Exit { exit_code: code, signal }, "{status:#x}");
        }
    }
}
