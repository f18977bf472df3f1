//! The ancestors of processes, for plugins that ask for them.
//!
//! The table has the processes that ran when the tracking began, from `/proc`, and those that events are about since then.
//! A link to a parent is a pid. A parent is never younger than its child, so a process that has the pid by now, but started
//! later, is not the parent. Start times are in clock ticks, because `/proc` has no exact ones: a pid that is used again
//! within a tick, 10 ms, is not noticed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hashlink::LruCache;
use serde::{Deserialize, Serialize};

use super::MAX_PROCESSES;
use crate::ProcessInspector;
use crypto_tracer_event::{Ancestor, Comm, KernelEvent, KernelWhat, MAX_ANCESTORS, ProcessKey};
use crypto_tracer_reader::ProcessDetails;
use crypto_tracer_system::boot;

/// Maximum number of ended processes, which can still be ancestors of running ones.
const MAX_ENDED: usize = 4096;
/// Number of processes of a request to the reader.
const PAGE: usize = 256;

/// A process that runs when the tracking begins, from `/proc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent.
    pub ppid: u32,
    /// Start time in nanoseconds of the boot clock, rounded down to a clock tick.
    pub start_ns: u64,
    /// Real user id.
    pub uid: u32,
    /// Name.
    pub comm: Vec<u8>,
    /// Path of the executable.
    pub exe: Option<Vec<u8>>,
}

impl RunningProcess {
    /// Reads all processes. Returns those for which there was an answer before `until`, and whether these are all.
    pub fn all(
        inspector: &mut dyn ProcessInspector,
        until: Instant,
    ) -> (Vec<RunningProcess>, bool) {
        let mut running = Vec::new();
        let Some(pids) = inspector.all_pids(until) else { return (running, false) };
        for pids in pids.chunks(PAGE) {
            let Some(page) = inspector.inspect(pids, None, until) else { return (running, false) };
            running.extend(page.into_iter().map(RunningProcess::from));
        }
        (running, true)
    }
}

impl From<ProcessDetails> for RunningProcess {
    fn from(details: ProcessDetails) -> RunningProcess {
        let ProcessDetails { pid, ppid, start_ns, uid, comm, exe, .. } = details;
        RunningProcess { pid, ppid, start_ns, uid, comm, exe }
    }
}

/// The table, or nothing as long as no plugin asks for ancestors. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Ancestry(Rc<RefCell<Option<Processes>>>);

impl Ancestry {
    /// Begins the tracking. Does nothing if it has begun.
    pub fn begin(&self) {
        self.0.borrow_mut().get_or_insert_with(Processes::new);
    }

    /// Ends the tracking.
    pub fn end(&self) {
        *self.0.borrow_mut() = None;
    }

    /// Returns whether the tracking has begun.
    pub fn is_tracked(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Adds processes that run, if the tracking has begun.
    pub fn add(&self, running: &[RunningProcess]) {
        let mut processes = self.0.borrow_mut();
        let Some(processes) = &mut *processes else { return };
        for process in running.iter().take(MAX_PROCESSES) {
            processes.insert(
                process.pid,
                Process {
                    start_ticks: boot::start_ticks(process.start_ns),
                    ppid: process.ppid,
                    uid: process.uid,
                    comm: Comm::from_name(&process.comm),
                    exe: process.exe.as_deref().map(Into::into),
                },
            );
        }
    }

    /// Takes over what an event says about its process. `exe`: its executable, if known.
    pub(super) fn update(&self, event: &KernelEvent, exe: Option<&Arc<[u8]>>) {
        if let Some(processes) = &mut *self.0.borrow_mut() {
            processes.update(event, exe);
        }
    }

    /// Returns the known ancestors of a process, its parent first; `None` if they are not tracked.
    pub(crate) fn of(&self, process: ProcessKey, ppid: u32) -> Option<Arc<[Ancestor]>> {
        self.0.borrow_mut().as_mut().map(|processes| processes.ancestors(process, ppid))
    }
}

#[derive(Debug)]
struct Processes {
    /// By pid: the process that has it now.
    running: LruCache<u32, Process>,
    /// By pid: the last process that had it.
    ended: LruCache<u32, Process>,
    /// The last answer. It holds until the table changes: many events in a row are often of one process.
    last: Option<(ProcessKey, u32, Arc<[Ancestor]>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    start_ticks: u64,
    ppid: u32,
    uid: u32,
    comm: Comm,
    exe: Option<Arc<[u8]>>,
}

impl Processes {
    fn new() -> Processes {
        let (running, ended) = (LruCache::new(MAX_PROCESSES), LruCache::new(MAX_ENDED));
        Processes { running, ended, last: None }
    }

    fn insert(&mut self, pid: u32, process: Process) {
        self.last = None;
        self.running.insert(pid, process);
    }

    fn update(&mut self, event: &KernelEvent, exe: Option<&Arc<[u8]>>) {
        let pid = event.process.tgid;
        let start_ticks = boot::start_ticks(event.process.start_ns);
        let known = self.running.get(&pid);
        // An event may arrive up to a millisecond late, when its process has ended or its pid is used again.
        if known.is_some_and(|known| known.start_ticks > start_ticks) {
            return;
        }
        let known = known.filter(|known| known.start_ticks == start_ticks);
        let has_ended = self.ended.peek(&pid).is_some_and(|it| it.start_ticks == start_ticks);
        if known.is_none() && has_ended {
            return;
        }
        let exe = exe.cloned().or_else(|| known?.exe.clone());
        let KernelEvent { ppid, uid, comm, .. } = *event;
        let process = Process { start_ticks, ppid, uid, comm, exe };
        let is_new = known != Some(&process);
        if matches!(event.what, KernelWhat::Exit { .. }) {
            self.last = None;
            self.running.remove(&pid);
            self.ended.insert(pid, process);
        } else if is_new {
            self.insert(pid, process);
        }
    }

    fn ancestors(&mut self, process: ProcessKey, ppid: u32) -> Arc<[Ancestor]> {
        if let Some((of, parent, ancestors)) = &self.last
            && (*of, *parent) == (process, ppid)
        {
            return ancestors.clone();
        }
        let mut ancestors = Vec::with_capacity(MAX_ANCESTORS / 4);
        let (mut pid, mut child_ticks) = (ppid, boot::start_ticks(process.start_ns));
        while ancestors.len() < MAX_ANCESTORS
            && let Some(parent) = self.parent(pid, child_ticks)
        {
            let Process { start_ticks, uid, comm, ref exe, .. } = *parent;
            ancestors.push(Ancestor { pid, start_ticks, uid, comm, exe: exe.clone() });
            (pid, child_ticks) = (parent.ppid, start_ticks);
        }
        let ancestors: Arc<[Ancestor]> = ancestors.into();
        self.last = Some((process, ppid, ancestors.clone()));
        ancestors
    }

    /// Returns the process that had this pid when a child started. Also marks it as used, so that it is evicted late.
    fn parent(&mut self, pid: u32, child_ticks: u64) -> Option<&Process> {
        let is_older = |process: &&Process| process.start_ticks <= child_ticks;
        let running = self.running.get(&pid).filter(is_older);
        running.or_else(|| self.ended.get(&pid).filter(is_older))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_event::Arguments;
    use crypto_tracer_system::boot::TICK_NS;

    /// An event of a process that started at this tick.
    fn event(pid: u32, tick: u64, ppid: u32, comm: &str, what: KernelWhat) -> KernelEvent {
        KernelEvent {
            ts_ns: 0,
            process: ProcessKey { tgid: pid, start_ns: tick * TICK_NS + 17 },
            exec_id: 1,
            tid: pid,
            ppid,
            uid: pid * 10,
            comm: Comm::from_name(comm.as_bytes()),
            mount_ns: 0,
            cgroup_id: 0,
            root: (0, 0),
            what,
        }
    }

    fn exit() -> KernelWhat {
        KernelWhat::Exit { wait_status: 0 }
    }

    fn running(pid: u32, tick: u64, ppid: u32, comm: &str) -> RunningProcess {
        RunningProcess {
            pid,
            ppid,
            start_ns: tick * TICK_NS,
            uid: pid * 10,
            comm: comm.into(),
            exe: Some(format!("/bin/{comm}").into()),
        }
    }

    fn tracked(processes: &[RunningProcess]) -> Ancestry {
        let ancestry = Ancestry::default();
        ancestry.begin();
        ancestry.add(processes);
        ancestry
    }

    fn names(ancestry: &Ancestry, (pid, tick): (u32, u64), ppid: u32) -> Vec<String> {
        let key = ProcessKey { tgid: pid, start_ns: tick * TICK_NS };
        let ancestors = ancestry.of(key, ppid).expect("tracked");
        ancestors.iter().map(|it| String::from_utf8_lossy(it.comm.as_bytes()).into()).collect()
    }

    #[test]
    fn nothing_is_kept_unless_it_is_tracked() {
        let ancestry = Ancestry::default();
        ancestry.add(&[running(1, 0, 0, "init")]);
        ancestry.update(&event(7, 5, 1, "sh", KernelWhat::Fork), None);
        assert_eq!(ancestry.of(ProcessKey { tgid: 8, start_ns: TICK_NS }, 1), None);
        ancestry.begin();
        assert_eq!(names(&ancestry, (8, 9), 7), [""; 0]);
        ancestry.update(&event(7, 5, 1, "sh", KernelWhat::Fork), None);
        ancestry.begin();
        assert_eq!(names(&ancestry, (8, 9), 7), ["sh"]);
        let shared = ancestry.clone();
        shared.end();
        assert!(!ancestry.is_tracked());
    }

    #[test]
    fn processes_from_before_and_forks_without_an_exec_are_ancestors() {
        let ancestry = tracked(&[running(1, 0, 0, "init"), running(5, 3, 1, "sshd")]);
        let exe: Arc<[u8]> = (*b"/bin/sshd").into();
        ancestry.update(&event(6, 10, 5, "sshd", KernelWhat::Fork), Some(&exe));
        ancestry.update(&event(7, 11, 6, "sh", KernelWhat::Fork), None);
        let ancestors = ancestry.of(ProcessKey { tgid: 8, start_ns: 12 * TICK_NS }, 7).unwrap();
        let facts: Vec<_> = ancestors
            .iter()
            .map(|it| (it.pid, it.start_ticks, it.uid, it.exe.as_deref()))
            .collect();
        assert_eq!(
            facts,
            [
                (7, 11, 70, None),
                (6, 10, 60, Some(&b"/bin/sshd"[..])),
                (5, 3, 50, Some(b"/bin/sshd")),
                (1, 0, 10, Some(b"/bin/init")),
            ]
        );
    }

    #[test]
    fn an_answer_is_as_of_its_event() {
        let ancestry = tracked(&[running(1, 0, 0, "init")]);
        ancestry.update(&event(7, 5, 1, "sh", KernelWhat::Fork), None);
        let before = ancestry.of(ProcessKey { tgid: 8, start_ns: 9 * TICK_NS }, 7).unwrap();
        let exec = KernelWhat::Exec { exe: Default::default(), arguments: Arguments::default() };
        ancestry.update(&event(7, 5, 1, "python", exec), None);
        assert_eq!(before[0].comm.as_bytes(), b"sh");
        assert_eq!(names(&ancestry, (8, 9), 7), ["python", "init"]);
    }

    #[test]
    fn ancestors_that_have_ended_remain() {
        let ancestry = tracked(&[running(1, 0, 0, "init")]);
        for (pid, name) in [(7, "sh"), (8, "script"), (9, "cat")] {
            ancestry.update(&event(pid, u64::from(pid), pid - 1, name, KernelWhat::Fork), None);
        }
        ancestry.update(&event(7, 7, 6, "sh", exit()), None);
        assert_eq!(names(&ancestry, (9, 9), 8), ["script", "sh"], "the parent of 7 is unknown");
        // The kernel has given the script another parent, which its next event shows.
        ancestry.update(&event(8, 8, 1, "script", KernelWhat::Fork), None);
        assert_eq!(names(&ancestry, (9, 9), 8), ["script", "init"]);
        // A late event of an ended process does not make it run again.
        ancestry.update(&event(7, 7, 6, "late", KernelWhat::Fork), None);
        assert_eq!(names(&ancestry, (8, 8), 7), ["sh"]);
    }

    #[test]
    fn a_pid_that_is_used_again_is_another_process() {
        let ancestry = tracked(&[running(1, 0, 0, "init")]);
        ancestry.update(&event(7, 5, 1, "old", KernelWhat::Fork), None);
        ancestry.update(&event(7, 5, 1, "old", exit()), None);
        ancestry.update(&event(7, 50, 1, "new", KernelWhat::Fork), None);
        assert_eq!(names(&ancestry, (8, 9), 7), ["old", "init"]);
        assert_eq!(names(&ancestry, (9, 60), 7), ["new", "init"]);
        ancestry.update(&event(7, 5, 1, "old", exit()), None);
        assert_eq!(names(&ancestry, (9, 60), 7), ["new", "init"], "a late event");
        // Its exit was lost.
        ancestry.update(&event(7, 70, 1, "newer", KernelWhat::Fork), None);
        assert_eq!(names(&ancestry, (9, 80), 7), ["newer", "init"]);
        assert_eq!(names(&ancestry, (9, 4), 7), [""; 0], "none of them is as old");
    }

    #[test]
    fn the_exact_start_time_of_an_event_and_that_of_proc_are_one_process() {
        let ancestry = tracked(&[running(7, 5, 1, "sh")]);
        ancestry.update(&event(7, 5, 1, "sh", KernelWhat::Fork), None);
        let ancestors = ancestry.of(ProcessKey { tgid: 8, start_ns: 9 * TICK_NS }, 7).unwrap();
        assert_eq!(ancestors[0].exe.as_deref(), Some(&b"/bin/sh"[..]));
    }

    #[test]
    fn levels_are_bounded_and_circles_end() {
        let ancestry = tracked(&[]);
        for pid in 1..=2 * MAX_ANCESTORS as u32 {
            ancestry.update(&event(pid, 1, pid - 1, "deep", KernelWhat::Fork), None);
        }
        let pid = 2 * MAX_ANCESTORS as u32;
        assert_eq!(names(&ancestry, (1000, 1), pid).len(), MAX_ANCESTORS);
        assert_eq!(names(&ancestry, (1000, 1), 3).len(), 3);
        ancestry.update(&event(1, 1, 2, "circle", KernelWhat::Fork), None);
        assert_eq!(names(&ancestry, (1000, 1), 2).len(), MAX_ANCESTORS);
    }

    /// Each process forks the next one and ends.
    #[test]
    fn a_fork_bomb_evicts_no_ancestor_that_is_in_use() {
        let ancestry = tracked(&[running(1, 0, 0, "init"), running(2, 0, 1, "sshd")]);
        let many = 2 * (MAX_PROCESSES + MAX_ENDED) as u32;
        for pid in 100..100 + many {
            ancestry.update(&event(pid, 5, pid - 1, "bomb", KernelWhat::Fork), None);
            ancestry.update(&event(pid - 1, 5, pid - 2, "bomb", exit()), None);
            if pid % 1000 == 0 {
                assert_eq!(names(&ancestry, (50, 9), 2), ["sshd", "init"]);
            }
        }
        let processes = ancestry.0.borrow();
        let processes = processes.as_ref().unwrap();
        assert_eq!((processes.running.len(), processes.ended.len()), (3, MAX_ENDED));
    }

    #[test]
    fn the_number_of_processes_is_bounded() {
        let ancestry = tracked(&[]);
        for pid in 1..=MAX_PROCESSES as u32 + 10 {
            ancestry.update(&event(pid, 5, 1, "many", KernelWhat::Fork), None);
        }
        assert_eq!(ancestry.0.borrow().as_ref().unwrap().running.len(), MAX_PROCESSES);
    }
}
