//! A record of the ring buffer: a [`Header`], then `path_len` bytes of path, then `args_len` bytes of arguments.
//!
//! The path comes leaf first: each component is followed by a NUL, the root itself is empty. `a\0b\0` is `/b/a`.
//! That order lets a walk that runs out of room keep the end of the path, which is what names the file.
//! The ring hands out fixed sizes ([`SMALL`], [`MEDIUM`], [`LARGE`]), so what follows the arguments is not part of
//! the record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size of the record that most paths fit in, in bytes, header included.
pub const SMALL: usize = 256;
/// Size of the next record, in bytes.
pub const MEDIUM: usize = 1024;
/// Size of the record that the longest path (4096) and the longest arguments (4096) fit in, in bytes.
pub const LARGE: usize = 8192 + 512;

/// Bytes of path that a record can hold at most.
pub const PATH_MAX: usize = 4096;
/// Bytes of arguments that a record can hold at most.
pub const ARGS_MAX: usize = 4096;
/// Length of a process name, its NUL included.
pub const COMM_LEN: usize = 16;

/// What happened. An integer from outside, so a newtype and never an `enum`.
pub mod kind {
    /// A file was opened.
    pub const FILE_OPEN: u16 = 1;
    /// A file was mapped to be executed.
    pub const LIB_LOAD: u16 = 2;
    /// A process executes another program.
    pub const PROCESS_EXEC: u16 = 3;
    /// The last thread of a process ended.
    pub const PROCESS_EXIT: u16 = 4;
    /// A process was created.
    pub const PROCESS_FORK: u16 = 5;
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// The path was longer than the record: its beginning is missing.
    pub const PATH_TRUNCATED: u16 = 1;
    /// The walk ended at the root of a mount that the process's root does not reach.
    pub const PATH_UNREACHABLE: u16 = 1 << 1;
    /// The file has no name any more.
    pub const PATH_DELETED: u16 = 1 << 2;
    /// Not a path in a file system: a memfd, a pipe, a socket.
    pub const PATH_PSEUDO: u16 = 1 << 3;
    /// Part of the path could not be read.
    pub const PATH_UNREADABLE: u16 = 1 << 4;
    /// There were more arguments than [`super::ARGS_MAX`] bytes.
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
/// `tgid`, `tid` and `ppid` are numbers of the tracer's pid namespace. Times are nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, PartialEq, Eq)]
pub struct Header {
    /// When it happened, on the boot clock.
    pub ts_ns: u64,
    /// When the thread group's leader started, on the boot clock. With `tgid`, it names a process for ever.
    pub start_ns: u64,
    /// `task_struct.self_exec_id`: another number after each exec.
    pub exec_id: u64,
    /// The id of the process's cgroup in the hierarchy that identifies containers: its directory's inode number.
    pub cgroup_id: u64,
    /// The process.
    pub tgid: u32,
    /// The thread.
    pub tid: u32,
    /// The parent process; 0 when it is outside the tracer's pid namespace.
    pub ppid: u32,
    /// The real user, as the initial user namespace numbers it.
    pub uid: u32,
    /// The mount namespace's inode number.
    pub mount_ns: u32,
    /// One of [`kind`].
    pub kind: u16,
    /// Bits of [`flag`].
    pub flags: u16,
    /// Bytes of path after the header.
    pub path_len: u16,
    /// Bytes of arguments after the path, each argument followed by a NUL.
    pub args_len: u16,
    /// Open: the flags as the caller gave them. Exit: the wait status. Else 0.
    pub detail: u32,
    /// The name of the thread group's leader, followed by NULs.
    pub comm: [u8; COMM_LEN],
    /// The file's inode number; for an exec the executable's.
    pub inode: u64,
    /// The file's size in bytes.
    pub size: u64,
    /// The whole seconds of the file's ctime.
    pub ctime_sec: i64,
    /// The rest of the file's ctime.
    pub ctime_nsec: u32,
    /// The device of the file's superblock, as the kernel has it: major << 20 | minor.
    pub dev: u32,
    /// The magic number of the file's superblock.
    pub sb_magic: u32,
    /// The device of the process's root directory.
    pub root_dev: u32,
    /// The inode number of the process's root directory.
    pub root_inode: u64,
}

/// Size of a [`Header`] in bytes.
pub const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 128);
const _: () = assert!(LARGE >= HEADER + PATH_MAX + ARGS_MAX);
