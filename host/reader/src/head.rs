//! Reads the beginning of a file that another process opened, without following anything that an attacker may have
//! put in its place meanwhile, and without asking a file system that may never answer.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, open, openat, openat2,
};
use rustix::io::Errno;

use super::fs_magic::{BCACHEFS, BTRFS, OVERLAYFS, without_device};
use super::mount_namespaces::{self, MountNamespaces};
use super::mounts::Mounts;
use super::protocol::{Found, HEAD_BYTES, HeadRefusal, HeadRequest, HeadResponse, Wanted};
use super::statx::{ctime_ns, dev, known, ns};
use super::{inspect, pem, public_prefix};

/// Bytes that are read of every file: a line that begins in the head is read whole.
pub(super) const FIRST_BYTES: usize = HEAD_BYTES + pem::MOST_LINE;
/// Bytes that are read where the first ones are blocks that do not say what the file is: with room for the block that
/// does.
pub(super) const MOST_BYTES: usize = pem::MOST_BYTES + HEAD_BYTES;

/// How the beginning of a file is opened; `other_tracer` recognises another tracer's reader by it.
pub(super) const READS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Answers one question.
pub(super) fn read(wanted: &Wanted, places: &mut MountNamespaces) -> HeadResponse {
    match find(wanted, places) {
        // An empty file that is written to between the stat and the read would look as if it had held that already.
        Ok(File { found: found @ (Found::Same | Found::Changed), .. }) if wanted.size == 0 => {
            HeadResponse { head: Ok(Vec::new()), size: Some(0), found }
        }
        Ok(File { fd, size, found }) => {
            let size = (found != Found::Replaced).then_some(size);
            HeadResponse { head: beginning(&fd), size, found }
        }
        Err(refusal) => HeadResponse { head: Err(refusal), size: None, found: Found::Same },
    }
}

/// A file, opened so that nothing happens to it yet.
#[derive(Debug)]
struct File {
    fd: OwnedFd,
    size: u64,
    found: Found,
}

/// Finds the file under its name, by a descriptor, or under another name in its directory; else the file that has its
/// name now.
fn find(wanted: &Wanted, places: &mut MountNamespaces) -> Result<File, HeadRefusal> {
    let question = &wanted.file;
    let (mut denied, mut other) = (false, None);
    let mut look = |pid| {
        match root(pid).and_then(|root| below(&root, pid, &question.path)) {
            Ok(fd) => match same(fd, pid, wanted) {
                Ok(file) => return Some(file),
                Err(fd) if other.is_none() && stands_for(pid, question) => {
                    other = successor(fd, pid, wanted);
                }
                Err(_) => {}
            },
            Err(Errno::ACCESS | Errno::PERM) => denied = true,
            Err(_) => {}
        }
        None
    };
    if question.nameless {
        return by_descriptor(wanted).ok_or(HeadRefusal::Gone);
    }
    by_name(question, places, &mut look)
        // It may have lost its name since, or got another one.
        .or_else(|| by_descriptor(wanted))
        .or_else(|| by_name(question, places, |pid| renamed(pid, wanted)))
        .or(other)
        .ok_or(if denied { HeadRefusal::Denied } else { HeadRefusal::Gone })
}

/// Whether what this process finds under a name is what the one that opened the file would find. Its number may be
/// another one's by now.
fn stands_for(pid: u32, question: &HeadRequest) -> bool {
    question.mount_ns == 0 || mount_namespaces::is_at_home(pid, question)
}

/// The file that has the name of another one now, on the same file system. Whatever else may lie there, from a device
/// to a file of the kernel's, is not looked at.
fn successor(fd: OwnedFd, pid: u32, wanted: &Wanted) -> Option<File> {
    let stat = known(&fd, "").filter(is_regular)?;
    let file = File { size: stat.stx_size, fd, found: Found::Replaced };
    is_beside(&file.fd, &stat, pid, wanted).then_some(file)
}

/// Whether this lies on the file system that the file was on.
fn is_beside(fd: &OwnedFd, stat: &Statx, pid: u32, wanted: &Wanted) -> bool {
    match without_device(wanted.file.sb_magic) {
        // A server can say any inode number and any time, but not what it is mounted as.
        Some(kind) => mount(fd, &Mounts::of(pid)) == Some((kind.to_owned(), false)),
        None => dev(stat) == wanted.file.dev,
    }
}

/// The file under another name in the directory that it was in.
fn renamed(pid: u32, wanted: &Wanted) -> Option<File> {
    /// Names that are looked at.
    const MOST: usize = 16_384;
    /// How long that may take: others wait.
    const LONGEST: Duration = Duration::from_millis(20);
    let start = Instant::now();
    let path = &wanted.file.path;
    let (directory, _) = path.split_at(path.iter().rposition(|&byte| byte == b'/')?);
    let directory = below(&root(pid).ok()?, pid, directory).ok()?;
    // A directory may lie where nobody answers, and have had a local file mounted in it.
    let stat = known(&directory, "")?;
    if !is_beside(&directory, &stat, pid, wanted) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listed = openat(&directory, ".", flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(&directory, ".", flags, Mode::empty()));
    let entries = rustix::fs::Dir::read_from(listed.ok()?).ok()?;
    let entries = entries.take(MOST).take_while(|_| start.elapsed() < LONGEST);
    entries.filter_map(Result::ok).filter(|entry| entry.ino() == wanted.file.inode).find_map(
        |entry| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let stay = ResolveFlags::BENEATH
                | ResolveFlags::NO_XDEV
                | ResolveFlags::NO_MAGICLINKS
                | ResolveFlags::NO_SYMLINKS;
            let fd = openat2(&directory, entry.file_name(), flags, Mode::empty(), stay).ok()?;
            same(fd, pid, wanted).ok()
        },
    )
}

/// By the process itself; when it is gone, by whoever sees the same: often that is the reader.
fn by_name<T>(
    question: &HeadRequest,
    places: &mut MountNamespaces,
    mut look: impl FnMut(u32) -> Option<T>,
) -> Option<T> {
    if let Some(found) = look(question.pid) {
        return Some(found);
    }
    if sees_the_same(question) {
        return look(std::process::id());
    }
    let others = if is_there(question) { Vec::new() } else { places.of(question) };
    others.into_iter().find_map(look)
}

/// Whether the process is there still, in the mount namespace that it was in: then nobody sees more than it does.
fn is_there(question: &HeadRequest) -> bool {
    question.mount_ns == 0 || mount_namespaces::mount_ns(question.pid) == Some(question.mount_ns)
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The directory that is `/` for a process.
fn root(pid: u32) -> Result<OwnedFd, Errno> {
    open(format!("/proc/{pid}/root"), DIRECTORY, Mode::empty())
}

/// Whether the reader has the process's mounts and root.
fn sees_the_same(question: &HeadRequest) -> bool {
    let own = || {
        let mount_ns = mount_namespaces::mount_ns(std::process::id())?;
        let root = open("/", DIRECTORY, Mode::empty()).ok()?;
        let stat = known(&root, "")?;
        Some((mount_ns, (dev(&stat), stat.stx_ino)))
    };
    own() == Some((question.mount_ns, question.root))
}

/// Opens what is under this path, whole, below that root of that process.
fn below(root: &OwnedFd, pid: u32, path: &[u8]) -> Result<OwnedFd, Errno> {
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    let (_, relative) = path.split_at(start);
    let relative = if relative.is_empty() { b"." } else { relative };
    let open = |more: ResolveFlags| {
        openat2(
            root,
            OsStr::from_bytes(relative),
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS | more,
        )
    };
    // What the kernel knows already asks nobody. A file that was just opened is known, as a rule.
    match open(ResolveFlags::CACHED) {
        // Before Linux 5.12 it does not know the flag.
        Err(Errno::AGAIN | Errno::INVAL) => {}
        opened => return opened,
    }
    // The mount that a process has its root in is not in its list, when it is not all of the mount.
    let mounts = Mounts::of(pid);
    let leads_away =
        mounts.lead_away(path) || mount(root, &mounts).is_none_or(|(_, remote)| remote);
    if leads_away {
        return Err(Errno::ACCESS);
    }
    open(ResolveFlags::empty())
}

/// A file without a name, if the process still has it open.
fn by_descriptor(wanted: &Wanted) -> Option<File> {
    /// Descriptors that are looked at: a process may have a million.
    const MOST: usize = 65_536;
    /// How long that may take: others wait.
    const LONGEST: Duration = Duration::from_millis(200);
    let start = Instant::now();
    let directory = format!("/proc/{}/fd", wanted.file.pid);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(&directory, flags, Mode::empty()).ok()?;
    let entries = rustix::fs::Dir::read_from(&directory).ok()?;
    let mounts = Mounts::of(wanted.file.pid);
    let near = |name: &std::ffi::CStr| {
        // Even the way through a descriptor may ask a server.
        !mounts.have_remote()
            || inspect::info(wanted.file.pid, OsStr::from_bytes(name.to_bytes()))
                .is_some_and(|(_, id)| mounts.kind(id).is_none_or(|(_, remote)| !remote))
    };
    let entries = entries.take(MOST).take_while(|_| start.elapsed() < LONGEST);
    entries.filter_map(Result::ok).find_map(|entry| {
        let name = entry.file_name();
        if !near(name) || known(&directory, name).and_then(|stat| is_it(&stat, wanted)).is_none() {
            return None;
        }
        let file = openat(&directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        same(file, wanted.file.pid, wanted).ok()
    })
}

/// The file system that this is on, and whether it may never answer: as the process sees it, or else as the reader.
fn mount(file: &OwnedFd, theirs: &Mounts) -> Option<(String, bool)> {
    let id = known(file, "")?.stx_mnt_id;
    let owned = |(kind, remote): (&str, bool)| (kind.to_owned(), remote);
    theirs.kind(id).map(owned).or_else(|| Mounts::of(std::process::id()).kind(id).map(owned))
}

/// The file, if this is the one that the kernel meant; it was found in the mounts of this process.
fn same(fd: OwnedFd, pid: u32, wanted: &Wanted) -> Result<File, OwnedFd> {
    let stat = known(&fd, "");
    let found = stat.as_ref().and_then(|stat| is_it(stat, wanted));
    match (stat, found) {
        (Some(stat), Some(found)) if is_beside(&fd, &stat, pid, wanted) => {
            Ok(File { fd, size: stat.stx_size, found })
        }
        _ => Err(fd),
    }
}

fn is_regular(stat: &Statx) -> bool {
    FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile
}

/// Whether this is the file that was opened, and whether it was written to since; None: it is another one.
fn is_it(stat: &Statx, wanted: &Wanted) -> Option<Found> {
    let Wanted { file, size, .. } = wanted;
    let inode = stat.stx_ino == file.inode;
    let same_ctime = ctime_ns(stat) == file.ctime_ns;
    let is_it = match file.sb_magic {
        // Each subvolume has a device number that only programs see; what the kernel names is the file system's.
        BTRFS | BCACHEFS => inode,
        // Of a file that was copied up programs see the number of the one below, and the kernel has that of the one
        // above; its change time is that of when it was last looked at. Both are never wrong for one file, and its size
        // is known.
        OVERLAYFS if stat.stx_size == *size && (inode || same_ctime) => {
            return is_regular(stat).then_some(Found::Same);
        }
        OVERLAYFS => inode,
        _ => inode && dev(stat) == file.dev,
    };
    // A number is used again as soon as its file is gone. No file was born after it was opened.
    let has_btime = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let is_younger = has_btime && ns(&stat.stx_btime) > file.ctime_ns;
    if !is_regular(stat) || !is_it || is_younger {
        return None;
    }
    // Whatever writes to a file sets its times of modification and of change to now. The change of a mode, an owner, a
    // name or a link leaves the first one as it was: not later than the last change before the open.
    let unwritten = stat.stx_size == *size && ns(&stat.stx_mtime) <= file.ctime_ns;
    Some(if same_ctime || unwritten { Found::Same } else { Found::Changed })
}

fn beginning(file: &OwnedFd) -> Result<Vec<u8>, HeadRefusal> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    // Without O_NOATIME a look changes the file; only its owner may ask for that.
    let opened = openat(CWD, &path, READS | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(CWD, &path, READS, Mode::empty()));
    let file = opened.map_err(|_ignored| HeadRefusal::Denied)?;
    let mut text = Vec::new();
    let mut is_cut = read_up_to(&file, FIRST_BYTES, &mut text)?;
    if is_cut && pem::needs_more(&text) {
        is_cut = read_up_to(&file, MOST_BYTES, &mut text)?;
    }
    Ok(public_prefix::public_prefix(&text, is_cut))
}

/// Reads on until there are `most` bytes; whether the file may have more.
fn read_up_to(file: &OwnedFd, most: usize, text: &mut Vec<u8>) -> Result<bool, HeadRefusal> {
    let mut filled = text.len();
    text.resize(most, 0);
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(file, rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(_) => return Err(HeadRefusal::Denied),
        }
    }
    text.truncate(filled);
    Ok(filled == most)
}

#[cfg(test)]
mod tests;
