//! Other spellings of home directories: what the symbolic links on the way to them lead to.
//!
//! The kernel reports files without links, so a home behind a link has another path there than in passwd. No file
//! system is asked that may never answer, and nothing is mounted by the look: where a remote file system or an automount
//! begins, the rest of a path is taken as it is spelled.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crypto_tracer_system::confine::{self, RetainedPrivileges};

/// File systems that are known to answer by themselves. Any other one is not asked.
const LOCAL: &[&str] = &[
    "bcachefs", "btrfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs",
    "msdos", "nilfs2", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "ubifs",
    "vfat", "xfs", "zfs",
];
/// Symbolic links on the way to one home.
const MOST_LINKS: usize = 40;
/// All homes together: a busy disk must not hold up the start.
const MOST_TIME: Duration = Duration::from_millis(500);

/// Other spellings of each path of `lists`, in the same order. Where links cannot be followed, or not in time, there are
/// fewer.
pub(super) fn other_spellings<const N: usize>(lists: [Vec<String>; N]) -> [Vec<String>; N] {
    let (tell, told) = mpsc::channel();
    let look = move || {
        let _ = confine::thread(&RetainedPrivileges::NOTHING);
        let mut links = Links::of_this_machine();
        for (list, paths) in lists.into_iter().enumerate() {
            for path in paths {
                for spelling in links.spellings(Path::new(&path)) {
                    if tell.send((list, spelling)).is_err() {
                        return;
                    }
                }
            }
        }
    };
    let mut found = std::array::from_fn(|_| Vec::new());
    // The thread ends with its work, or with the program: what has no answer by then is not waited for.
    if thread::Builder::new().name("homes".to_owned()).spawn(look).is_err() {
        return found;
    }
    let until = Instant::now() + MOST_TIME;
    while let Ok((list, path)) = told.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        let list: Option<&mut Vec<String>> = found.get_mut::<usize>(list);
        // A name that is not UTF-8 is compared as it is shown to a redactor.
        list.into_iter().for_each(|list| list.push(path.to_string_lossy().into_owned()));
    }
    found
}

/// Follows links, and asks about each place once.
struct Links {
    /// Where a file system begins that is not asked.
    remote: HashSet<PathBuf>,
    /// Where each place leads to; None: it is no link.
    known: HashMap<PathBuf, Option<PathBuf>>,
}

impl Links {
    fn of_this_machine() -> Links {
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        Links { remote: remote_mounts(&mounts), known: HashMap::new() }
    }

    /// The spellings that a path gets as its links are followed one by one, without the path itself.
    fn spellings(&mut self, path: &Path) -> Vec<PathBuf> {
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
            if self.remote.contains(&here) {
                break;
            }
            let Some(target) = self.target(&here) else { continue };
            links += 1;
            if links > MOST_LINKS {
                return found;
            }
            here.pop();
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
            found.push(whole(&here, &rest));
        }
        found.push(whole(&here, &rest));
        found.sort_unstable();
        found.dedup();
        found.retain(|spelling| spelling != path);
        found
    }

    fn target(&mut self, place: &Path) -> Option<PathBuf> {
        if let Some(known) = self.known.get(place) {
            return known.clone();
        }
        let target = std::fs::read_link(place).ok();
        self.known.insert(place.to_owned(), target.clone());
        target
    }
}

/// A place, and what follows it, with `..` resolved as far as it is spelled.
fn whole(here: &Path, rest: &VecDeque<OsString>) -> PathBuf {
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

/// Where file systems are mounted that are not known to be local.
fn remote_mounts(mountinfo: &[u8]) -> HashSet<PathBuf> {
    let point = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let kind = text.split_once(" - ")?.1.split(' ').next()?.to_owned();
        let point = line.split(|&byte| byte == b' ').nth(4)?;
        (!LOCAL.contains(&kind.as_str()) && point != b"/")
            .then(|| PathBuf::from(OsString::from_vec(unescaped(point))))
    };
    mountinfo.split(|&byte| byte == b'\n').filter_map(point).collect()
}

/// Space, tab, line end and backslash stand as `\040` and the like.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn spelled(root: &Path, remote: &[&str], path: &str) -> Vec<String> {
        let remote = remote.iter().map(|path| root.join(path)).collect();
        let mut links = Links { remote, known: HashMap::new() };
        let found = links.spellings(&root.join(path));
        let inside = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        found.iter().map(inside).collect()
    }

    #[test]
    fn every_spelling_on_the_way_is_found() {
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
            assert_eq!(spelled(&root, &[], path), found, "{path}");
        }
        assert!(spelled(&root, &[], "loop/x").len() <= MOST_LINKS);
    }

    #[test]
    fn a_remote_file_system_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("net/real")).unwrap();
        symlink("real", root.join("net/link")).unwrap();
        symlink("net", root.join("home")).unwrap();
        assert_eq!(spelled(&root, &["net"], "home/link/a"), ["net/link/a"]);
        assert_eq!(spelled(&root, &["net/link"], "home/link/a"), ["net/link/a"]);
        assert_eq!(spelled(&root, &[], "home/link/a"), ["net/link/a", "net/real/a"]);
    }

    #[test]
    fn mounts_that_may_not_answer() {
        let mountinfo = b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            22 21 0:5 / /home rw shared:1 - autofs systemd-1 rw\n\
            23 21 0:6 / /nas\\040one rw - nfs4 srv:/x rw\n\
            24 21 0:7 / /local rw - xfs /dev/sdb rw\n\
            25 21 0:8 / /odd rw - something x rw\nshort\n";
        let mut found: Vec<PathBuf> = remote_mounts(mountinfo).into_iter().collect();
        found.sort();
        assert_eq!(found, ["/home", "/nas one", "/odd"].map(PathBuf::from));
    }
}
