//! Resolves cgroup IDs to paths.
//!
//! An ID is a file handle of the cgroup file system, so the kernel finds the directory without a search. Where it refuses
//! handles, the path comes from the `/proc/PID/cgroup` of a process, or from one search of the hierarchy for all IDs.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::protocol::WantedCgroup;
use super::{cost, procfs};
use crypto_tracer_system::cgroup::Hierarchy;

/// Maximum number of directories in one search.
const MAX_DIRECTORIES: usize = 20_000;

/// A path for each ID for which the time sufficed; `None` if the cgroup does not exist any more.
type Paths = Vec<(u64, Option<String>)>;

/// Resolves IDs in this time. Also returns how long each took.
pub(super) fn paths(wanted: &[WantedCgroup], time: Duration) -> (Paths, Duration) {
    let (paths, took) = cost::of(|| paths_until(wanted, Instant::now() + time));
    let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX).max(1);
    (paths, took / count)
}

fn paths_until(wanted: &[WantedCgroup], until: Instant) -> Paths {
    let hierarchy = Hierarchy::of_this_system();
    let mount = hierarchy.mount();
    let mut paths = Paths::new();
    let mut unknown = Vec::new();
    let handles = mount.as_deref().and_then(Handles::of);
    for wanted in wanted.iter().take_while(|_| Instant::now() < until) {
        match handles.as_ref().and_then(|handles| handles.path(wanted.id)) {
            Some(path) => paths.push((wanted.id, path)),
            None => match path_of_process(wanted, hierarchy, mount.as_deref()) {
                Some(path) => paths.push((wanted.id, Some(path))),
                None => unknown.push(wanted.id),
            },
        }
    }
    match mount.filter(|_| !unknown.is_empty()) {
        Some(mount) => paths.extend(search(&mount, &unknown, MAX_DIRECTORIES, until)),
        None => paths.extend(unknown.into_iter().map(|id| (id, None))),
    }
    paths
}

fn path_of_process(
    wanted: &WantedCgroup,
    hierarchy: Hierarchy,
    mount: Option<&Path>,
) -> Option<String> {
    let inode = |path: &str| {
        let relative = path.trim_start_matches('/');
        Some(fs::metadata(mount?.join(relative)).ok()?.ino())
    };
    // The PID may have been reused, so the inode number is checked if the hierarchy is accessible.
    procfs::cgroup_of(wanted.pid, hierarchy)
        .filter(|path| inode(path).is_none_or(|inode| inode == wanted.id))
}

/// Opens cgroups by their IDs.
struct Handles<'a> {
    mount: &'a Path,
    directory: fs::File,
}

impl<'a> Handles<'a> {
    fn of(mount: &'a Path) -> Option<Handles<'a>> {
        Some(Handles { mount, directory: fs::File::open(mount).ok()? })
    }

    /// Returns the path of a cgroup, `Some(None)` if there is none with this ID. `None`: the kernel refuses handles, or
    /// the mount does not show the cgroup.
    fn path(&self, id: u64) -> Option<Option<String>> {
        let fd = match self.open(id) {
            Ok(fd) => fd,
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => return Some(None),
            Err(_) => return None,
        };
        let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        let below = path.strip_prefix(self.mount).ok()?;
        Some(Some(format!("/{}", below.to_string_lossy())))
    }

    fn open(&self, id: u64) -> io::Result<OwnedFd> {
        /// `FILEID_KERNFS` in `linux/exportfs.h`.
        const FILEID_KERNFS: i32 = 0xfe;
        /// `struct file_handle` with a handle of eight bytes.
        #[repr(C)]
        struct FileHandle {
            bytes: u32,
            kind: i32,
            id: u64,
        }
        let mut handle = FileHandle { bytes: 8, kind: FILEID_KERNFS, id };
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the kernel reads `bytes` bytes after the two words, which are those of `id`.
        let fd = unsafe {
            libc::open_by_handle_at(
                self.directory.as_raw_fd(),
                (&raw mut handle).cast::<libc::file_handle>(),
                flags,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, so no other value owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Searches breadth first, because containers are near the root. If the time does not suffice, the cgroups that were not
/// found are omitted.
fn search(mount: &Path, ids: &[u64], max_directories: usize, until: Instant) -> Paths {
    let mut missing: HashSet<u64> = ids.iter().copied().collect();
    let mut paths = Paths::new();
    let mut queue = VecDeque::from([PathBuf::new()]);
    let mut directories = 0;
    while let Some(parent) = queue.pop_front() {
        if missing.is_empty() || Instant::now() >= until {
            break;
        }
        let Ok(entries) = fs::read_dir(mount.join(&parent)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            // Each directory has dozens of files, which are skipped.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            directories += 1;
            if directories > max_directories {
                queue.clear();
                break;
            }
            let path = parent.join(entry.file_name());
            if missing.remove(&entry.ino()) {
                paths.push((entry.ino(), Some(format!("/{}", path.to_string_lossy()))));
            }
            queue.push_back(path);
        }
    }
    if Instant::now() < until {
        paths.extend(missing.into_iter().map(|id| (id, None)));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn finds_directories_by_their_inode_numbers() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::create_dir_all(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/file"), "").unwrap();
        for file in 0..20 {
            fs::write(dir.path().join(format!("a/{file}")), "").unwrap();
        }
        let inode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().ino();
        let find = |path: &str, max| search(dir.path(), &[inode(path)], max, later()).remove(0).1;
        assert_eq!(find("a/b/c", 4).as_deref(), Some("/a/b/c"));
        assert_eq!(find("d", 4).as_deref(), Some("/d"));
        assert_eq!(find("d/file", 4), None);
        assert_eq!(find("a/b/c", 3), None, "the limit counts directories, not files");
        let both = [inode("d"), inode("a/b")];
        let mut found = search(dir.path(), &both, 4, later());
        found.sort();
        let mut expected =
            vec![(both[0], Some("/d".to_owned())), (both[1], Some("/a/b".to_owned()))];
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(search(dir.path(), &both, 4, Instant::now()), [], "without time no answer");
    }

    #[test]
    fn the_cgroup_of_this_process_is_found_by_its_id() {
        let hierarchy = Hierarchy::of_this_system();
        let own = procfs::cgroup_of(std::process::id(), hierarchy);
        let id = hierarchy.mount().zip(own.clone()).and_then(|(mount, path)| {
            fs::metadata(mount.join(path.trim_start_matches('/'))).ok().map(|found| found.ino())
        });
        let Some(id) = id else { return };
        let wanted = |id| WantedCgroup { id, pid: u32::MAX, uid: 0 };
        let minute = Duration::from_secs(60);
        let (paths, _) = paths(&[wanted(id), wanted(u64::MAX)], minute);
        assert_eq!(paths, [(id, own), (u64::MAX, None)]);
    }
}
