//! A record of the ring buffer: a [`Header`], then `path_len` bytes of path, then `args_len` bytes of arguments.
//!
//! The path is stored leaf first, with a NUL after each component: `a\0b\0` is `/b/a`, and the root is empty. A walk
//! that runs out of space thus keeps the end of the path, which contains the file name. Records are reserved in fixed
//! sizes, from [`SMALL`] to [`LARGE`]. The bytes after the arguments are undefined.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size in bytes, including the header, of a record that holds most paths.
pub const SMALL: usize = 256;
/// Sizes of the next larger records, in bytes.
pub const SHORT: usize = 512;
/// As [`SHORT`].
pub const MEDIUM: usize = 1024;
/// As [`SHORT`].
pub const LONG: usize = 2048;
/// Size of a record that holds the longest path, in bytes.
pub const LONGEST_PATH: usize = HEADER + PATH_MAX + 256;
/// Size of a record that holds the longest path and the longest arguments, in bytes.
pub const LARGE: usize = 8192 + 512;

/// Maximum length of a path in a record, in bytes.
pub const PATH_MAX: usize = 4096;
/// Maximum length of the arguments in a record, in bytes.
pub const ARGS_MAX: usize = 4096;
/// Size of a process name including its NUL (`TASK_COMM_LEN`).
const COMM_LEN: usize = 16;

/// The kinds of records. Integers and not an `enum`, because a record may contain any value.
pub mod kind {
    /// A file was opened.
    pub const FILE_OPEN: u16 = 1;
    /// A file was mapped as executable.
    pub const LIB_LOAD: u16 = 2;
    /// A process executed a program.
    pub const PROCESS_EXEC: u16 = 3;
    /// The last thread of a process exited.
    pub const PROCESS_EXIT: u16 = 4;
    /// A process was created.
    pub const PROCESS_FORK: u16 = 5;
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// The path did not fit: its beginning is missing.
    pub const PATH_TRUNCATED: u16 = 1;
    /// The walk ended at the root of a mount that is not reachable from the process's root.
    pub const PATH_UNREACHABLE: u16 = 1 << 1;
    /// The file's name was removed.
    pub const PATH_DELETED: u16 = 1 << 2;
    /// Not a path in a file system: a memfd, a pipe, a socket.
    pub const PATH_PSEUDO: u16 = 1 << 3;
    /// Part of the path could not be read.
    pub const PATH_UNREADABLE: u16 = 1 << 4;
    /// The arguments did not fit: their end is missing.
    pub const ARGS_TRUNCATED: u16 = 1 << 5;
    /// The arguments could not be read.
    pub const ARGS_UNREADABLE: u16 = 1 << 6;
    /// The file's superblock belongs to a user namespace other than the initial one.
    pub const FOREIGN_USER_NS: u16 = 1 << 7;
    /// The open created the file.
    pub const CREATED: u16 = 1 << 8;
}

/// The fixed-size part of a record.
///
/// `tgid`, `tid` and `ppid` are ids in the tracer's pid namespace. Times are in nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, PartialEq, Eq)]
pub struct Header {
    /// Time of the event, on the boot clock.
    pub ts_ns: u64,
    /// Start time of the thread group leader, on the boot clock. Together with `tgid`, it identifies a process
    /// uniquely.
    pub start_ns: u64,
    /// `task_struct.self_exec_id`, which changes with each exec.
    pub exec_id: u64,
    /// Id of the process's cgroup in the hierarchy that identifies containers: the inode number of its directory.
    pub cgroup_id: u64,
    /// The process id (thread group id).
    pub tgid: u32,
    /// The thread id.
    pub tid: u32,
    /// The parent's process id; 0 if the parent is outside the tracer's pid namespace.
    pub ppid: u32,
    /// The real user id in the initial user namespace.
    pub uid: u32,
    /// Inode number of the mount namespace.
    pub mount_ns: u32,
    /// One of [`kind`].
    pub kind: u16,
    /// Bits of [`flag`].
    pub flags: u16,
    /// Length of the path after the header, in bytes.
    pub path_len: u16,
    /// Length of the arguments after the path, in bytes, including a NUL after each argument.
    pub args_len: u16,
    /// Open: the flags that the caller passed. Exit: the wait status. Otherwise 0.
    pub detail: u32,
    /// Name of the thread group leader, terminated by a NUL.
    pub comm: [u8; COMM_LEN],
    /// Inode number of the file; for an exec, of the executable.
    pub inode: u64,
    /// Size of the file in bytes.
    pub size: u64,
    /// Seconds of the file's ctime.
    pub ctime_sec: i64,
    /// Nanoseconds of the file's ctime.
    pub ctime_nsec: u32,
    /// Device number of the file's superblock, in the kernel's encoding: major << 20 | minor.
    pub dev: u32,
    /// Magic number of the file's superblock.
    pub sb_magic: u32,
    /// Device number of the process's root directory.
    pub root_dev: u32,
    /// Inode number of the process's root directory.
    pub root_inode: u64,
}

/// Size of a [`Header`] in bytes.
pub const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 128);
const _: () = assert!(LARGE >= HEADER + PATH_MAX + ARGS_MAX);
