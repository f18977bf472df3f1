//! Resolves cgroup IDs to paths: from the `/proc/PID/cgroup` of a process, or by a search of the mounted hierarchy.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::procfs;
use crypto_tracer_system::cgroup::Hierarchy;

/// Maximum number of directories in one search.
const MAX_DIRECTORIES: usize = 20_000;

/// Returns the path of the cgroup `id`, as `/proc` shows it. `pid` is a process that was in the cgroup.
pub(super) fn path(id: u64, pid: u32) -> Option<String> {
    let hierarchy = Hierarchy::of_this_system();
    let mount = hierarchy.mount();
    let inode = |path: &str| {
        let relative = path.trim_start_matches('/');
        Some(fs::metadata(mount.as_deref()?.join(relative)).ok()?.ino())
    };
    match procfs::cgroup_of(pid, hierarchy) {
        // The PID may have been reused, so the inode number is checked if the hierarchy is accessible.
        Some(path) if inode(&path).is_none_or(|inode| inode == id) => Some(path),
        _ => search(mount.as_deref()?, id, MAX_DIRECTORIES),
    }
}

/// Searches breadth first, because containers are near the root.
fn search(mount: &Path, id: u64, max_directories: usize) -> Option<String> {
    let mut queue = VecDeque::from([PathBuf::new()]);
    let mut directories = 0;
    while let Some(parent) = queue.pop_front() {
        let Ok(entries) = fs::read_dir(mount.join(&parent)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            // Each directory has dozens of files, which are skipped.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            directories += 1;
            if directories > max_directories {
                return None;
            }
            let path = parent.join(entry.file_name());
            if entry.ino() == id {
                return Some(format!("/{}", path.to_string_lossy()));
            }
            queue.push_back(path);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_directory_by_its_inode_number() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::create_dir_all(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/file"), "").unwrap();
        for file in 0..20 {
            fs::write(dir.path().join(format!("a/{file}")), "").unwrap();
        }
        let inode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().ino();
        let find = |path: &str, max| search(dir.path(), inode(path), max);
        assert_eq!(find("a/b/c", 4).as_deref(), Some("/a/b/c"));
        assert_eq!(find("d", 4).as_deref(), Some("/d"));
        assert_eq!(find("d/file", 4), None);
        assert_eq!(find("a/b/c", 3), None, "the limit counts directories, not files");
    }
}
