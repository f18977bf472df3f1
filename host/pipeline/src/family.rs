//! `--follow-children` for a recording. In a live run the kernel side knows the family.

use std::collections::HashSet;

/// Pids of a family at most: the kernel has no more.
const MOST: usize = 1 << 22;

/// Which processes belong to it; by default, all.
#[derive(Clone, Debug, Default)]
pub struct Family(Option<HashSet<u32>>);

impl Family {
    /// These processes, if it is one, and those that descend from it already. `children`: pairs of parent and child.
    pub fn of(pids: &[u32], children: Vec<(u32, u32)>) -> Family {
        let mut members: HashSet<u32> = pids.iter().copied().collect();
        // Two different pids have no event in common.
        if members.len() > 1 {
            members.clear();
        }
        loop {
            let before = members.len();
            for &(parent, child) in &children {
                if members.contains(&parent) {
                    members.insert(child);
                }
            }
            if members.len() == before {
                return Family(Some(members));
            }
        }
    }

    /// A process was made.
    pub(super) fn fork(&mut self, parent: u32, child: u32) {
        if let Some(members) = &mut self.0 {
            if members.contains(&parent) && members.len() < MOST {
                members.insert(child);
            } else {
                // The pid may have been a member's before.
                members.remove(&child);
            }
        }
    }

    /// Whether the process belongs to it.
    pub fn has(&self, pid: u32) -> bool {
        self.0.as_ref().is_none_or(|members| members.contains(&pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_of_all_generations() {
        let mut family = Family::of(&[10], vec![(12, 13), (10, 11), (11, 12), (1, 20)]);
        for (pid, member) in
            [(10, true), (11, true), (12, true), (13, true), (20, false), (1, false)]
        {
            assert_eq!(family.has(pid), member, "{pid}");
        }
        family.fork(13, 30);
        family.fork(20, 31);
        assert!(family.has(30) && !family.has(31));
        family.fork(20, 30);
        assert!(!family.has(30), "the pid is used again");
        assert!(Family::default().has(99));
        assert!(!Family::of(&[1, 2], vec![]).has(1), "no process has two pids");
    }
}
