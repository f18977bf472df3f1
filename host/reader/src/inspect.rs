//! A look into running processes: who they are, which libraries they have mapped and which files they hold open.
//!
//! Nothing here waits for a file system: names come from `/proc`, and of a file only what the kernel knows where its mount says
//! that it is a local one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use hashlink::LinkedHashSet;
use rustix::fs::{FileType, Mode, OFlags, open};

use super::mounts::Mounts;
use super::proc_probe::{ProbePool, Timeouts};
use super::protocol::{FileDescriptor, MappedFile, ProcessDetails};
use super::{fs_magic, paging, procfs, statx};
use crypto_tracer_event::interest::Interest;

/// Descriptors of one process that are looked at: it may have a million.
const MOST_DESCRIPTORS: usize = 65_536;
/// Bytes of a command line.
const MOST_CMDLINE: usize = 4096;
/// In `/proc/PID/stat`: a kernel thread.
const PF_KTHREAD: u64 = 0x0020_0000;

/// These processes, as far as they are there, and the last one that was looked into, if that was enough for one answer.
/// One that ends meanwhile is left out. Nobody interested: only who they are, which nobody can hide.
pub(super) fn these(
    pids: &[u32],
    interest: Option<&Interest>,
    aside: &ProbePool,
) -> (Vec<ProcessDetails>, Option<u32>) {
    match interest {
        Some(_) => until_enough(pids, interest, paging::BYTES),
        None => (who(pids, aside), None),
    }
}

/// Who they are; of one that makes wait, what it is called and whose it is.
fn who(pids: &[u32], aside: &ProbePool) -> Vec<ProcessDetails> {
    let look = |pid| (pid, process(pid, None));
    let (found, _) = aside.each(pids.iter().copied(), Timeouts::FOR_AN_ANSWER, look);
    let mut found: HashMap<u32, Option<ProcessDetails>> = found.into_iter().collect();
    let known = |&pid| found.remove(&pid).unwrap_or_else(|| named(pid));
    pids.iter().filter_map(known).collect()
}

/// From what the kernel tells without a look at the process's memory.
fn named(pid: u32) -> Option<ProcessDetails> {
    let status = procfs::text(pid, "status")?;
    let mut comm = procfs::text(pid, "comm")?;
    comm.pop_if(|last| *last == b'\n');
    let (uid, gid) = ids(&status)?;
    let ppid = procfs::value(&status, "PPid:")?;
    // Neither a thread of the kernel nor what is left of a process makes anybody wait.
    procfs::value(&status, "VmSize:")?;
    Some(ProcessDetails { pid, ppid, uid, gid, comm, ..ProcessDetails::default() })
}

fn until_enough(
    pids: &[u32],
    interest: Option<&Interest>,
    most_bytes: usize,
) -> (Vec<ProcessDetails>, Option<u32>) {
    paging::each(pids, most_bytes, |pid| {
        let process = process(pid, interest)?;
        let size = size(&process);
        Some((process, size))
    })
}

/// Room in a message, more or less.
fn size(process: &ProcessDetails) -> usize {
    let libraries = process.libraries.iter().map(|file| file.path.len());
    let files = process.files.iter().map(|file| file.path.len());
    libraries.chain(files).map(|path| path + paging::ENTRY_BYTES).sum::<usize>()
        + process.cmdline.len()
}

fn process(pid: u32, interest: Option<&Interest>) -> Option<ProcessDetails> {
    let stat = procfs::text(pid, "stat")?;
    let (ppid, start_ns) = procfs::stat(&stat)?;
    if procfs::field(&stat, procfs::FLAGS)? & PF_KTHREAD != 0 {
        return None;
    }
    let (uid, gid) = ids(&procfs::text(pid, "status")?)?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let process = ProcessDetails {
        pid,
        ppid,
        start_ns,
        uid,
        gid,
        comm: name(&stat)?.to_vec(),
        exe: exe.map(|exe| procfs::named(exe.into_os_string().into_vec()).0),
        ..ProcessDetails::default()
    };
    Some(match interest {
        Some(interest) => with_what_it_has(process, interest),
        None => process,
    })
}

/// Its mappings and its command line are its own memory, which may be a file that nobody answers for.
fn with_what_it_has(process: ProcessDetails, interest: &Interest) -> ProcessDetails {
    let pid = process.pid;
    let mut readable = true;
    let libraries = match opened(procfs::read(pid, "maps"), &mut readable) {
        Some(maps) => libraries(&maps, interest),
        None => Vec::new(),
    };
    let files = opened(descriptors(pid, interest, paging::BYTES), &mut readable);
    let (files, all) = files.unwrap_or((Vec::new(), true));
    readable &= all;
    let mut cmdline = procfs::text(pid, "cmdline").unwrap_or_default();
    let cmdline_truncated = cmdline.len() > MOST_CMDLINE;
    cmdline.truncate(MOST_CMDLINE);
    ProcessDetails { cmdline, cmdline_truncated, libraries, files, readable, ..process }
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
    Some((procfs::value(status, "Uid:")?, procfs::value(status, "Gid:")?))
}

fn libraries(maps: &[u8], interest: &Interest) -> Vec<MappedFile> {
    let mut libraries = procfs::libraries(maps, interest);
    for file in &mut libraries {
        file.path = procfs::named(unescaped(&file.path)).0;
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
) -> io::Result<(Vec<FileDescriptor>, bool)> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&directory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(&directory, flags, Mode::empty())?;
    let mut mounts = None;
    // A set: with long paths that begin alike, to compare each with all others would take minutes.
    let mut files: LinkedHashSet<FileDescriptor> = LinkedHashSet::new();
    let (mut bytes, mut all) = (0, true);
    for (at, entry) in entries.filter_map(Result::ok).enumerate() {
        if at >= MOST_DESCRIPTORS || bytes > most_bytes {
            all = false;
            break;
        }
        // A link's target is what the kernel prints, so nothing is looked up.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let (path, deleted) = procfs::named(target.into_os_string().into_vec());
        if !path.starts_with(b"/") || !interest.wants_file(procfs::file_name(&path)) {
            continue;
        }
        let number = entry.file_name();
        let Some((flags, mount)) = info(pid, &number) else { continue };
        let left_out = OFlags::PATH.union(OFlags::DIRECTORY).bits();
        if flags & left_out != 0 {
            continue;
        }
        let mounts = mounts.get_or_insert_with(|| Mounts::of(pid));
        // mountinfo has the mounts that are below the process's root.
        let kind = mounts.kind(mount);
        let local = kind.filter(|(_, remote)| !remote).map(|(kind, _)| kind);
        let (unreachable, remote) = (kind.is_none(), local.is_none());
        let file = FileDescriptor {
            path,
            deleted,
            flags,
            unreachable,
            remote,
            ..FileDescriptor::default()
        };
        let looked = match local {
            Some(kind) => details_of(&directory, &number, kind, file),
            None => Some(file),
        };
        let Some(file) = looked else { continue };
        let size = file.path.len() + paging::ENTRY_BYTES;
        if files.insert(file) {
            bytes += size;
        }
    }
    Ok((files.into_iter().collect(), all))
}

/// Flags of the open, and id of the mount.
pub(super) fn info(pid: u32, number: &OsStr) -> Option<(u32, u64)> {
    let text = procfs::text(pid, &format!("fdinfo/{}", number.to_str()?))?;
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    Some((u32::from_str_radix(value("flags:")?, 8).ok()?, value("mnt_id:")?.parse().ok()?))
}

/// With what the kernel knows of it. None: it is no regular file.
fn details_of(
    directory: &OwnedFd,
    number: &OsStr,
    kind: &str,
    file: FileDescriptor,
) -> Option<FileDescriptor> {
    let stat = statx::known(directory, number.as_bytes())?;
    if FileType::from_raw_mode(u32::from(stat.stx_mode)) != FileType::RegularFile {
        return None;
    }
    // To ask the file system would be to ask all that it is made of.
    let known = fs_magic::WITHOUT_DEVICE.iter().find(|(_, name)| *name == kind);
    let sb_magic = known.map_or(0, |(magic, _)| *magic);
    Some(FileDescriptor {
        dev: statx::dev(&stat),
        inode: stat.stx_ino,
        size: stat.stx_size,
        ctime_ns: statx::ctime_ns(&stat),
        sb_magic,
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
        let own = process(std::process::id(), Some(&interest())).unwrap();
        let files: Vec<_> = own
            .files
            .iter()
            .filter(|file| file.path.starts_with(dir.path().as_os_str().as_bytes()))
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(files[0].path, path.as_os_str().as_bytes());
        assert_eq!((files[0].flags & 3, files[0].remote, files[0].deleted), (1, false, false));
        assert!(own.readable && !own.comm.is_empty() && !own.cmdline.is_empty());
        assert!(
            own.libraries.iter().any(|file| procfs::file_name(&file.path).starts_with(b"libc"))
        );
        fs::remove_file(&path).unwrap();
        let own = process(std::process::id(), Some(&interest())).unwrap();
        assert!(
            own.files.iter().any(|file| file.deleted && file.path == path.as_os_str().as_bytes())
        );
    }

    #[test]
    fn only_who_it_is() {
        let own = process(std::process::id(), None).unwrap();
        assert!(!own.readable && own.exe.is_some() && !own.comm.is_empty());
        assert!(own.cmdline.is_empty() && own.libraries.is_empty() && own.files.is_empty());
        let (who, next) = these(&[own.pid, 2], None, &ProbePool::default());
        assert_eq!((who.first(), next), (Some(&own), None));
        let without = ProcessDetails { start_ns: 0, exe: None, ..own };
        assert_eq!(named(without.pid), Some(without));
        assert_eq!(
            named(2).filter(|_| std::path::Path::new("/proc/2/exe").read_link().is_err()),
            None
        );
        assert_eq!(process(2, None).filter(|two| two.exe.is_none()), None, "a kernel thread");
    }

    #[test]
    fn who_holds_too_much_hides_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let held = |i: u32| fs::File::create(dir.path().join(format!("{i}.pem"))).unwrap();
        let _held: Vec<_> = (0..8).map(held).collect();
        let own = std::process::id();
        let (all, whole) = descriptors(own, &interest(), paging::BYTES).unwrap();
        assert!(whole && all.len() >= 8);
        let (some, whole) = descriptors(own, &interest(), 3 * paging::ENTRY_BYTES).unwrap();
        assert!(!whole && (1..=3).contains(&some.len()), "{some:?}");

        // An answer ends with the one that fills it, and tells where to go on.
        let pids = [own, own, 1];
        let (looked, stopped) = until_enough(&pids, Some(&interest()), 8 * paging::ENTRY_BYTES);
        assert_eq!((looked.len(), stopped), (1, Some(own)));
        let (looked, stopped) = these(&[own, own], Some(&interest()), &ProbePool::default());
        assert_eq!((looked.len(), stopped), (2, None));
        let (looked, stopped) = until_enough(&[own], Some(&interest()), 0);
        assert_eq!((looked.len(), stopped), (1, None), "there is nobody behind it");
    }

    #[test]
    fn marks_and_escapes_of_the_kernel() {
        assert_eq!(procfs::named(b"/a (deleted)".to_vec()), (b"/a".to_vec(), true));
        assert_eq!(procfs::named(b"/a".to_vec()), (b"/a".to_vec(), false));
        assert_eq!(unescaped(b"/a\\012b\\c"), b"/a\nb\\c");
        assert_eq!(name(b"7 (a) b) S 1"), Some(&b"a) b"[..]));
        assert_eq!(ids(b"Name:\tx\nUid:\t5\t6\t6\t6\nGid:\t7\t8\n"), Some((5, 7)));
        assert_eq!(ids(b"Name:\tx\n"), None);
    }
}
