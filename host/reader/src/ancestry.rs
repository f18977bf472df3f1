//! Who descends from whom: a look at `/proc` that is quick, because those that are looked for go on forking meanwhile.

use std::collections::HashSet;

use super::proc_probe::{ProbePool, Timeouts};
use super::procfs;
use super::protocol::Ancestry;

/// All processes that can be seen, and whether there was time for all. One that ends meanwhile is left out.
pub(super) fn all(aside: &ProbePool) -> (Vec<Ancestry>, bool) {
    let pids = procfs::pids();
    let kin = |pid: u32| {
        let (ppid, start_ns) = procfs::stat(&procfs::text(pid, "stat")?)?;
        Some(Ancestry { pid, ppid, start_ns: Some(start_ns) })
    };
    let (found, whole) =
        aside.each(pids.iter().copied(), Timeouts::FOR_AN_ANSWER, move |pid| (pid, kin(pid)));
    let looked: HashSet<u32> = found.iter().map(|(pid, _)| *pid).collect();
    // Those that make wait have children, too.
    let others = pids.into_iter().filter(|pid| whole && !looked.contains(pid));
    let others = others.filter_map(|pid| {
        let ppid = procfs::value(&procfs::text(pid, "status")?, "PPid:")?;
        Some(Ancestry { pid, ppid, start_ns: None })
    });
    let others: Vec<Ancestry> = others.collect();
    (found.into_iter().filter_map(|(_, kin)| kin).chain(others).collect(), whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_with_its_parent() {
        let own = all(&ProbePool::default())
            .0
            .into_iter()
            .find(|kin| kin.pid == std::process::id())
            .unwrap();
        assert_eq!(own.ppid, std::os::unix::process::parent_id());
        assert!(own.start_ns > Some(0));
    }
}
