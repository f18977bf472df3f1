//! Resolves the symbolic links in the paths of home directories.
//!
//! The kernel reports resolved paths, so a home below a symbolic link has another path in events than in passwd. Links are
//! not followed on file systems that may block, and nothing is automounted: below the mount point of a remote file system
//! or an automount, a path is used unresolved.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crypto_tracer_system::confine::{self, RetainedPrivileges};
use crypto_tracer_system::mountinfo::{self, MountInfo};

/// Local file systems. Links on any other file system are not followed, except the root: nothing works without it.
const LOCAL: &[&str] = &[
    "bcachefs", "btrfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs",
    "msdos", "nilfs2", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "ubifs",
    "vfat", "xfs", "zfs",
];
/// Maximum number of symbolic links in one path.
const MAX_LINKS: usize = 40;
/// Time limit for all homes: a busy disk must not delay the start.
const MAX_TIME: Duration = Duration::from_millis(500);

/// The resolved paths, and the partly resolved ones, of each list of `lists`, in the same order. Paths whose links cannot be
/// followed within [`MAX_TIME`] are missing.
pub(super) fn resolved<const N: usize>(lists: [Vec<String>; N]) -> [Vec<String>; N] {
    let (sender, receiver) = mpsc::channel();
    let resolve = move || {
        let _ = confine::confine_thread(&RetainedPrivileges::NONE);
        let mut links = Links::of_this_machine();
        for (list, paths) in lists.into_iter().enumerate() {
            for path in paths {
                for resolved in links.resolved(Path::new(&path)) {
                    if sender.send((list, resolved)).is_err() {
                        return;
                    }
                }
            }
        }
    };
    let mut found = std::array::from_fn(|_| Vec::new());
    // The thread may outlive this call: it ends when its work is done, or with the process.
    if thread::Builder::new().name("homes".to_owned()).spawn(resolve).is_err() {
        return found;
    }
    let until = Instant::now() + MAX_TIME;
    while let Ok((list, path)) =
        receiver.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        let list: Option<&mut Vec<String>> = found.get_mut::<usize>(list);
        // Redactors get texts with invalid UTF-8 replaced in the same way, so the paths match.
        list.into_iter().for_each(|list| list.push(path.to_string_lossy().into_owned()));
    }
    found
}

/// Follows symbolic links and caches their targets.
struct Links {
    /// Mount points below which links are not followed.
    unfollowed: HashSet<PathBuf>,
    /// Target of each path; None: it is not a link.
    targets: HashMap<PathBuf, Option<PathBuf>>,
}

impl Links {
    fn of_this_machine() -> Links {
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        Links { unfollowed: unfollowed_mounts(&mounts), targets: HashMap::new() }
    }

    /// The paths that result as the links of `path` are followed one by one, without `path` itself.
    fn resolved(&mut self, path: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        let mut rest = parts(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                here.pop();
                continue;
            }
            here.push(&part);
            if self.unfollowed.contains(&here) {
                break;
            }
            let Some(target) = self.target(&here) else { continue };
            links += 1;
            if links > MAX_LINKS {
                return found;
            }
            here.pop();
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
            found.push(joined(&here, &rest));
        }
        found.push(joined(&here, &rest));
        found.sort_unstable();
        found.dedup();
        found.retain(|resolved| resolved != path);
        found
    }

    fn target(&mut self, path: &Path) -> Option<PathBuf> {
        if let Some(known) = self.targets.get(path) {
            return known.clone();
        }
        let target = std::fs::read_link(path).ok();
        self.targets.insert(path.to_owned(), target.clone());
        target
    }
}

/// `here` joined with `rest`. A `..` removes the component before it.
fn joined(here: &Path, rest: &VecDeque<OsString>) -> PathBuf {
    let mut path = here.to_owned();
    for part in rest {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

/// Mount points of file systems that are not in [`LOCAL`], except the root: nothing works without it.
fn unfollowed_mounts(mountinfo: &[u8]) -> HashSet<PathBuf> {
    let is_unfollowed =
        |mount: &MountInfo| !LOCAL.contains(&mount.kind.as_str()) && mount.point != b"/";
    let unfollowed = mountinfo::parse(mountinfo).filter(is_unfollowed);
    unfollowed.map(|mount| PathBuf::from(OsString::from_vec(mount.point))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn resolved_in(root: &Path, unfollowed: &[&str], path: &str) -> Vec<String> {
        let unfollowed = unfollowed.iter().map(|path| root.join(path)).collect();
        let mut links = Links { unfollowed, targets: HashMap::new() };
        let found = links.resolved(&root.join(path));
        let inside = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        found.iter().map(inside).collect()
    }

    #[test]
    fn every_resolved_path_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["data/users/alice", "nas/u/bob", "nas/Jane Doe", "var/roothome", "net"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (target, link) in [
            ("data/users", "home"),
            ("var/roothome/", "root"),
            ("nas/./u//", "one"),
            ("../one", "data/two"),
            ("data/two", "three"),
            ("loop", "loop"),
            ("nowhere", "broken"),
            ("../nas/Jane Doe", "data/jane"),
            ("data/../nas", "up"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(root.join("nas/u"), root.join("absolute")).unwrap();
        for (path, found) in [
            ("home", &["data/users"][..]),
            ("home/", &["data/users"]),
            ("home/alice", &["data/users/alice"]),
            ("home/not-there-yet", &["data/users/not-there-yet"]),
            ("root", &["var/roothome"]),
            ("absolute/bob", &["nas/u/bob"]),
            ("three/bob", &["data/two/bob", "nas/u/bob", "one/bob"]),
            ("data/jane", &["nas/Jane Doe"]),
            ("data/../home/alice", &["data/users/alice"]),
            ("up/u", &["nas/u"]),
            ("broken/x", &["nowhere/x"]),
            ("data/users", &[]),
            ("not/there", &[]),
        ] {
            assert_eq!(resolved_in(&root, &[], path), found, "{path}");
        }
        assert!(resolved_in(&root, &[], "loop/x").len() <= MAX_LINKS);
    }

    #[test]
    fn links_on_a_remote_file_system_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("net/real")).unwrap();
        symlink("real", root.join("net/link")).unwrap();
        symlink("net", root.join("home")).unwrap();
        assert_eq!(resolved_in(&root, &["net"], "home/link/a"), ["net/link/a"]);
        assert_eq!(resolved_in(&root, &["net/link"], "home/link/a"), ["net/link/a"]);
        assert_eq!(resolved_in(&root, &[], "home/link/a"), ["net/link/a", "net/real/a"]);
    }

    #[test]
    fn unfollowed_mounts_are_recognised() {
        let mountinfo = b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            22 21 0:5 / /home rw shared:1 - autofs systemd-1 rw\n\
            23 21 0:6 / /nas\\040one rw - nfs4 srv:/x rw\n\
            24 21 0:7 / /local rw - xfs /dev/sdb rw\n\
            25 21 0:8 / /odd rw - something x rw\nshort\n";
        let mut found: Vec<PathBuf> = unfollowed_mounts(mountinfo).into_iter().collect();
        found.sort();
        assert_eq!(found, ["/home", "/nas one", "/odd"].map(PathBuf::from));
    }
}
