//! Decoded kernel records. Names are bytes: an attacker may have chosen them.

use super::text::MISSING;

/// A record from the ring buffer or from a recording.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a>(pub &'a [u8]);

/// Identifies a process. A pid alone is ambiguous, because the kernel reuses it.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessKey {
    /// The thread group, in the tracer's pid namespace.
    pub tgid: u32,
    /// Start time of its leader, in nanoseconds of the boot clock.
    pub start_ns: u64,
}

/// A process name (`comm`): up to 15 bytes.
#[derive(Clone, Copy, Default, Hash, PartialEq, Eq)]
pub struct Comm([u8; 16]);

impl Comm {
    /// Decodes the kernel's field. Bytes after the first NUL are ignored.
    pub fn new(raw: [u8; 16]) -> Comm {
        let mut ended = false;
        Comm(raw.map(|byte| {
            ended |= byte == 0;
            if ended { 0 } else { byte }
        }))
    }

    /// Takes a name from another source, cut to the 15 bytes that the kernel keeps.
    pub fn from_name(name: &[u8]) -> Comm {
        let mut raw = [0; 16];
        raw.iter_mut().zip(name.iter().take(15)).for_each(|(to, from)| *to = *from);
        Comm::new(raw)
    }

    /// Returns the name without NUL.
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

/// Completeness of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathState {
    /// The whole path.
    #[default]
    Complete,
    /// The path is longer than the probe's buffer. Its beginning is missing, and it begins with `…/`.
    Truncated,
    /// Part of the path could not be read. It begins with `…/`.
    Unreadable,
}

/// A path relative to the process's root directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelPath {
    /// Bytes of the absolute path.
    pub bytes: Vec<u8>,
    /// Completeness.
    pub state: PathState,
    /// The file is outside the process's root: the path begins at its mount's root.
    pub unreachable: bool,
    /// The file was unlinked.
    pub deleted: bool,
    /// The file is not in a directory tree: a memfd, a pipe.
    pub pseudo: bool,
}

impl KernelPath {
    /// Returns the bytes after the last slash.
    pub fn file_name(&self) -> &[u8] {
        self.bytes.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// Returns the path with `…` in front if it is outside the process's root and has no such mark; `None` otherwise.
    pub fn marked(&self) -> Option<Vec<u8>> {
        let has_mark = self.bytes.starts_with(MISSING.as_bytes());
        (self.unreachable && !has_mark).then(|| [MISSING.as_bytes(), &self.bytes].concat())
    }
}

/// A file and its metadata at the time of the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenedFile {
    /// Path.
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
    /// Its superblock does not belong to the initial user namespace.
    pub foreign_user_ns: bool,
    /// The open created or truncated the file, so it has no content.
    pub created: bool,
}

/// Returns whether a change at `now_ns` or later gives the file another change time than `ctime_ns`. Both are in
/// nanoseconds since 1970.
pub fn is_settled(ctime_ns: i128, now_ns: i128) -> bool {
    /// Upper bound of the tick of the kernel's file clock, with a margin.
    const TICK_NS: i128 = 50_000_000;
    /// The same for file systems that store whole or even seconds.
    const COARSE_TICK_NS: i128 = 2_000_000_000;
    let tick = if ctime_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { TICK_NS };
    now_ns - ctime_ns >= tick
}

/// A command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The arguments, each followed by a NUL.
    pub bytes: Vec<u8>,
    /// The end of the command line is missing.
    pub truncated: bool,
}

impl Arguments {
    /// Iterates over the separate arguments.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = self.bytes.strip_suffix(b"\0").unwrap_or(&self.bytes);
        let is_empty = self.bytes.is_empty();
        bytes.split(|&byte| byte == 0).filter(move |_| !is_empty)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelWhat {
    /// A file was opened.
    FileOpen {
        /// The file.
        file: OpenedFile,
        /// Open flags as the caller gave them.
        flags: u32,
    },
    /// A file was mapped with execute permission.
    LibLoad {
        /// The file.
        file: OpenedFile,
    },
    /// The process executed a program.
    Exec {
        /// The executable.
        exe: OpenedFile,
        /// The command line.
        arguments: Arguments,
    },
    /// The process ended.
    Exit {
        /// Status in the encoding of `wait(2)`.
        wait_status: u32,
    },
    /// The process was forked.
    Fork,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEvent {
    /// Time in nanoseconds of the boot clock.
    pub ts_ns: u64,
    /// The process.
    pub process: ProcessKey,
    /// Number of the process's program image: each `execve` changes it.
    pub exec_id: u64,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent; 0 if it is outside the tracer's pid namespace.
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
    fn a_file_is_settled_once_its_change_time_must_differ() {
        const SECOND: i128 = 1_000_000_000;
        let settled =
            |ctime_ns: i128, ms_later: i128| is_settled(ctime_ns, ctime_ns + ms_later * 1_000_000);
        assert_eq!([49, 50].map(|later| settled(7 * SECOND + 1, later)), [false, true]);
        // The file system stores whole or even seconds.
        assert_eq!([50, 1999, 2000].map(|later| settled(8 * SECOND, later)), [false, false, true]);
        assert!(!settled(7 * SECOND + 1, -10_000), "a clock that was set back");
    }
}
