//! Which cgroup has this id: by a process that is in it, else by looking for it below the mounted hierarchy.

use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::scan;

/// Where hierarchies are mounted.
const MOUNTS: [&str; 3] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"];
/// Directories that are looked at in one search.
const MOST: usize = 20_000;

/// The path of the cgroup `id`, as /proc shows it. `pid`: a process that was in it.
pub(super) fn path(id: u64, pid: u32) -> Option<String> {
    let of_process = scan::cgroup_of(pid);
    match of_process {
        // The pid may be used again, so the hierarchy has the last word where it can be seen.
        Some(path) if inode(&path).is_none_or(|inode| inode == id) => Some(path),
        _ => search(id),
    }
}

fn inode(path: &str) -> Option<u64> {
    let below = path.trim_start_matches('/');
    MOUNTS.iter().find_map(|mount| fs::metadata(Path::new(mount).join(below)).ok()).map(|m| m.ino())
}

/// Breadth first: containers are near the root.
fn search(id: u64) -> Option<String> {
    let mount = Path::new("/sys/fs/cgroup");
    let mut waiting = std::collections::VecDeque::from([PathBuf::new()]);
    let mut looked_at = 0;
    while let Some(below) = waiting.pop_front() {
        let Ok(entries) = fs::read_dir(mount.join(&below)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            looked_at += 1;
            if looked_at > MOST {
                return None;
            }
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = below.join(entry.file_name());
            if entry.ino() == id {
                return Some(format!("/{}", path.to_string_lossy()));
            }
            waiting.push_back(path);
        }
    }
    None
}
