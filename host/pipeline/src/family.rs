//! The processes of `--follow-children` in a replay. In a live run the kernel side knows them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use super::Observer;
use crypto_tracer_event::{KernelEvent, KernelWhat};

/// Maximum number of members: the kernel's limit for pids.
const MAX_MEMBERS: usize = 1 << 22;

/// The process of `--follow-children` and its descendants; by default, every process. Copies share their members: one
/// observes the run, the other selects.
#[derive(Clone, Debug, Default)]
pub struct Family(Option<Rc<RefCell<HashSet<u32>>>>);

impl Family {
    /// The process that all `pids` name, and its descendants so far; empty if they name different ones. `children`: pairs
    /// of parent and child.
    pub fn of(pids: &[u32], children: &[(u32, u32)]) -> Family {
        let mut members: HashSet<u32> = pids.iter().copied().collect();
        // No event belongs to two processes.
        if members.len() > 1 {
            members.clear();
        }
        loop {
            let before = members.len();
            for &(parent, child) in children {
                if members.contains(&parent) {
                    members.insert(child);
                }
            }
            if members.len() == before {
                return Family(Some(Rc::new(RefCell::new(members))));
            }
        }
    }

    fn fork(&self, parent: u32, child: u32) {
        if let Some(members) = &self.0 {
            let mut members = members.borrow_mut();
            if members.contains(&parent) && members.len() < MAX_MEMBERS {
                members.insert(child);
            } else {
                // The kernel may have reused the pid of a member.
                members.remove(&child);
            }
        }
    }

    /// Returns whether the process is a member.
    pub fn has(&self, pid: u32) -> bool {
        self.0.as_ref().is_none_or(|members| members.borrow().contains(&pid))
    }
}

impl Observer for Family {
    fn on_kernel_event(&mut self, event: &KernelEvent) {
        if matches!(event.what, KernelWhat::Fork) {
            self.fork(event.ppid, event.process.tgid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_of_all_generations() {
        let family = Family::of(&[10], &[(12, 13), (10, 11), (11, 12), (1, 20)]);
        for (pid, member) in
            [(10, true), (11, true), (12, true), (13, true), (20, false), (1, false)]
        {
            assert_eq!(family.has(pid), member, "{pid}");
        }
        family.fork(13, 30);
        family.fork(20, 31);
        assert!(family.has(30) && !family.has(31));
        family.fork(20, 30);
        assert!(!family.has(30), "the pid is reused");
        assert!(Family::default().has(99));
        assert!(!Family::of(&[1, 2], &[]).has(1), "no process has two pids");
    }
}
