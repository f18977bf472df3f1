//! The processes of `--pid` in a live run, to report that the last one has ended.

use std::collections::HashSet;

use super::Observer;
use crypto_tracer_event::{KernelEvent, KernelWhat};
use crypto_tracer_system::console::Console;

/// Maximum number of processes: the kernel's limit for pids.
const MAX_PROCESSES: usize = 1 << 22;

/// Counts the running processes that the kernel side traces, by their events.
#[derive(Debug)]
pub struct TargetWatch {
    running: HashSet<u32>,
    console: Console,
    is_reported: bool,
}

impl TargetWatch {
    /// `pids`: the traced processes that run.
    pub fn new(pids: Vec<u32>, console: Console) -> TargetWatch {
        TargetWatch { running: pids.into_iter().collect(), console, is_reported: false }
    }

    /// Returns whether this is the first event after which no traced process runs.
    fn ends(&mut self, event: &KernelEvent) -> bool {
        let pid = event.process.tgid;
        match event.what {
            KernelWhat::Exit { .. } => _ = self.running.remove(&pid),
            // Also a process whose fork was lost.
            _ if self.running.len() < MAX_PROCESSES => _ = self.running.insert(pid),
            _ => {}
        }
        self.running.is_empty() && !std::mem::replace(&mut self.is_reported, true)
    }
}

impl Observer for TargetWatch {
    fn on_kernel_event(&mut self, event: &KernelEvent) {
        if self.ends(event) {
            self.console.info("the last traced process has ended: no more events will follow");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_event::{Comm, ProcessKey};
    use crypto_tracer_system::console::Verbosity;

    fn event(tgid: u32, what: KernelWhat) -> KernelEvent {
        KernelEvent {
            ts_ns: 0,
            process: ProcessKey { tgid, start_ns: 1 },
            exec_id: 0,
            tid: tgid,
            ppid: 1,
            uid: 0,
            comm: Comm::default(),
            mount_ns: 0,
            cgroup_id: 0,
            root: (0, 0),
            what,
        }
    }

    #[test]
    fn the_end_of_the_last_process_is_reported_once() {
        let exit = || KernelWhat::Exit { wait_status: 0 };
        let mut watch = TargetWatch::new(vec![7], Console(Verbosity::Quiet));
        assert!(!watch.ends(&event(8, KernelWhat::Fork)));
        assert!(!watch.ends(&event(7, exit())), "its child runs");
        assert!(watch.ends(&event(8, exit())));
        assert!(!watch.ends(&event(8, exit())));
    }
}
