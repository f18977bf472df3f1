//! Reads the beginning of a file that another process opened, without following anything that an attacker may have
//! put in its place meanwhile, and without asking a file system that may never answer.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, open, openat, openat2,
    statx,
};
use rustix::io::Errno;

use super::mounts::Mounts;
use super::places::{self, Places};
use super::protocol::{HeadAnswer, HeadQuestion, Refusal, Wanted};
use super::{look, pem, secrets};

/// Bytes of a head at most, as the contract says.
pub(super) const HEAD_BYTES: usize = 65_536;
/// Bytes that are read of every file: a line that begins in the head is read whole.
pub(super) const FIRST_BYTES: usize = HEAD_BYTES + pem::MOST_LINE;
/// Bytes that are read where the first ones are blocks that do not say what the file is: with room for the block that
/// does.
pub(super) const MOST_BYTES: usize = pem::MOST_BYTES + HEAD_BYTES;

const OVERLAYFS: u32 = 0x794c_7630;
const BTRFS: u32 = 0x9123_683e;
const BCACHEFS: u32 = 0xca45_1a4e;
/// File systems that show programs another device number than the kernel has.
pub(super) const WITHOUT_DEVICE: [(u32, &str); 3] =
    [(OVERLAYFS, "overlay"), (BTRFS, "btrfs"), (BCACHEFS, "bcachefs")];

/// Answers one question.
pub(super) fn read(wanted: &Wanted, places: &mut Places) -> HeadAnswer {
    match found(wanted, places) {
        Ok((file, size)) => HeadAnswer { head: beginning(&file), size: Some(size) },
        Err(refusal) => HeadAnswer { head: Err(refusal), size: None },
    }
}

/// The file, opened so that nothing happens to it yet.
fn found(wanted: &Wanted, places: &mut Places) -> Result<(OwnedFd, u64), Refusal> {
    let question = &wanted.file;
    let mut denied = false;
    let mut look = |pid| {
        let opened = root(pid).and_then(|root| below(&root, pid, &question.path));
        match opened {
            Ok(file) => return same(&file, pid, wanted).map(|size| (file, size)),
            Err(Errno::ACCESS | Errno::PERM) => denied = true,
            Err(_) => {}
        }
        None
    };
    let found = if question.nameless { None } else { by_name(question, places, &mut look) };
    // It may have lost its name since.
    let found = found.or_else(|| by_descriptor(wanted));
    found.ok_or(if denied { Refusal::Denied } else { Refusal::Gone })
}

/// By the process itself; when it is gone, by whoever sees the same: often that is the reader.
fn by_name<T>(
    question: &HeadQuestion,
    places: &mut Places,
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
fn is_there(question: &HeadQuestion) -> bool {
    question.mount_ns == 0 || places::mount_ns(question.pid) == Some(question.mount_ns)
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The directory that is `/` for a process.
fn root(pid: u32) -> Result<OwnedFd, Errno> {
    open(format!("/proc/{pid}/root"), DIRECTORY, Mode::empty())
}

/// Whether the reader has the process's mounts and root.
fn sees_the_same(question: &HeadQuestion) -> bool {
    let own = || {
        let mount_ns = places::mount_ns(std::process::id())?;
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
fn by_descriptor(wanted: &Wanted) -> Option<(OwnedFd, u64)> {
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
            || look::info(wanted.file.pid, OsStr::from_bytes(name.to_bytes()))
                .is_some_and(|(_, id)| mounts.kind(id).is_none_or(|(_, remote)| !remote))
    };
    let entries = entries.take(MOST).take_while(|_| start.elapsed() < LONGEST);
    entries.filter_map(Result::ok).find_map(|entry| {
        let name = entry.file_name();
        if !near(name) || !known(&directory, name).is_some_and(|stat| is_it(&stat, wanted)) {
            return None;
        }
        let file = openat(&directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        same(&file, wanted.file.pid, wanted).map(|size| (file, size))
    })
}

/// What the kernel knows of a file, without asking a server for news.
pub(super) fn known(directory: impl AsFd, name: impl rustix::path::Arg) -> Option<Statx> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::EMPTY_PATH;
    statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID).ok()
}

/// The file system that this is on, and whether it may never answer: as the process sees it, or else as the reader.
fn mount(file: &OwnedFd, theirs: &Mounts) -> Option<(String, bool)> {
    let id = known(file, "")?.stx_mnt_id;
    let owned = |(kind, remote): (&str, bool)| (kind.to_owned(), remote);
    theirs.kind(id).map(owned).or_else(|| Mounts::of(std::process::id()).kind(id).map(owned))
}

/// The size, if this is the file that the kernel meant, unchanged; it was found in the mounts of this process.
fn same(file: &OwnedFd, pid: u32, wanted: &Wanted) -> Option<u64> {
    let stat = known(file, "").filter(|stat| is_it(stat, wanted))?;
    let Some(kind) = without_device(wanted.file.sb_magic) else { return Some(stat.stx_size) };
    // A server can say any inode number and any time, but not what it is mounted as.
    let found = mount(file, &Mounts::of(pid));
    (found == Some((kind.to_owned(), false))).then_some(stat.stx_size)
}

/// The name of a file system whose device number does not tell.
fn without_device(sb_magic: u32) -> Option<&'static str> {
    WITHOUT_DEVICE.iter().find(|(magic, _)| *magic == sb_magic).map(|(_, kind)| *kind)
}

fn is_it(stat: &Statx, wanted: &Wanted) -> bool {
    let Wanted { file, size, .. } = wanted;
    let regular = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile;
    let inode = stat.stx_ino == file.inode;
    let mtime_ns =
        i128::from(stat.stx_mtime.tv_sec) * 1_000_000_000 + i128::from(stat.stx_mtime.tv_nsec);
    // The loss of its name is a change too, but none of what is in it.
    let only_nameless = stat.stx_nlink == 0 && mtime_ns <= file.ctime_ns;
    let unchanged = ctime_ns(stat) == file.ctime_ns || only_nameless;
    regular
        && match file.sb_magic {
            // Each subvolume has a device number that only programs see; what the kernel names is the file system's.
            BTRFS | BCACHEFS => inode && unchanged,
            // Of a file that was copied up programs see the number of the one below, and the kernel has that of the
            // one above; its change time is that of when it was last looked at. Both are never wrong for one file, and
            // its size is known.
            OVERLAYFS => stat.stx_size == *size && (inode || ctime_ns(stat) == file.ctime_ns),
            _ => inode && dev(stat) == file.dev && unchanged,
        }
}

pub(super) fn ctime_ns(stat: &Statx) -> i128 {
    i128::from(stat.stx_ctime.tv_sec) * 1_000_000_000 + i128::from(stat.stx_ctime.tv_nsec)
}

/// A device as the kernel keeps it, from the form that it shows to programs.
pub(super) fn dev(stat: &Statx) -> u32 {
    stat.stx_dev_major << 20 | stat.stx_dev_minor
}

fn beginning(file: &OwnedFd) -> Result<Vec<u8>, Refusal> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Without O_NOATIME a look changes the file; only its owner may ask for that.
    let opened = openat(CWD, &path, flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(CWD, &path, flags, Mode::empty()));
    let file = opened.map_err(|_ignored| Refusal::Denied)?;
    let mut text = Vec::new();
    let mut is_cut = read_up_to(&file, FIRST_BYTES, &mut text)?;
    if is_cut && pem::needs_more(&text) {
        is_cut = read_up_to(&file, MOST_BYTES, &mut text)?;
    }
    Ok(secrets::visible(&text, is_cut))
}

/// Reads on until there are `most` bytes; whether the file may have more.
fn read_up_to(file: &OwnedFd, most: usize, text: &mut Vec<u8>) -> Result<bool, Refusal> {
    let mut filled = text.len();
    text.resize(most, 0);
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(file, rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(_) => return Err(Refusal::Denied),
        }
    }
    text.truncate(filled);
    Ok(filled == most)
}

#[cfg(test)]
mod tests {
    use super::super::aside::Aside;
    use super::*;
    use std::fs;

    const EXT4: u32 = 0xef53;

    /// A file, and the question that the kernel's words on it make.
    fn asked(sb_magic: u32) -> (tempfile::TempDir, Statx, Wanted) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        fs::write(&path, "x").unwrap();
        let stat = known(CWD, &path).unwrap();
        let file = HeadQuestion {
            pid: std::process::id(),
            nameless: false,
            mount_ns: 0,
            root: (0, 0),
            path: path.into_os_string().into_encoded_bytes(),
            dev: dev(&stat),
            inode: stat.stx_ino,
            ctime_ns: ctime_ns(&stat),
            sb_magic,
        };
        let wanted = Wanted { file, uid: 0, size: stat.stx_size };
        (dir, stat, wanted)
    }

    /// Changes one thing after the other, and tells for which of them it is the same file still.
    fn same_with(sb_magic: u32) -> [bool; 5] {
        let (_dir, stat, wanted) = asked(sb_magic);
        assert!(is_it(&stat, &wanted));
        let changes: [fn(&mut Statx); 5] = [
            |stat| stat.stx_ino += 1,
            |stat| stat.stx_dev_minor += 1,
            |stat| stat.stx_ctime.tv_sec += 1,
            |stat| stat.stx_size += 1,
            |stat| stat.stx_mode = 0o040_644,
        ];
        changes.map(|change| {
            let mut stat = stat;
            change(&mut stat);
            is_it(&stat, &wanted)
        })
    }

    #[test]
    fn what_tells_a_file_from_another_depends_on_its_file_system() {
        // Inode number, device, change time, size, no regular file.
        assert_eq!(same_with(EXT4), [false, false, false, true, false]);
        assert_eq!(same_with(BTRFS), [false, true, false, true, false]);
        assert_eq!(same_with(BCACHEFS), [false, true, false, true, false]);
        assert_eq!(same_with(OVERLAYFS), [true, true, true, false, false]);
        let (_dir, mut stat, wanted) = asked(OVERLAYFS);
        stat.stx_ino += 1;
        stat.stx_ctime.tv_sec += 1;
        assert!(!is_it(&stat, &wanted), "of inode number and change time one has to be right");
    }

    #[test]
    fn the_loss_of_its_name_leaves_a_file_what_it_was() {
        let (_dir, mut stat, wanted) = asked(EXT4);
        stat.stx_nlink = 0;
        stat.stx_ctime.tv_sec += 1;
        assert!(is_it(&stat, &wanted));
        stat.stx_mtime.tv_sec += 2;
        assert!(!is_it(&stat, &wanted), "it was written to since");
    }

    /// A server says any inode number and any time that it likes.
    #[test]
    fn a_file_system_without_device_numbers_is_known_by_its_mount() {
        let (_dir, _, mut wanted) = asked(EXT4);
        let mut places = Places::new(Aside::default());
        assert!(read(&wanted, &mut places).head.is_ok());
        for (sb_magic, _) in WITHOUT_DEVICE {
            wanted.file.sb_magic = sb_magic;
            let path = OsStr::from_bytes(&wanted.file.path);
            let file = open(path, OFlags::PATH, Mode::empty()).unwrap();
            let mounted = mount(&file, &Mounts::of(wanted.file.pid)).unwrap().0;
            let as_asked = without_device(sb_magic) == Some(mounted.as_str());
            assert_eq!(read(&wanted, &mut places).head.is_ok(), as_asked, "{mounted}");
        }
    }
}
