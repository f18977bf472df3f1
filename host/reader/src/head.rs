//! Reads the head of a file that another process opened, without following symlinks that an attacker may have substituted
//! after the open, and without access to remote file systems, which may block indefinitely.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, open, openat, openat2,
};
use rustix::io::Errno;

use super::descriptors::Descriptors;
use super::mount_namespaces::{self, MountNamespaces};
use super::mounts::Mounts;
use super::other_tracer::OtherTracers;
use super::proc_probe::ProbePool;
use super::protocol::{
    Found, HEAD_BYTES, HeadRefusal, HeadRequest, HeadResponse, TimedHead, Wanted,
};
use super::statx::{cached, ctime_ns, dev, file_stat, ns};
use super::{cost, listing, pem, public_prefix, visible};
use crypto_tracer_event::PemBlock;
use crypto_tracer_system::fs_magic::{BCACHEFS, BTRFS, OVERLAYFS, without_device};

/// Bytes read of every file, so that a BEGIN line that starts within the head is complete.
pub(super) const FIRST_BYTES: usize = HEAD_BYTES + pem::MAX_LINE;
/// Read limit if the head has PEM blocks but none that determines the type. Includes room for the block that does.
pub(super) const MAX_BYTES: usize = pem::MAX_BYTES + HEAD_BYTES;

/// How long the searches for one file may take together: its user is charged for them, but the files that follow wait.
const SEARCH_TIMEOUT: Duration = Duration::from_millis(20);

/// Flags with which the reader opens files; `other_tracer` detects another tracer's reader by them.
pub(super) const OPEN_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// What the reads of heads share.
#[derive(Clone, Debug)]
pub(super) struct HeadContext {
    namespaces: Arc<MountNamespaces>,
    other_tracers: Arc<Mutex<OtherTracers>>,
    /// Only for the files of one request: descriptors change.
    descriptors: Arc<Descriptors>,
}

impl HeadContext {
    pub(super) fn new(probes: ProbePool) -> HeadContext {
        HeadContext {
            namespaces: Arc::new(MountNamespaces::new(probes)),
            other_tracers: Arc::default(),
            descriptors: Arc::default(),
        }
    }

    /// The processes by mount namespace.
    pub(super) fn namespaces(&self) -> &MountNamespaces {
        &self.namespaces
    }

    /// Whether the file was opened by another tracer's reader, for which it is not read.
    pub(super) fn is_other_tracers(&self, wanted: &Wanted) -> bool {
        wanted.maybe_reader.is_some_and(|process| {
            let mut known = self.other_tracers.lock().unwrap_or_else(PoisonError::into_inner);
            known.contains(process)
        })
    }

    /// The context for the files of a new request.
    pub(super) fn for_request(&self) -> HeadContext {
        HeadContext { descriptors: Arc::default(), ..self.clone() }
    }
}

/// Reads the head of one file, and returns what that cost.
pub(super) fn read_timed(wanted: &Wanted, context: &HeadContext) -> TimedHead {
    let (response, took) = cost::of(|| read(wanted, context));
    TimedHead { response: Some(response), took }
}

/// Reads the head of one file.
fn read(wanted: &Wanted, context: &HeadContext) -> HeadResponse {
    read_part(wanted, context, |file| read_head(file, wanted.blocks))
}

/// What is read of the content of a file.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) bytes: Vec<u8>,
    pub(super) blocks: Vec<PemBlock>,
}

/// Reads a part of one file. `read` gets the file, open for reading.
pub(super) fn read_part(
    wanted: &Wanted,
    context: &HeadContext,
    read: impl FnOnce(&OwnedFd) -> Result<Part, HeadRefusal>,
) -> HeadResponse {
    if context.is_other_tracers(wanted) {
        return HeadResponse::OTHER_TRACER;
    }
    let File { fd, stat, found } = match find(wanted, context) {
        Ok(file) => file,
        Err(refusal) => return HeadResponse::refused(refusal),
    };
    let is_opened = found != Found::Replaced;
    // Content written after the open of an empty file must not be used.
    let is_empty = is_opened && wanted.size == 0;
    let part =
        if is_empty { Ok(Part::default()) } else { open_to_read(&fd).and_then(|file| read(&file)) };
    let (head, blocks) = match part {
        Ok(Part { bytes, blocks }) => (Ok(bytes), blocks),
        Err(refusal) => (Err(refusal), Vec::new()),
    };
    HeadResponse {
        head,
        size: is_opened.then_some(if is_empty { 0 } else { stat.stx_size }),
        found,
        stat: is_opened.then(|| file_stat(&stat)),
        blocks,
    }
}

/// A file that is open with `O_PATH`, which has no effect on the file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) fd: OwnedFd,
    stat: Statx,
    pub(super) found: Found,
}

/// Finds the file by its path, by a descriptor, or by another name in its directory; falls back to the file now at that
/// path.
pub(super) fn find(wanted: &Wanted, context: &HeadContext) -> Result<File, HeadRefusal> {
    let HeadContext { namespaces, descriptors, .. } = context;
    let until = Instant::now() + SEARCH_TIMEOUT;
    let request = &wanted.file;
    let (mut denied, mut replacement) = (false, None);
    let mut look_up = |pid| {
        match root(pid).and_then(|root| open_below(&root, pid, &request.path)) {
            Ok(fd) => match identify(fd, pid, wanted) {
                Ok(file) => return Some(file),
                Err(fd) if replacement.is_none() && has_view_of_opener(pid, request) => {
                    replacement = as_replacement(fd, pid, wanted);
                }
                Err(_) => {}
            },
            Err(Errno::ACCESS | Errno::PERM) => denied = true,
            Err(_) => {}
        }
        None
    };
    if request.nameless {
        return by_descriptor(wanted, descriptors, until).ok_or(HeadRefusal::Gone);
    }
    with_view_of_opener(request, namespaces, &mut look_up)
        // The file may have been unlinked or renamed after the open.
        .or_else(|| by_descriptor(wanted, descriptors, until))
        .or_else(|| with_view_of_opener(request, namespaces, |pid| renamed(pid, wanted, until)))
        .or(replacement)
        .ok_or(if denied { HeadRefusal::Denied } else { HeadRefusal::Gone })
}

/// Whether `pid` sees the opener's mount namespace and root. The opener's PID may have been reused.
pub(super) fn has_view_of_opener(pid: u32, request: &HeadRequest) -> bool {
    request.mount_ns == 0 || mount_namespaces::has_same_view(pid, request)
}

/// Accepts the file that has the path now, if it is a regular file on the same file system. Other files, such as
/// devices and files of the kernel, are not read.
fn as_replacement(fd: OwnedFd, pid: u32, wanted: &Wanted) -> Option<File> {
    let stat = cached(&fd, "").filter(is_regular)?;
    is_on_same_file_system(&fd, &stat, pid, wanted).then_some(File {
        fd,
        stat,
        found: Found::Replaced,
    })
}

/// Whether `fd` is on the file system of the requested file.
fn is_on_same_file_system(fd: &OwnedFd, stat: &Statx, pid: u32, wanted: &Wanted) -> bool {
    match without_device(wanted.file.sb_magic) {
        // A file server can report any inode number and time, but it cannot forge the type of the mount.
        Some(kind) => mount_of(fd, &Mounts::of(pid)) == Some((kind.to_owned(), false)),
        None => dev(stat) == wanted.file.dev,
    }
}

/// Searches the directory of the file for its inode number under another name.
fn renamed(pid: u32, wanted: &Wanted, until: Instant) -> Option<File> {
    /// Maximum number of directory entries.
    const MAX_ENTRIES: usize = 16_384;
    let path = &wanted.file.path;
    let (directory, _) = path.split_at(path.iter().rposition(|&byte| byte == b'/')?);
    let directory = open_below(&root(pid).ok()?, pid, directory).ok()?;
    // The directory may be remote even if the file was local: the file may have been a mount point.
    let stat = cached(&directory, "")?;
    if !is_on_same_file_system(&directory, &stat, pid, wanted) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = openat(&directory, ".", flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(&directory, ".", flags, Mode::empty()));
    let entries = rustix::fs::Dir::read_from(readable.ok()?).ok()?;
    let entries = entries.take(MAX_ENTRIES).take_while(|_| Instant::now() < until);
    entries.filter_map(Result::ok).filter(|entry| entry.ino() == wanted.file.inode).find_map(
        |entry| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH
                | ResolveFlags::NO_XDEV
                | ResolveFlags::NO_MAGICLINKS
                | ResolveFlags::NO_SYMLINKS;
            let fd = openat2(&directory, entry.file_name(), flags, Mode::empty(), resolve).ok()?;
            identify(fd, pid, wanted).ok()
        },
    )
}

/// Calls `look_up` with the process that opened the file, then, if it finds nothing, with processes that share its view
/// of the file system, often the reader itself.
pub(super) fn with_view_of_opener<T>(
    request: &HeadRequest,
    namespaces: &MountNamespaces,
    mut look_up: impl FnMut(u32) -> Option<T>,
) -> Option<T> {
    if let Some(found) = look_up(request.pid) {
        return Some(found);
    }
    if has_view_of_reader(request) {
        return look_up(std::process::id());
    }
    let others =
        if is_in_namespace(request) { Vec::new() } else { namespaces.substitutes(request) };
    others.into_iter().find_map(look_up)
}

/// Whether the process still runs in its mount namespace. Then no substitute is needed.
fn is_in_namespace(request: &HeadRequest) -> bool {
    request.mount_ns == 0 || mount_namespaces::mount_ns(request.pid) == Some(request.mount_ns)
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the root directory of a process.
pub(super) fn root(pid: u32) -> Result<OwnedFd, Errno> {
    open(format!("/proc/{pid}/root"), DIRECTORY, Mode::empty())
}

/// Whether the process that opened the file has the mount namespace and root of the reader.
fn has_view_of_reader(request: &HeadRequest) -> bool {
    let own = || {
        let mount_ns = mount_namespaces::mount_ns(std::process::id())?;
        let root = open("/", DIRECTORY, Mode::empty()).ok()?;
        let stat = cached(&root, "")?;
        Some((mount_ns, (dev(&stat), stat.stx_ino)))
    };
    own() == Some((request.mount_ns, request.root))
}

/// Opens this path with `O_PATH` below `root`, the root of the process. Fails if a component is a symlink.
pub(super) fn open_below(root: &OwnedFd, pid: u32, path: &[u8]) -> Result<OwnedFd, Errno> {
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    let (_, relative) = path.split_at(start);
    let relative = if relative.is_empty() { b"." } else { relative };
    let open = |extra: ResolveFlags| {
        openat2(
            root,
            OsStr::from_bytes(relative),
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS | extra,
        )
    };
    // A lookup in the dentry cache does not query the file system. A file that was just opened is normally cached.
    match open(ResolveFlags::CACHED) {
        // Kernels before 5.12 do not support the flag.
        Err(Errno::AGAIN | Errno::INVAL) => {}
        result => return result,
    }
    // mountinfo omits the root's mount if a chroot points inside it.
    let mounts = Mounts::of(pid);
    let may_block =
        mounts.may_block(path) || mount_of(root, &mounts).is_none_or(|(_, remote)| remote);
    if may_block {
        return Err(Errno::ACCESS);
    }
    open(ResolveFlags::empty())
}

/// Searches the descriptors of the process for the file.
fn by_descriptor(wanted: &Wanted, descriptors: &Descriptors, until: Instant) -> Option<File> {
    let pid = wanted.file.pid;
    let table = descriptors.of(pid, until)?;
    table.candidates(wanted).find_map(|name| {
        let file = table.open(name)?;
        identify(file, pid, wanted).ok()
    })
}

/// Returns the file system type of the file, and whether it may block; looked up in the process's mounts, then the
/// reader's.
fn mount_of(file: &OwnedFd, mounts: &Mounts) -> Option<(String, bool)> {
    let id = cached(file, "")?.stx_mnt_id;
    let owned = |(kind, remote): (&str, bool)| (kind.to_owned(), remote);
    mounts.kind(id).map(owned).or_else(|| Mounts::of(std::process::id()).kind(id).map(owned))
}

/// Accepts `fd` if it is the requested file, and returns `fd` otherwise. `pid`: the process whose
/// mountinfo has the file's mount.
fn identify(fd: OwnedFd, pid: u32, wanted: &Wanted) -> Result<File, OwnedFd> {
    let stat = cached(&fd, "");
    let found = stat.as_ref().and_then(|stat| compare(stat, wanted));
    match (stat, found) {
        (Some(stat), Some(found)) if is_on_same_file_system(&fd, &stat, pid, wanted) => {
            Ok(File { fd, stat, found })
        }
        _ => Err(fd),
    }
}

fn is_regular(stat: &Statx) -> bool {
    FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile
}

/// Compares a file with the requested one. Returns whether it was modified after the open; `None` for another file.
pub(super) fn compare(stat: &Statx, wanted: &Wanted) -> Option<Found> {
    let Wanted { file, size, .. } = wanted;
    let same_inode = stat.stx_ino == file.inode;
    let same_ctime = ctime_ns(stat) == file.ctime_ns;
    let is_same_file = match file.sb_magic {
        // `stat` shows a device number per subvolume, the kernel side that of the superblock.
        BTRFS | BCACHEFS => same_inode,
        // After a copy-up, `stat` shows the inode number of the lower file, and the kernel side that of the upper file.
        // The change time that the kernel side reads may be stale. For the same file at least one of the two matches,
        // and the size is known.
        OVERLAYFS if stat.stx_size == *size && (same_inode || same_ctime) => {
            return is_regular(stat).then_some(Found::Same);
        }
        OVERLAYFS => same_inode,
        _ => same_inode && dev(stat) == file.dev,
    };
    // The inode number of a deleted file is reused, but a file cannot be created after it was opened.
    let has_btime = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let is_newer = has_btime && ns(&stat.stx_btime) > file.ctime_ns;
    if !is_regular(stat) || !is_same_file || is_newer {
        return None;
    }
    // A write sets mtime and ctime to the current time. A change of mode, owner, name or link count does not change
    // mtime, which is then not later than ctime at the open.
    let is_unmodified = stat.stx_size == *size && ns(&stat.stx_mtime) <= file.ctime_ns;
    Some(if same_ctime || is_unmodified { Found::Same } else { Found::Changed })
}

/// Opens for reading what is open with `O_PATH`.
fn open_to_read(file: &OwnedFd) -> Result<OwnedFd, HeadRefusal> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    // Without O_NOATIME a read updates the access time. The flag requires ownership of the file.
    let opened = openat(CWD, &path, OPEN_FLAGS | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(CWD, &path, OPEN_FLAGS, Mode::empty()));
    opened.map_err(|_ignored| HeadRefusal::Denied)
}

/// Reads the public part of the head and, if requested, the PEM blocks of the visible part.
fn read_head(file: &OwnedFd, wants_blocks: bool) -> Result<Part, HeadRefusal> {
    let mut text = Vec::new();
    let mut is_truncated = read_up_to(file, FIRST_BYTES, &mut text)?;
    if is_truncated && pem::needs_more(&text) {
        is_truncated = read_up_to(file, MAX_BYTES, &mut text)?;
    }
    // The head does not depend on whether more is read for the blocks.
    let bytes = public_prefix::public_prefix(&text, is_truncated);
    if !wants_blocks {
        return Ok(Part { bytes, blocks: Vec::new() });
    }
    let is_pem = || pem::begins_early(&pem::blocks(&text));
    if is_truncated && text.len() < visible::READ_BYTES && is_pem() {
        read_up_to(file, visible::READ_BYTES, &mut text)?;
    }
    Ok(Part { bytes, blocks: listing::list(&text) })
}

/// Continues to read until `text` has `max` bytes. Returns whether the file may have more.
pub(super) fn read_up_to(
    file: &OwnedFd,
    max: usize,
    text: &mut Vec<u8>,
) -> Result<bool, HeadRefusal> {
    let mut filled = text.len();
    text.resize(max, 0);
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(file, rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(_) => return Err(HeadRefusal::Denied),
        }
    }
    text.truncate(filled);
    Ok(filled == max)
}

#[cfg(test)]
mod tests;
