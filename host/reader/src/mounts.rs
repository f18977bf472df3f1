//! Which file systems may never answer: what the mounts of a process tell, without touching any of them.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, open, stat};

use super::procfs;

/// File systems where somebody else decides when, and whether, they answer; by the names that mountinfo has.
const REMOTE: [&str; 21] = [
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
    "pvfs2",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
];
/// File systems that show what is on others. What an ordinary user has mounted in his own namespaces may show what never
/// answers; other file systems that he may mount are in memory, and answer.
const STACKED: [&str; 3] = ["overlay", "aufs", "shiftfs"];

/// The mounts that a process sees.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    by_id: HashMap<u64, Mount>,
}

#[derive(Debug)]
struct Mount {
    /// Where, as the process sees it.
    point: Vec<u8>,
    kind: String,
    remote: bool,
}

impl Mounts {
    /// As far as they are to be known.
    pub(super) fn of(pid: u32) -> Mounts {
        Mounts::parse(&procfs::text(pid, "mountinfo").unwrap_or_default(), !made_by_us(pid))
    }

    /// `foreign`: whose they are, anybody may have become root in namespaces of his own.
    fn parse(mountinfo: &[u8], foreign: bool) -> Mounts {
        let line = |line: &[u8]| {
            let text = String::from_utf8_lossy(line);
            let (before, behind) = text.split_once(" - ")?;
            let id = before.split(' ').next()?.parse().ok()?;
            let kind = behind.split(' ').next()?.to_owned();
            let point = unescaped(line.split(|&byte| byte == b' ').nth(4)?);
            let remote = REMOTE.contains(&kind.as_str())
                || kind.starts_with("fuse.")
                || foreign && STACKED.contains(&kind.as_str());
            Some((id, Mount { point, kind, remote }))
        };
        Mounts { by_id: mountinfo.split(|&byte| byte == b'\n').filter_map(line).collect() }
    }

    /// The file system of a mount, and whether it may never answer. None: the process does not see this mount.
    pub(super) fn kind(&self, id: u64) -> Option<(&str, bool)> {
        self.by_id.get(&id).map(|mount| (mount.kind.as_str(), mount.remote))
    }

    /// Whether there is any that may never answer.
    pub(super) fn have_remote(&self) -> bool {
        self.by_id.values().any(|mount| mount.remote)
    }

    /// Whether somebody who follows this path may come to where nobody answers. What is mounted over such a place does
    /// not count: the way there leads through it.
    pub(super) fn lead_away(&self, path: &[u8]) -> bool {
        self.by_id.values().any(|mount| mount.remote && is_below(path, &mount.point))
    }
}

fn is_below(path: &[u8], point: &[u8]) -> bool {
    let point = point.strip_suffix(b"/").unwrap_or(point);
    path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Space, tab, line end and backslash stand as `\040` and the like.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let number = (first == b'\\')
            .then(|| behind.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match number {
            Some(byte) => {
                out.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = behind;
            }
        }
    }
    out
}

/// Whether the process's mounts were made by who is root where we are: its mount namespace belongs to our user
/// namespace. The process's own user namespace does not tell: root may have entered an ordinary user's mounts.
fn made_by_us(pid: u32) -> bool {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    let owner = || {
        let namespace =
            open(format!("/proc/{pid}/ns/mnt"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        // SAFETY: the call takes no argument, and gives a new descriptor or an error.
        let owner = unsafe { libc::ioctl(namespace.ok()?.as_raw_fd(), NS_GET_USERNS) };
        // SAFETY: it is new, and nobody else's.
        let owner = (owner >= 0).then(|| unsafe { OwnedFd::from_raw_fd(owner) })?;
        fstat(&owner).ok().map(|stat| stat.st_ino)
    };
    let ours = stat("/proc/self/ns/user").ok().map(|stat| stat.st_ino);
    ours.is_some() && owner() == ours
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
        23 22 0:41 / /mnt/a\\040b rw - fuse.sshfs x rw\nrubbish\n\
        24 22 0:42 / /n rw master:2 - nfs4 h:/ rw\n\
        25 22 0:43 / /over rw - overlay o rw\n\
        26 23 8:1 /x /mnt/a\\040b/file rw - ext4 /dev/sda1 rw\n";

    #[test]
    fn mounts_tell_their_file_system() {
        let mounts = Mounts::parse(MOUNTINFO, false);
        let remote = |id| mounts.kind(id).map(|(_, remote)| remote);
        assert_eq!(
            [22, 23, 24, 25, 26, 27].map(remote),
            [Some(false), Some(true), Some(true), Some(false), Some(false), None]
        );
        let foreign = Mounts::parse(MOUNTINFO, true);
        assert_eq!(foreign.kind(25), Some(("overlay", true)));
        assert_eq!(foreign.kind(22), Some(("ext4", false)));
    }

    #[test]
    fn a_path_through_what_never_answers() {
        let mounts = Mounts::parse(MOUNTINFO, false);
        for (path, leads_away) in [
            (&b"/etc/a.pem"[..], false),
            (b"/mnt/a b", true),
            (b"/mnt/a b/c.pem", true),
            (b"/mnt/a bc/c.pem", false),
            (b"/mnt/a b/file", true),
            (b"/n/x", true),
            (b"/over/x", false),
        ] {
            assert_eq!(mounts.lead_away(path), leads_away, "{}", path.escape_ascii());
        }
        let root = Mounts::parse(b"1 0 0:5 / / rw - fuse.x y rw\n", false);
        assert!(root.lead_away(b"/a"));
    }

    #[test]
    fn these_mounts_are_our_own() {
        assert!(made_by_us(std::process::id()));
        assert!(!made_by_us(u32::MAX), "nobody's");
    }
}
