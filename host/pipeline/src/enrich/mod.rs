//! Stage `enrich`: [`KernelEvent`] → [`EnrichedEvent`]. Adds wall-clock time, executable, container and library name, and
//! removes repeated loads of a library.

mod ancestry;
mod cgroups;
mod loads;
mod names;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hashlink::LruCache;

pub use self::ancestry::{Ancestry, RunningProcess};
use self::cgroups::Cgroups;
use self::loads::Loads;
pub use self::names::{container, library_name};
use crypto_tracer_reader::WantedCgroup;
use crypto_tracer_system::boot::TICK_NS;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::fs_magic::OVERLAYFS;

use crypto_tracer_event::{
    Buffers, EnrichedEvent, EnrichedWhat, FastHash, KernelEvent, KernelWhat, ProcessFacts,
    ProcessKey, fast_hash,
};

/// Maximum number of tracked processes. Beyond it, the process with the oldest last event is evicted.
pub const MAX_PROCESSES: usize = 16_384;

/// What is known about a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Path of the executable.
    pub exe: Option<Arc<[u8]>>,
}

/// A process that started before the tracer, from `/proc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Start time in nanoseconds of the boot clock; the process started then, or less than [`TICK_NS`] later.
    pub start_ns: u64,
    /// What is known about the process.
    pub info: ProcessInfo,
    /// Device and inode number, and path, of each mapped library.
    pub libraries: Vec<((u32, u64), Vec<u8>)>,
}

/// State of the stage.
#[derive(Debug)]
pub struct Enrich {
    clock: Clock,
    processes: LruCache<ProcessKey, ProcessInfo>,
    /// The current process of each pid, from events.
    by_pid: LruCache<u32, ProcessKey>,
    /// By pid, which the kernel assigns, so a fast hash is safe. An entry moves to `processes` with the first event of its process, which contains the exact start time.
    baselines: HashMap<u32, Baseline, FastHash>,
    loads: Loads,
    cgroups: Cgroups,
    /// Ancestors of processes, if a plugin asks for them.
    pub ancestry: Ancestry,
}

impl Default for Enrich {
    fn default() -> Self {
        Enrich::new(Clock::system())
    }
}

impl Enrich {
    /// `clock` converts the kernel's times to wall-clock time.
    pub fn new(clock: Clock) -> Enrich {
        Enrich {
            clock,
            processes: LruCache::new(MAX_PROCESSES),
            by_pid: LruCache::new(MAX_PROCESSES),
            baselines: HashMap::with_hasher(fast_hash()),
            loads: Loads::default(),
            cgroups: Cgroups::default(),
            ancestry: Ancestry::default(),
        }
    }

    /// Adds a process that started before the tracer.
    pub fn insert(&mut self, pid: u32, baseline: Baseline) {
        if self.baselines.len() < MAX_PROCESSES {
            self.baselines.insert(pid, baseline);
        }
    }

    /// Enriches one event. Returns `None` for a fork, and for a library that the program image has already loaded.
    pub fn enrich(&mut self, event: KernelEvent) -> Option<EnrichedEvent> {
        self.enrich_with(event, &mut Buffers::default())
    }

    /// The same, with the memory of earlier events.
    pub(crate) fn enrich_with(
        &mut self,
        event: KernelEvent,
        buffers: &mut Buffers,
    ) -> Option<EnrichedEvent> {
        let key = event.process;
        self.adopt(&event);
        if matches!(event.what, KernelWhat::Fork) {
            self.inherit(&event);
            let info = self.processes.peek(&key);
            self.ancestry.update(&event, info.and_then(|info| info.exe.as_ref()));
            return None;
        }
        self.by_pid.insert(key.tgid, key);
        if let KernelWhat::Exec { exe, .. } = &event.what {
            // Later events take `exe` from here, so the path itself must carry the mark that its beginning is missing.
            let marked = exe.path.marked();
            let path = marked.as_deref().unwrap_or(&exe.path.bytes);
            self.processes.insert(key, ProcessInfo { exe: Some(path.into()) });
        }
        let info = match event.what {
            KernelWhat::Exit { .. } => self.remove(&key),
            _ => self.processes.get(&key).cloned(),
        }
        .unwrap_or_default();
        self.ancestry.update(&event, info.exe.as_ref());
        let what = match event.what {
            KernelWhat::FileOpen { file, flags } => EnrichedWhat::FileOpen { file, flags },
            KernelWhat::LibLoad { file } => {
                let (path, inode) = (&file.path.bytes, (file.dev, file.inode));
                let overlay_path = (file.sb_magic == OVERLAYFS).then_some(path.as_slice());
                if !self.loads.is_first(key, event.exec_id, inode, overlay_path) {
                    buffers.put_path(file.path.bytes);
                    return None;
                }
                let mut name = buffers.path();
                name.extend_from_slice(library_name(file.path.file_name()));
                EnrichedWhat::LibLoad { file, library_name: name }
            }
            KernelWhat::Exec { exe, arguments } => {
                buffers.put_path(exe.path.bytes);
                EnrichedWhat::Exec { arguments }
            }
            KernelWhat::Exit { wait_status } => exit(wait_status),
            KernelWhat::Fork => return None,
        };
        let (cgroup, container) = self.cgroups.path(event.cgroup_id);
        let process = ProcessFacts {
            key,
            exec_id: event.exec_id,
            tid: event.tid,
            ppid: event.ppid,
            uid: event.uid,
            comm: event.comm,
            exe: info.exe,
            mount_ns: event.mount_ns,
            root: event.root,
            cgroup_id: event.cgroup_id,
            cgroup,
            container,
            ancestors: None,
        };
        Some(EnrichedEvent { timestamp: self.clock.wall(event.ts_ns), process, what })
    }

    /// Returns the cgroups of these events to look up, each with a process that is in it.
    pub(crate) fn unknown_cgroups(&self, events: &[KernelEvent]) -> Vec<WantedCgroup> {
        let (mut unknown, mut known) = (Vec::new(), HashSet::new());
        for event in events {
            let id = event.cgroup_id;
            if self.cgroups.is_wanted(id, event.ts_ns) && known.insert(id) {
                unknown.push(WantedCgroup { id, pid: event.process.tgid, uid: event.uid });
            }
        }
        unknown
    }

    /// Adds the path of a cgroup; `None` if it was not found, which ends the lookups.
    pub(crate) fn insert_cgroup(&mut self, id: u64, path: Option<&str>) {
        self.cgroups.insert(id, path);
    }

    /// Notes that the lookup of a cgroup had no answer in time. It is repeated some time after `ts_ns`.
    pub(crate) fn cgroup_timed_out(&mut self, id: u64, ts_ns: u64) {
        self.cgroups.timed_out(id, ts_ns);
    }

    /// Removes a process that has ended. Returns what was known about it.
    fn remove(&mut self, key: &ProcessKey) -> Option<ProcessInfo> {
        self.loads.remove(key);
        if self.by_pid.peek(&key.tgid) == Some(key) {
            self.by_pid.remove(&key.tgid);
        }
        self.processes.remove(key)
    }

    /// Copies what is known about the parent: the child runs the same program until its next exec.
    fn inherit(&mut self, fork: &KernelEvent) {
        let parent = self.by_pid.get(&fork.ppid).and_then(|key| self.processes.peek(key));
        let baseline = || self.baselines.get(&fork.ppid).map(|baseline| &baseline.info);
        if let Some(info) = parent.or_else(baseline).cloned() {
            self.processes.insert(fork.process, info);
        }
        self.by_pid.insert(fork.process.tgid, fork.process);
    }

    /// Moves the baseline of a process to `processes` at its first event.
    fn adopt(&mut self, event: &KernelEvent) {
        let key = event.process;
        let Some(baseline) = self.baselines.remove(&key.tgid) else { return };
        if key.start_ns.checked_sub(baseline.start_ns).is_none_or(|later| later >= TICK_NS) {
            return; // That one is gone, and its pid is used again.
        }
        self.processes.insert(key, baseline.info);
        // An exec unmapped the libraries of the previous image.
        if !matches!(event.what, KernelWhat::Exec { .. }) {
            for (file, path) in baseline.libraries {
                self.loads.add_preloaded(key, event.exec_id, file, path);
            }
        }
    }
}

fn exit(wait_status: u32) -> EnrichedWhat {
    // See <sys/wait.h>: the low seven bits are the signal, the second byte is the exit status.
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
    fn a_library_load_is_reported_once_for_each_program_image() {
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
    fn a_baseline_applies_from_the_first_event_of_its_process() {
        let info = ProcessInfo { exe: Some((*b"/bin/old").into()) };
        let baseline =
            Baseline { start_ns: 3 * TICK_NS, info, libraries: vec![((0, 5), Vec::new())] };
        let start_ns = 3 * TICK_NS + 17;

        let mut enrich = Enrich::default();
        enrich.insert(7, baseline.clone());
        assert!(enrich.enrich(event(start_ns, load(5))).is_none(), "mapped before");
        let enriched = enrich.enrich(event(start_ns, load(6))).unwrap();
        assert_eq!(enriched.process.exe.as_deref(), Some(&b"/bin/old"[..]));

        let mut enrich = Enrich::default();
        enrich.insert(7, baseline.clone());
        let enriched = enrich.enrich(event(4 * TICK_NS, load(5))).unwrap();
        assert_eq!(enriched.process.exe, None, "the pid is reused");

        // The offset of a time namespace may not be a multiple of a tick.
        let mut enrich = Enrich::default();
        enrich.insert(7, Baseline { start_ns: 3 * TICK_NS + 13, ..baseline.clone() });
        assert!(enrich.enrich(event(4 * TICK_NS + 12, load(5))).is_none(), "mapped before");

        let mut enrich = Enrich::default();
        enrich.insert(7, baseline);
        let exec = KernelWhat::Exec { exe: file("/bin/new", 1), arguments: Arguments::default() };
        let enriched = enrich.enrich(event(start_ns, exec)).unwrap();
        assert_eq!(enriched.process.exe.as_deref(), Some(&b"/bin/new"[..]));
        assert!(enrich.enrich(event(start_ns, load(5))).is_some(), "a new image");
    }

    #[test]
    fn cgroups_are_looked_up_once() {
        let mut enrich = Enrich::default();
        let mut inside = event(1, load(5));
        inside.cgroup_id = 77;
        let batch = [inside.clone(), inside.clone(), event(1, load(6))];
        let unknown = enrich.unknown_cgroups(&batch);
        let ids: Vec<_> = unknown.iter().map(|wanted| (wanted.id, wanted.pid)).collect();
        assert_eq!(ids, [(77, 7), (0, 7)]);
        enrich.insert_cgroup(77, Some("/docker/x"));
        enrich.insert_cgroup(0, None);
        assert_eq!(enrich.unknown_cgroups(&batch), []);
        assert_eq!(enrich.enrich(inside).unwrap().process.cgroup.as_deref(), Some("/docker/x"));
    }

    #[test]
    fn wall_clock_is_boot_clock_plus_offset() {
        let clock = Clock::recorded();
        clock.replay_to(1_000_000_000_000_000_999, None);
        let mut enrich = Enrich::new(clock);
        let event = enrich.enrich(event(1, load(5))).unwrap();
        assert_eq!(event.timestamp, Timestamp(1_000_000_000_001_500));
    }

    #[test]
    fn the_executable_is_known_until_the_exit() {
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
    fn ended_processes_evict_no_running_process() {
        let mut enrich = Enrich::default();
        let exec = || KernelWhat::Exec { exe: file("/bin/sh", 1), arguments: Arguments::default() };
        enrich.enrich(event(1, exec())).unwrap();
        assert!(enrich.enrich(event(1, load(5))).is_some());
        for start_ns in 2..2 + 2 * MAX_PROCESSES as u64 {
            let of_another = |what| {
                let process = ProcessKey { tgid: 100 + start_ns as u32, start_ns };
                KernelEvent { process, ..event(start_ns, what) }
            };
            enrich.enrich(of_another(exec())).unwrap();
            assert!(enrich.enrich(of_another(load(5))).is_some());
            enrich.enrich(of_another(KernelWhat::Exit { wait_status: 0 })).unwrap();
        }
        assert!(enrich.enrich(event(1, load(5))).is_none(), "reported before");
        let enriched = enrich.enrich(event(1, load(6))).unwrap();
        assert_eq!(enriched.process.exe.as_deref(), Some(&b"/bin/sh"[..]));
        assert_eq!((enrich.by_pid.len(), enrich.processes.len()), (1, 1));
    }

    #[test]
    fn a_child_without_an_exec_has_the_executable_of_its_parent() {
        let mut enrich = Enrich::default();
        let exec = KernelWhat::Exec { exe: file("/bin/sh", 1), arguments: Arguments::default() };
        enrich.enrich(event(1, exec)).unwrap();
        let child = |what| {
            let process = ProcessKey { tgid: 8, start_ns: 2 };
            KernelEvent { process, ppid: 7, ..event(2, what) }
        };
        assert!(enrich.enrich(child(KernelWhat::Fork)).is_none(), "forks are not reported");
        let exit = enrich.enrich(child(KernelWhat::Exit { wait_status: 0 })).unwrap();
        assert_eq!(exit.process.exe.as_deref(), Some(&b"/bin/sh"[..]));
    }

    #[test]
    fn exit_codes_follow_the_shell_convention() {
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
