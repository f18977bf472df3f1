//! What the kernel said, decoded. Names are bytes: whoever chose them may be hostile.

use super::text::MISSING;

/// A record as it came from the ring buffer, or from a recording.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a>(pub &'a [u8]);

/// Names a process for ever: a pid alone is used again.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessKey {
    /// The thread group, in the tracer's pid namespace.
    pub tgid: u32,
    /// When its leader started, in nanoseconds of the boot clock.
    pub start_ns: u64,
}

/// A process name as the kernel keeps it: up to 15 bytes.
#[derive(Clone, Copy, Default, Hash, PartialEq, Eq)]
pub struct Comm([u8; 16]);

impl Comm {
    /// Takes the kernel's field; what follows the first NUL is dropped.
    pub fn new(raw: [u8; 16]) -> Comm {
        let mut ended = false;
        Comm(raw.map(|byte| {
            ended |= byte == 0;
            if ended { 0 } else { byte }
        }))
    }

    /// The name, without NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        self.0.split_at(end).0
    }
}

impl std::fmt::Debug for Comm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// How much of a path there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathState {
    /// All of it.
    #[default]
    Complete,
    /// Its beginning is missing: it begins with `…/`.
    Truncated,
    /// Part of it could not be read: it begins with `…/`.
    Unreadable,
}

/// A path as the process's root sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelPath {
    /// The bytes, absolute.
    pub bytes: Vec<u8>,
    /// Whether that is all.
    pub state: PathState,
    /// It is outside the process's root: the path from its mount's root.
    pub unreachable: bool,
    /// The file has no name any more.
    pub deleted: bool,
    /// No file of a directory tree: a memfd, a pipe.
    pub pseudo: bool,
}

impl KernelPath {
    /// What follows the last slash.
    pub fn file_name(&self) -> &[u8] {
        self.bytes.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// With `…` in front, where the path does not begin at the process's root and does not say so itself.
    pub fn marked(&self) -> Option<Vec<u8>> {
        let says = self.bytes.starts_with(MISSING.as_bytes());
        (self.unreachable && !says).then(|| [MISSING.as_bytes(), &self.bytes].concat())
    }
}

/// A file and what the kernel knew of it at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenedFile {
    /// Where it is.
    pub path: KernelPath,
    /// Device of its superblock: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Change time in nanoseconds since 1970.
    pub ctime_ns: i128,
    /// Magic number of its superblock.
    pub sb_magic: u32,
    /// Its superblock belongs to another user namespace than the initial one.
    pub foreign_user_ns: bool,
    /// The open created or truncated it: there was no content.
    pub created: bool,
}

/// Whether a file that last changed at `ctime_ns` shows in its change time when it changes again at `now_ns` or later;
/// both in nanoseconds since 1970.
pub fn is_settled(ctime_ns: i128, now_ns: i128) -> bool {
    /// The kernel's clock for files ticks that often, with room.
    const YOUNG_NS: i128 = 50_000_000;
    /// The same where the file system keeps whole seconds, or two.
    const YOUNG_WHOLE_NS: i128 = 2_000_000_000;
    let young = if ctime_ns % 1_000_000_000 == 0 { YOUNG_WHOLE_NS } else { YOUNG_NS };
    now_ns - ctime_ns >= young
}

/// The command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The arguments, each followed by a NUL.
    pub bytes: Vec<u8>,
    /// There was more.
    pub truncated: bool,
}

impl Arguments {
    /// The arguments one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.bytes.strip_suffix(b"\0").unwrap_or(&self.bytes);
        let none = self.bytes.is_empty();
        all.split(|&byte| byte == 0).filter(move |_| !none)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelWhat {
    /// A file was opened.
    FileOpen {
        /// The file.
        file: OpenedFile,
        /// Flags as the caller gave them.
        flags: u32,
    },
    /// A file's code was mapped.
    LibLoad {
        /// The file.
        file: OpenedFile,
    },
    /// Another program runs.
    Exec {
        /// The executable.
        exe: OpenedFile,
        /// The command line.
        arguments: Arguments,
    },
    /// The process ended.
    Exit {
        /// As `wait` would give it.
        wait_status: u32,
    },
    /// The process was made.
    Fork,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEvent {
    /// When, in nanoseconds of the boot clock.
    pub ts_ns: u64,
    /// Which process.
    pub process: ProcessKey,
    /// Which of its program images.
    pub exec_id: u64,
    /// Which thread.
    pub tid: u32,
    /// Its parent; 0 when that is outside the tracer's pid namespace.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name of the thread group's leader.
    pub comm: Comm,
    /// Inode number of its mount namespace.
    pub mount_ns: u32,
    /// Id of its cgroup.
    pub cgroup_id: u64,
    /// Device and inode number of its root directory.
    pub root: (u32, u64),
    /// What happened.
    pub what: KernelWhat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_would_not_show_is_not_forgotten() {
        const SECOND: i128 = 1_000_000_000;
        let settled =
            |ctime_ns: i128, ms_later: i128| is_settled(ctime_ns, ctime_ns + ms_later * 1_000_000);
        assert_eq!([49, 50].map(|later| settled(7 * SECOND + 1, later)), [false, true]);
        // Whole seconds, or even two of them, are all that this file system has.
        assert_eq!([50, 1999, 2000].map(|later| settled(8 * SECOND, later)), [false, false, true]);
        assert!(!settled(7 * SECOND + 1, -10_000), "a clock that was set back");
    }
}
