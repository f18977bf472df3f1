//! Inspects running processes: their identity, mapped libraries and open files.
//!
//! Nothing here waits for a remote file system: paths come from `/proc`, and file metadata from the kernel's caches,
//! and only on mounts of local file systems.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use hashlink::LinkedHashSet;
use rustix::fs::{FileType, Mode, OFlags, open};

use super::mounts::Mounts;
use super::paging::Paged;
use super::proc_probe::ProbePool;
use super::protocol::{FileDescriptor, MappedFile, ProcessDetails};
use super::{paging, procfs, statx, unobservable};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::fs_magic;

/// Maximum number of descriptors per process: it may have a million.
const MAX_DESCRIPTORS: usize = 65_536;
/// Maximum bytes of a command line.
const MAX_CMDLINE: usize = 4096;

/// Inspects these processes. Also returns the last process of this page if more follow. Processes that have exited are
/// omitted. Without an interest the response has only the identity of each process.
pub(super) fn page(
    pids: &[u32],
    interest: Option<Interest>,
    probes: &ProbePool,
) -> (Vec<ProcessDetails>, Option<u32>) {
    page_of(pids, interest, paging::PAGE_BYTES, probes)
}

fn page_of(
    pids: &[u32],
    interest: Option<Interest>,
    max_bytes: usize,
    probes: &ProbePool,
) -> (Vec<ProcessDetails>, Option<u32>) {
    let read = move |pid| {
        let process = inspect(pid, interest.as_ref())?;
        let size = message_size(&process);
        Some((process, size))
    };
    let (found, next) = paging::collect(pids, max_bytes, probes, read);
    let details = found.into_iter().filter_map(|(pid, found)| match found {
        Paged::Read(details) => details,
        Paged::Blocked => identify_blocked(pid),
    });
    (details.collect(), next)
}

/// Reads only the files of `/proc` that never block.
fn identify_blocked(pid: u32) -> Option<ProcessDetails> {
    let status = procfs::read(pid, "status").ok()?;
    let mut comm = procfs::read(pid, "comm").ok()?;
    comm.pop_if(|last| *last == b'\n');
    let (uid, gid) = ids(&status)?;
    let ppid = procfs::status_value(&status, "PPid:")?;
    // Kernel threads and zombies have no memory, and do not block.
    procfs::status_value(&status, "VmSize:")?;
    Some(ProcessDetails { pid, ppid, uid, gid, comm, ..ProcessDetails::default() })
}

/// Approximate size in a message, in bytes.
fn message_size(process: &ProcessDetails) -> usize {
    let libraries = process.libraries.iter().map(|file| file.path.len());
    let files = process.files.iter().map(|file| file.path.len());
    libraries.chain(files).map(|path| path + paging::ENTRY_BYTES).sum::<usize>()
        + process.cmdline.len()
}

/// `None` for a kernel thread, or if the process has exited.
fn inspect(pid: u32, interest: Option<&Interest>) -> Option<ProcessDetails> {
    let stat = procfs::read(pid, "stat").ok()?;
    let (ppid, start_ns) = procfs::parse_stat(&stat)?;
    if procfs::stat_field(&stat, procfs::STAT_FLAGS)? & unobservable::PF_KTHREAD != 0 {
        return None;
    }
    let (uid, gid) = ids(&procfs::read(pid, "status").ok()?)?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let process = ProcessDetails {
        pid,
        ppid,
        start_ns,
        uid,
        gid,
        comm: comm(&stat)?.to_vec(),
        exe: exe.map(|exe| procfs::strip_deleted(exe.into_os_string().into_vec()).0),
        ..ProcessDetails::default()
    };
    Some(match interest {
        Some(interest) => with_files(process, interest),
        None => process,
    })
}

/// Adds mappings, open files and command line. This may block: `maps` and `cmdline` access the process's memory, which
/// may be mapped from a file on a remote file system.
fn with_files(process: ProcessDetails, interest: &Interest) -> ProcessDetails {
    let pid = process.pid;
    let mut readable = true;
    let libraries = match permitted(procfs::read(pid, "maps"), &mut readable) {
        Some(maps) => libraries(&maps, interest),
        None => Vec::new(),
    };
    let files = permitted(descriptors(pid, interest, paging::PAGE_BYTES), &mut readable);
    let (files, complete) = files.unwrap_or((Vec::new(), true));
    readable &= complete;
    let mut cmdline = procfs::read(pid, "cmdline").unwrap_or_default();
    let cmdline_truncated = cmdline.len() > MAX_CMDLINE;
    cmdline.truncate(MAX_CMDLINE);
    ProcessDetails { cmdline, cmdline_truncated, libraries, files, readable, ..process }
}

/// Clears `readable` if the permission is denied. Other errors mean that the process has exited.
fn permitted<T>(result: io::Result<T>, readable: &mut bool) -> Option<T> {
    if let Err(error) = &result
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        *readable = false;
    }
    result.ok()
}

/// Returns the name in `/proc/PID/stat`.
fn comm(stat: &[u8]) -> Option<&[u8]> {
    let start = stat.iter().position(|&byte| byte == b'(')? + 1;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(start..end)
}

/// Real user and group id.
fn ids(status: &[u8]) -> Option<(u32, u32)> {
    Some((procfs::status_value(status, "Uid:")?, procfs::status_value(status, "Gid:")?))
}

fn libraries(maps: &[u8], interest: &Interest) -> Vec<MappedFile> {
    let mut libraries = procfs::wanted_libraries(maps, interest);
    for file in &mut libraries {
        file.path = procfs::strip_deleted(unescape(&file.path)).0;
    }
    libraries
}

/// Decodes `\012`, the escape of a newline in `maps`.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        match rest.strip_prefix(b"\\012") {
            Some(tail) => {
                out.push(b'\n');
                rest = tail;
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Returns the regular files in `interest` that the process has open, each once per access mode, and whether the list
/// is complete.
fn descriptors(
    pid: u32,
    interest: &Interest,
    max_bytes: usize,
) -> io::Result<(Vec<FileDescriptor>, bool)> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&directory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(&directory, flags, Mode::empty())?;
    let mut mounts = None;
    // A set, because a pairwise comparison of long paths with a common prefix would take minutes.
    let mut files: LinkedHashSet<FileDescriptor> = LinkedHashSet::new();
    let (mut bytes, mut complete) = (0, true);
    for (index, entry) in entries.filter_map(Result::ok).enumerate() {
        if index >= MAX_DESCRIPTORS || bytes > max_bytes {
            complete = false;
            break;
        }
        // The kernel prints the link target without a lookup.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let (path, deleted) = procfs::strip_deleted(target.into_os_string().into_vec());
        if !path.starts_with(b"/") || !interest.wants_file(procfs::file_name(&path)) {
            continue;
        }
        let number = entry.file_name();
        let Some((flags, mount_id)) = flags_and_mount_id(pid, &number) else { continue };
        let excluded = OFlags::PATH.union(OFlags::DIRECTORY).bits();
        if flags & excluded != 0 {
            continue;
        }
        let mounts = mounts.get_or_insert_with(|| Mounts::of(pid));
        // mountinfo lists only mounts below the process's root.
        let kind = mounts.kind(mount_id);
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
        let file = match local {
            Some(kind) => with_metadata(&directory, &number, kind, file),
            None => Some(file),
        };
        let Some(file) = file else { continue };
        let size = file.path.len() + paging::ENTRY_BYTES;
        if files.insert(file) {
            bytes += size;
        }
    }
    Ok((files.into_iter().collect(), complete))
}

/// Open flags and mount ID of a descriptor, from `fdinfo`.
pub(super) fn flags_and_mount_id(pid: u32, number: &OsStr) -> Option<(u32, u64)> {
    let text = procfs::read(pid, &format!("fdinfo/{}", number.to_str()?)).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    Some((u32::from_str_radix(value("flags:")?, 8).ok()?, value("mnt_id:")?.parse().ok()?))
}

/// Adds the cached metadata. `None` if it is not a regular file.
fn with_metadata(
    directory: &OwnedFd,
    number: &OsStr,
    kind: &str,
    file: FileDescriptor,
) -> Option<FileDescriptor> {
    let stat = statx::cached(directory, number.as_bytes())?;
    if FileType::from_raw_mode(u32::from(stat.stx_mode)) != FileType::RegularFile {
        return None;
    }
    // statfs would query the file system and its lower layers, which may be remote.
    let sb_magic = fs_magic::without_device_named(kind).unwrap_or(0);
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
    fn inspects_this_process_with_its_open_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        let _open = fs::File::create(&path).unwrap();
        fs::create_dir(dir.path().join("d.pem")).unwrap();
        let _directory = fs::File::open(dir.path().join("d.pem")).unwrap();
        let own = inspect(std::process::id(), Some(&interest())).unwrap();
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
        let own = inspect(std::process::id(), Some(&interest())).unwrap();
        assert!(
            own.files.iter().any(|file| file.deleted && file.path == path.as_os_str().as_bytes())
        );
    }

    #[test]
    fn identifies_processes_without_an_interest() {
        let own = inspect(std::process::id(), None).unwrap();
        assert!(!own.readable && own.exe.is_some() && !own.comm.is_empty());
        assert!(own.cmdline.is_empty() && own.libraries.is_empty() && own.files.is_empty());
        let (processes, next) = page(&[own.pid, 2], None, &ProbePool::default());
        assert_eq!((processes.first(), next), (Some(&own), None));
        let blocked = ProcessDetails { start_ns: 0, exe: None, ..own };
        assert_eq!(identify_blocked(blocked.pid), Some(blocked));
        // PID 2 is a kernel thread, except in a PID namespace.
        assert_eq!(
            identify_blocked(2)
                .filter(|_| std::path::Path::new("/proc/2/exe").read_link().is_err()),
            None
        );
        assert_eq!(inspect(2, None).filter(|two| two.exe.is_none()), None, "a kernel thread");
    }

    #[test]
    fn a_process_with_many_files_does_not_hide_others() {
        let dir = tempfile::tempdir().unwrap();
        let create = |i: u32| fs::File::create(dir.path().join(format!("{i}.pem"))).unwrap();
        let _open: Vec<_> = (0..8).map(create).collect();
        let own = std::process::id();
        let (all, complete) = descriptors(own, &interest(), paging::PAGE_BYTES).unwrap();
        assert!(complete && all.len() >= 8);
        let (some, complete) = descriptors(own, &interest(), 3 * paging::ENTRY_BYTES).unwrap();
        assert!(!complete && (1..=3).contains(&some.len()), "{some:?}");

        // A page ends with the process that fills it, whose PID is returned.
        let pids = [own, own, 1];
        let page = |pids: &[u32], max| page_of(pids, Some(interest()), max, &ProbePool::default());
        let (found, next) = page(&pids, 8 * paging::ENTRY_BYTES);
        assert_eq!((found.len(), next), (1, Some(own)));
        let (found, next) = page(&[own, own], paging::PAGE_BYTES);
        assert_eq!((found.len(), next), (2, None));
        let (found, next) = page(&[own], 0);
        assert_eq!((found.len(), next), (1, None), "no process follows");
    }

    #[test]
    fn decodes_suffixes_and_escapes_of_the_kernel() {
        assert_eq!(procfs::strip_deleted(b"/a (deleted)".to_vec()), (b"/a".to_vec(), true));
        assert_eq!(procfs::strip_deleted(b"/a".to_vec()), (b"/a".to_vec(), false));
        assert_eq!(unescape(b"/a\\012b\\c"), b"/a\nb\\c");
        assert_eq!(comm(b"7 (a) b) S 1"), Some(&b"a) b"[..]));
        assert_eq!(ids(b"Name:\tx\nUid:\t5\t6\t6\t6\nGid:\t7\t8\n"), Some((5, 7)));
        assert_eq!(ids(b"Name:\tx\n"), None);
    }
}
