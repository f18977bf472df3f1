//! Reads the beginning of a file that another process opened, without following anything that an attacker may have
//! put in its place meanwhile.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2};
use rustix::io::Errno;

use super::protocol::{HeadAnswer, HeadQuestion, Refusal};
use super::secrets;

/// Bytes that are read at most, as the contract says.
pub(super) const HEAD_BYTES: usize = 65_536;

/// File systems where the inode that the kernel names is not the one that stat names.
const INODE_DIFFERS: [u32; 3] = [OVERLAYFS, BTRFS, BCACHEFS];
const OVERLAYFS: u32 = 0x794c_7630;
const BTRFS: u32 = 0x9123_683e;
const BCACHEFS: u32 = 0xca45_1a4e;

/// Answers one question.
pub(super) fn read(question: &HeadQuestion) -> HeadAnswer {
    match found(question) {
        Ok((file, size)) => HeadAnswer { head: beginning(&file), size: Some(size) },
        Err(refusal) => HeadAnswer { head: Err(refusal), size: None },
    }
}

/// The file, opened so that nothing happens to it yet.
fn found(question: &HeadQuestion) -> Result<(OwnedFd, u64), Refusal> {
    let mut denied = false;
    for root in roots(question) {
        let opened = match &root {
            Ok(root) if !question.nameless => below(root, &question.path),
            Ok(_) => Err(Errno::NOENT),
            Err(error) => Err(*error),
        };
        match opened {
            Ok(file) => {
                if let Some(size) = same(&file, question) {
                    return Ok((file, size));
                }
            }
            Err(Errno::ACCESS | Errno::PERM) => denied = true,
            Err(_) => {}
        }
    }
    if let Some(found) = by_descriptor(question) {
        return Ok(found);
    }
    Err(if denied { Refusal::Denied } else { Refusal::Gone })
}

/// Directories below which the path may be looked up: the process's own root; when it is gone, the reader's, if that
/// is the same one.
fn roots(question: &HeadQuestion) -> impl Iterator<Item = Result<OwnedFd, Errno>> {
    const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    let theirs = format!("/proc/{}/root", question.pid);
    let wanted = (question.mount_ns, question.root);
    let own = move || {
        let mount_ns = u32::try_from(rustix::fs::stat("/proc/self/ns/mnt").ok()?.st_ino).ok()?;
        let root = open("/", DIRECTORY, Mode::empty()).ok()?;
        let stat = fstat(&root).ok()?;
        let is_it = wanted == (mount_ns, (kernel_dev(stat.st_dev), stat.st_ino));
        is_it.then_some(Ok(root))
    };
    std::iter::once_with(move || open(&theirs, DIRECTORY, Mode::empty()))
        .chain(std::iter::once_with(own).flatten())
}

fn below(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    let (_, path) = path.split_at(start);
    openat2(
        root,
        OsStr::from_bytes(path),
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS,
    )
}

/// A file without a name, if the process still has it open.
fn by_descriptor(question: &HeadQuestion) -> Option<(OwnedFd, u64)> {
    /// Descriptors that are looked at: a process may have a million.
    const MOST: usize = 1024;
    if !question.nameless {
        return None;
    }
    let directory = format!("/proc/{}/fd", question.pid);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(&directory, flags, Mode::empty()).ok()?;
    let entries = rustix::fs::Dir::read_from(&directory).ok()?;
    entries.take(MOST).filter_map(Result::ok).find_map(|entry| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = openat(&directory, entry.file_name(), flags, Mode::empty()).ok()?;
        same(&file, question).map(|size| (file, size))
    })
}

/// The size, if this is the file that the kernel meant, unchanged.
fn same(file: &OwnedFd, question: &HeadQuestion) -> Option<u64> {
    let stat = fstat(file).ok()?;
    let ctime_ns = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
    let loose = INODE_DIFFERS.contains(&question.sb_magic);
    let same_file =
        loose || (stat.st_ino == question.inode && kernel_dev(stat.st_dev) == question.dev);
    let same_content = question.sb_magic == OVERLAYFS || ctime_ns == question.ctime_ns;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    (regular && same_file && same_content).then(|| u64::try_from(stat.st_size).unwrap_or(0))
}

/// A device as the kernel keeps it, from the form that it shows to programs.
pub(super) fn kernel_dev(dev: u64) -> u32 {
    rustix::fs::major(dev) << 20 | rustix::fs::minor(dev)
}

fn beginning(file: &OwnedFd) -> Result<Vec<u8>, Refusal> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Without O_NOATIME a look changes the file; only its owner may ask for that.
    let opened = openat(CWD, &path, flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(CWD, &path, flags, Mode::empty()));
    let file = opened.map_err(|_ignored| Refusal::Denied)?;
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(_) => return Err(Refusal::Denied),
        }
    }
    head.truncate(filled);
    Ok(secrets::visible(&head))
}
