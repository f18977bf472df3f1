//! Who descends from whom: a look at `/proc` that is quick, because those that are looked for go on forking meanwhile.

use std::fs;

use super::protocol::Kin;
use super::scan;

/// All processes that can be seen. One that ends meanwhile is left out.
pub(super) fn all() -> Vec<Kin> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let kin = |pid: u32| {
        let (ppid, start_ns) = scan::stat(&scan::text(pid, "stat")?)?;
        Some(Kin { pid, ppid, start_ns })
    };
    pids.filter_map(kin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_with_its_parent() {
        let own = all().into_iter().find(|kin| kin.pid == std::process::id()).unwrap();
        assert_eq!(own.ppid, std::os::unix::process::parent_id());
        assert!(own.start_ns > 0);
    }
}
