//! A look into running processes: who they are, which libraries they have mapped and which files they hold open.
//!
//! Nothing here waits for a file system: names come from `/proc`, and a file is only looked at where its mount says
//! that it is a local one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use hashlink::LinkedHashSet;
use rustix::fs::{FileType, Mode, OFlags, fstat, fstatfs, open, openat};

use super::head::kernel_dev;
use super::protocol::{Descriptor, LookedAt, MappedFile};
use super::scan;
use crate::interest::Interest;

/// Descriptors of one process that are looked at: it may have a million.
const MOST_DESCRIPTORS: usize = 65_536;
/// Bytes of paths, of one process or of a page, after which there is no more: a message has an end, and who fills one
/// process with long paths shall not hide the others. A page and one more process stay below the longest message.
const ENOUGH_BYTES: usize = 16 << 20;
/// What a file adds to its path.
const ENTRY_BYTES: usize = 96;
/// How long a page may take; with one more process that stays below the asker's patience.
const ENOUGH_TIME: Duration = Duration::from_secs(1);
/// Bytes of a command line.
const MOST_CMDLINE: usize = 4096;
/// In `/proc/PID/stat`: a kernel thread.
const PF_KTHREAD: u64 = 0x0020_0000;
/// File systems that are never touched, by the names that mountinfo has.
const REMOTE: [&str; 18] = [
    "9p",
    "afs",
    "autofs",
    "ceph",
    "cifs",
    "coda",
    "fuse",
    "fuseblk",
    "fusectl",
    "gfs2",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "smbfs",
];

/// Processes whose ids are above `after`, in their order, at most `most`; and where to go on, if there are more.
pub(super) fn page(after: u32, most: usize, interest: &Interest) -> (Vec<LookedAt>, Option<u32>) {
    let Ok(entries) = fs::read_dir("/proc") else { return (Vec::new(), None) };
    let mut pids: Vec<u32> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid > after)
        .collect();
    pids.sort_unstable();
    let next = pids.get(most).and(pids.get(most.saturating_sub(1))).copied();
    pids.truncate(most);
    let (looked, stopped) = these(&pids, interest);
    (looked, stopped.or(next))
}

/// These processes, as far as they are there, and the last one that was looked into, if that was enough for one answer.
/// One that ends meanwhile is left out.
pub(super) fn these(pids: &[u32], interest: &Interest) -> (Vec<LookedAt>, Option<u32>) {
    until_enough(pids, interest, ENOUGH_BYTES)
}

fn until_enough(
    pids: &[u32],
    interest: &Interest,
    most_bytes: usize,
) -> (Vec<LookedAt>, Option<u32>) {
    let (start, mut bytes) = (Instant::now(), 0);
    let mut looked = Vec::new();
    for (at, &pid) in pids.iter().enumerate() {
        let Some(process) = process(pid, interest) else { continue };
        bytes += size(&process);
        looked.push(process);
        let is_last = at + 1 == pids.len();
        if !is_last && (bytes > most_bytes || start.elapsed() > ENOUGH_TIME) {
            return (looked, Some(pid));
        }
    }
    (looked, None)
}

/// Room in a message, more or less.
fn size(process: &LookedAt) -> usize {
    let libraries = process.libraries.iter().map(|file| file.path.len());
    let files = process.files.iter().map(|file| file.path.len());
    libraries.chain(files).map(|path| path + ENTRY_BYTES).sum::<usize>() + process.cmdline.len()
}

fn process(pid: u32, interest: &Interest) -> Option<LookedAt> {
    let stat = scan::text(pid, "stat")?;
    let (ppid, start_ns) = scan::stat(&stat)?;
    if scan::field(&stat, scan::FLAGS)? & PF_KTHREAD != 0 {
        return None;
    }
    let (uid, gid) = ids(&scan::text(pid, "status")?)?;
    let mut readable = true;
    let libraries = match opened(scan::read(pid, "maps"), &mut readable) {
        Some(maps) => libraries(&maps, interest),
        None => Vec::new(),
    };
    let files = opened(descriptors(pid, interest, ENOUGH_BYTES), &mut readable);
    let (files, all) = files.unwrap_or((Vec::new(), true));
    readable &= all;
    let mut cmdline = scan::text(pid, "cmdline").unwrap_or_default();
    let cmdline_truncated = cmdline.len() > MOST_CMDLINE;
    cmdline.truncate(MOST_CMDLINE);
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    Some(LookedAt {
        pid,
        ppid,
        start_ns,
        uid,
        gid,
        comm: name(&stat)?.to_vec(),
        exe: exe.map(|exe| scan::named(exe.into_os_string().into_vec()).0),
        cmdline,
        cmdline_truncated,
        libraries,
        files,
        readable,
    })
}

/// What was read. None: it may not be read, which is told, or the process is gone.
fn opened<T>(outcome: io::Result<T>, readable: &mut bool) -> Option<T> {
    if let Err(error) = &outcome
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        *readable = false;
    }
    outcome.ok()
}

fn name(stat: &[u8]) -> Option<&[u8]> {
    let start = stat.iter().position(|&byte| byte == b'(')? + 1;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(start..end)
}

/// Real user and group id.
fn ids(status: &[u8]) -> Option<(u32, u32)> {
    let status = String::from_utf8_lossy(status);
    let first = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    Some((first("Uid:")?, first("Gid:")?))
}

fn libraries(maps: &[u8], interest: &Interest) -> Vec<MappedFile> {
    let mut libraries = scan::mapped(maps);
    libraries.retain(|file| interest.wants_library(scan::file_name(&file.path)));
    for file in &mut libraries {
        file.path = scan::named(unescaped(&file.path)).0;
    }
    libraries
}

/// A line end stands as `\012` in maps.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        match rest.strip_prefix(b"\\012") {
            Some(behind) => {
                out.push(b'\n');
                rest = behind;
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// Each wanted regular file that the process holds open, once for each way of access; and whether that is all.
fn descriptors(
    pid: u32,
    interest: &Interest,
    most_bytes: usize,
) -> io::Result<(Vec<Descriptor>, bool)> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&directory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(&directory, flags, Mode::empty())?;
    let mut mounts = None;
    // A set: with long paths that begin alike, to compare each with all others would take minutes.
    let mut files: LinkedHashSet<Descriptor> = LinkedHashSet::new();
    let (mut bytes, mut all) = (0, true);
    for (at, entry) in entries.filter_map(Result::ok).enumerate() {
        if at >= MOST_DESCRIPTORS || bytes > most_bytes {
            all = false;
            break;
        }
        // A link's target is what the kernel prints, so nothing is looked up.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let (path, deleted) = scan::named(target.into_os_string().into_vec());
        if !path.starts_with(b"/") || !interest.wants_file(scan::file_name(&path)) {
            continue;
        }
        let number = entry.file_name();
        let Some((flags, mount)) = info(pid, &number) else { continue };
        let left_out = OFlags::PATH.union(OFlags::DIRECTORY).bits();
        if flags & left_out != 0 {
            continue;
        }
        let mounts = mounts.get_or_insert_with(|| kinds(&mountinfo(pid)));
        let kind = mounts.get(&mount);
        let local = kind.is_some_and(|kind| !is_remote(kind));
        // mountinfo has the mounts that are below the process's root.
        let unreachable = kind.is_none();
        let remote = !local;
        let file =
            Descriptor { path, deleted, flags, unreachable, remote, ..Descriptor::default() };
        let Some(file) = (if local { looked_at(&directory, &number, file) } else { Some(file) })
        else {
            continue;
        };
        let size = file.path.len() + ENTRY_BYTES;
        if files.insert(file) {
            bytes += size;
        }
    }
    Ok((files.into_iter().collect(), all))
}

/// Flags of the open, and id of the mount.
fn info(pid: u32, number: &OsStr) -> Option<(u32, u64)> {
    let text = scan::text(pid, &format!("fdinfo/{}", number.to_str()?))?;
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    Some((u32::from_str_radix(value("flags:")?, 8).ok()?, value("mnt_id:")?.parse().ok()?))
}

fn mountinfo(pid: u32) -> Vec<u8> {
    scan::text(pid, "mountinfo").unwrap_or_default()
}

/// File system of each mount, by its id.
fn kinds(mountinfo: &[u8]) -> HashMap<u64, String> {
    let text = String::from_utf8_lossy(mountinfo);
    let line = |line: &str| {
        let (before, behind) = line.split_once(" - ")?;
        let id = before.split(' ').next()?.parse().ok()?;
        Some((id, behind.split(' ').next()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn is_remote(kind: &str) -> bool {
    REMOTE.contains(&kind) || kind.starts_with("fuse.")
}

/// With what `stat` tells. None: it is no regular file.
fn looked_at(directory: &OwnedFd, number: &OsStr, file: Descriptor) -> Option<Descriptor> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = openat(directory, number.as_bytes(), flags, Mode::empty()).ok()?;
    let stat = fstat(&opened).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let sb_magic = fstatfs(&opened).ok().and_then(|fs| u32::try_from(fs.f_type).ok());
    Some(Descriptor {
        dev: kernel_dev(stat.st_dev),
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        ctime_ns: i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec),
        sb_magic: sb_magic.unwrap_or(0),
        ..file
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest() -> Interest {
        let mut interest = Interest::default();
        interest.add_suffix(".pem").unwrap();
        interest.add_library("libc").unwrap();
        interest
    }

    #[test]
    fn this_process_with_what_it_holds_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        let _held = fs::File::create(&path).unwrap();
        fs::create_dir(dir.path().join("d.pem")).unwrap();
        let _directory = fs::File::open(dir.path().join("d.pem")).unwrap();
        let own = process(std::process::id(), &interest()).unwrap();
        let files: Vec<_> = own
            .files
            .iter()
            .filter(|file| file.path.starts_with(dir.path().as_os_str().as_bytes()))
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(files[0].path, path.as_os_str().as_bytes());
        assert_eq!((files[0].flags & 3, files[0].remote, files[0].deleted), (1, false, false));
        assert!(own.readable && !own.comm.is_empty() && !own.cmdline.is_empty());
        assert!(own.libraries.iter().any(|file| scan::file_name(&file.path).starts_with(b"libc")));
        fs::remove_file(&path).unwrap();
        let own = process(std::process::id(), &interest()).unwrap();
        assert!(
            own.files.iter().any(|file| file.deleted && file.path == path.as_os_str().as_bytes())
        );
    }

    #[test]
    fn pages_hold_each_process_once() {
        let mut after = 0;
        let mut seen = Vec::new();
        loop {
            let (page, next) = page(after, 3, &interest());
            assert!(page.len() <= 3);
            seen.extend(page.iter().map(|process| process.pid));
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert!(seen.is_sorted() && seen.contains(&std::process::id()));
        seen.dedup();
        assert!(!seen.contains(&2), "a kernel thread, or nobody");
    }

    #[test]
    fn who_holds_too_much_hides_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let held = |i: u32| fs::File::create(dir.path().join(format!("{i}.pem"))).unwrap();
        let _held: Vec<_> = (0..8).map(held).collect();
        let own = std::process::id();
        let (all, whole) = descriptors(own, &interest(), ENOUGH_BYTES).unwrap();
        assert!(whole && all.len() >= 8);
        let (some, whole) = descriptors(own, &interest(), 3 * ENTRY_BYTES).unwrap();
        assert!(!whole && (1..=3).contains(&some.len()), "{some:?}");

        // An answer ends with the one that fills it, and tells where to go on.
        let pids = [own, own, 1];
        let (looked, stopped) = until_enough(&pids, &interest(), 8 * ENTRY_BYTES);
        assert_eq!((looked.len(), stopped), (1, Some(own)));
        let (looked, stopped) = these(&[own, own], &interest());
        assert_eq!((looked.len(), stopped), (2, None));
        let (looked, stopped) = until_enough(&[own], &interest(), 0);
        assert_eq!((looked.len(), stopped), (1, None), "there is nobody behind it");
    }

    #[test]
    fn mounts_tell_their_file_system() {
        let text = b"22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
            23 22 0:41 / /mnt rw - fuse.sshfs x rw\nrubbish\n24 22 0:42 / /n rw master:2 - nfs4 h:/ rw\n";
        let kinds = kinds(text);
        let remote = |id| is_remote(&kinds[&id]);
        assert_eq!((kinds.len(), remote(22), remote(23), remote(24)), (3, false, true, true));
    }

    #[test]
    fn marks_and_escapes_of_the_kernel() {
        assert_eq!(scan::named(b"/a (deleted)".to_vec()), (b"/a".to_vec(), true));
        assert_eq!(scan::named(b"/a".to_vec()), (b"/a".to_vec(), false));
        assert_eq!(unescaped(b"/a\\012b\\c"), b"/a\nb\\c");
        assert_eq!(name(b"7 (a) b) S 1"), Some(&b"a) b"[..]));
        assert_eq!(ids(b"Name:\tx\nUid:\t5\t6\t6\t6\nGid:\t7\t8\n"), Some((5, 7)));
        assert_eq!(ids(b"Name:\tx\n"), None);
    }
}
