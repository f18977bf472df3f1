//! Finds file systems that may block indefinitely, from a process's `mountinfo`, without access to those file systems.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, open, stat};

use super::procfs;
use crypto_tracer_system::mountinfo::{self, MountInfo};

/// File systems that another machine or a user process serves and that may therefore block, by their names in
/// mountinfo.
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
/// Stacked file systems. One that an unprivileged user has mounted in its own namespaces may have a blocking lower
/// layer. The other file systems that such a user may mount are in memory and do not block.
const STACKED: [&str; 3] = ["overlay", "aufs", "shiftfs"];

/// The mounts that a process sees.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    by_id: HashMap<u64, Mount>,
}

#[derive(Debug)]
struct Mount {
    /// Mount point, as the process sees it.
    point: Vec<u8>,
    kind: String,
    remote: bool,
}

impl Mounts {
    /// Reads the mounts of a process; empty if its mountinfo cannot be read.
    pub(super) fn of(pid: u32) -> Mounts {
        let mountinfo = procfs::read(pid, "mountinfo").unwrap_or_default();
        Mounts::parse(&mountinfo, !belongs_to_our_user_ns(pid))
    }

    /// `foreign`: the mount namespace belongs to another user namespace, in which any user may be root.
    pub(super) fn parse(mountinfo: &[u8], foreign: bool) -> Mounts {
        let mount = |mount: MountInfo| {
            let MountInfo { id, point, kind, .. } = mount;
            let remote = REMOTE.contains(&kind.as_str())
                || kind.starts_with("fuse.")
                || foreign && STACKED.contains(&kind.as_str());
            (id, Mount { point, kind, remote })
        };
        Mounts { by_id: mountinfo::parse(mountinfo).map(mount).collect() }
    }

    /// Returns the file system type of a mount, and whether it may block. `None`: the process does not see this mount.
    pub(super) fn kind(&self, id: u64) -> Option<(&str, bool)> {
        self.by_id.get(&id).map(|mount| (mount.kind.as_str(), mount.remote))
    }

    /// Whether any file system may block.
    pub(super) fn has_remote(&self) -> bool {
        self.by_id.values().any(|mount| mount.remote)
    }

    /// Whether a lookup of this path may block. A local mount below a remote one does not help, because the lookup
    /// passes through the remote one.
    pub(super) fn may_block(&self, path: &[u8]) -> bool {
        self.by_id.values().any(|mount| mount.remote && is_below(path, &mount.point))
    }
}

fn is_below(path: &[u8], point: &[u8]) -> bool {
    let point = point.strip_suffix(b"/").unwrap_or(point);
    path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether the mount namespace of the process belongs to our user namespace, so that only a user who is root there may
/// mount in it. The user namespace of the process itself is not sufficient: root may have entered the mount namespace
/// of an unprivileged user.
fn belongs_to_our_user_ns(pid: u32) -> bool {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    let owner = || {
        let namespace =
            open(format!("/proc/{pid}/ns/mnt"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        // SAFETY: the call takes no argument and returns a new descriptor or an error.
        let owner = unsafe { libc::ioctl(namespace.ok()?.as_raw_fd(), NS_GET_USERNS) };
        // SAFETY: the descriptor is new, so no other value owns it.
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
    fn parses_file_system_types_and_whether_they_may_block() {
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
    fn a_path_through_a_remote_mount_may_block() {
        let mounts = Mounts::parse(MOUNTINFO, false);
        for (path, may_block) in [
            (&b"/etc/a.pem"[..], false),
            (b"/mnt/a b", true),
            (b"/mnt/a b/c.pem", true),
            (b"/mnt/a bc/c.pem", false),
            (b"/mnt/a b/file", true),
            (b"/n/x", true),
            (b"/over/x", false),
        ] {
            assert_eq!(mounts.may_block(path), may_block, "{}", path.escape_ascii());
        }
        let root = Mounts::parse(b"1 0 0:5 / / rw - fuse.x y rw\n", false);
        assert!(root.may_block(b"/a"));
    }

    #[test]
    fn our_mounts_belong_to_our_user_namespace() {
        assert!(belongs_to_our_user_ns(std::process::id()));
        assert!(!belongs_to_our_user_ns(u32::MAX), "no such process");
    }
}
