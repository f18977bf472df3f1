//! Which cgroup has this id: by a process that is in it, else by looking for it below the mounted hierarchy.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::procfs;
use crypto_tracer_system::cgroup::Hierarchy;

/// Directories that are looked at in one search.
const MOST: usize = 20_000;

/// The path of the cgroup `id`, as /proc shows it. `pid`: a process that was in it.
pub(super) fn path(id: u64, pid: u32) -> Option<String> {
    let hierarchy = Hierarchy::of_this_system();
    let mount = hierarchy.mount();
    let inode = |path: &str| {
        let below = path.trim_start_matches('/');
        Some(fs::metadata(mount.as_deref()?.join(below)).ok()?.ino())
    };
    match procfs::cgroup_of(pid, hierarchy) {
        // The pid may be used again, so the hierarchy has the last word where it can be seen.
        Some(path) if inode(&path).is_none_or(|inode| inode == id) => Some(path),
        _ => search(mount.as_deref()?, id, MOST),
    }
}

/// Breadth first: containers are near the root.
fn search(mount: &Path, id: u64, most: usize) -> Option<String> {
    let mut waiting = VecDeque::from([PathBuf::new()]);
    let mut details_of = 0;
    while let Some(below) = waiting.pop_front() {
        let Ok(entries) = fs::read_dir(mount.join(&below)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            // Each directory has dozens of files.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            details_of += 1;
            if details_of > most {
                return None;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::create_dir_all(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/file"), "").unwrap();
        for file in 0..20 {
            fs::write(dir.path().join(format!("a/{file}")), "").unwrap();
        }
        let inode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().ino();
        let found = |path: &str, most| search(dir.path(), inode(path), most);
        assert_eq!(found("a/b/c", 4).as_deref(), Some("/a/b/c"));
        assert_eq!(found("d", 4).as_deref(), Some("/d"));
        assert_eq!(found("d/file", 4), None);
        assert_eq!(found("a/b/c", 3), None, "directories have an end, files do not count");
    }
}
