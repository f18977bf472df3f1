//! Messages on the socket between the tracer and its reader: a length (`u32`, little-endian), then the message in the
//! postcard format.

use std::fmt;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crypto_tracer_event::bounded::at_most;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::usage::ResourceUsage;

/// Maximum size of a head in bytes, part of the plugin contract.
pub(super) const HEAD_BYTES: usize = 65_536;

/// Maximum size of a message in bytes. [`super::client`] limits the number of items in a request.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Maximum number of mapped files per process: more than fit into the bytes that are read of `maps`.
const MAX_MAPPED: usize = 1 << 16;

/// An opened file whose head is requested.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Hash)]
pub struct HeadRequest {
    /// Process that sees the file at `path`.
    pub pid: u32,
    /// The file is unlinked or unreachable by path. Only the process's descriptor refers to it.
    pub nameless: bool,
    /// Inode number of that process's mount namespace; 0 if unknown.
    pub mount_ns: u32,
    /// Device and inode number of that process's root.
    pub root: (u32, u64),
    /// Absolute path as that process sees it.
    pub path: Vec<u8>,
    /// Device: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Change time in nanoseconds since 1970.
    pub ctime_ns: i128,
    /// Magic number of the superblock.
    pub sb_magic: u32,
}

/// A [`HeadRequest`], with the data that recordings do not keep.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Wanted {
    /// The file.
    pub file: HeadRequest,
    /// User ID of the process that opened the file. If the reader hangs at the file, this user is excluded for a time.
    pub uid: u32,
    /// Size in bytes at the time of the open.
    pub size: u64,
    /// The process that opened the file, if it may be another tracer's reader. The file is not read for another reader.
    pub maybe_reader: Option<MaybeReader>,
}

/// A process that opened a file with the flags of a reader.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct MaybeReader {
    /// Process ID.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock.
    pub start_ns: u64,
}

/// The response to a [`HeadRequest`].
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct HeadResponse {
    /// The public part of the head, at most 65536 bytes, or the reason why there is none.
    pub head: Result<Vec<u8>, HeadRefusal>,
    /// Size in bytes; `None` for another file than the opened one.
    pub size: Option<u64>,
    /// Which file was read.
    pub found: Found,
}

/// Which file was found.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub enum Found {
    /// The opened file, with the same content as at the open.
    #[default]
    Same,
    /// The opened file, which was modified after the open.
    Changed,
    /// Another file, which has the path now.
    Replaced,
}

impl HeadResponse {
    /// Response for an open by another tracer's reader.
    pub(super) const OTHER_TRACER: HeadResponse =
        HeadResponse { head: Err(HeadRefusal::OtherTracer), size: None, found: Found::Same };
}

/// Why a response has no head.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub enum HeadRefusal {
    /// The file was removed or replaced.
    Gone,
    /// The file may not be read.
    Denied,
    /// Another tracer's reader opened the file, to read its head.
    OtherTracer,
}

/// A process and its parent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Ancestry {
    /// Process ID.
    pub pid: u32,
    /// Parent process ID.
    pub ppid: u32,
    /// Start time, as in [`ExistingProcess`]; `None` for a process that blocks accesses to it.
    pub start_ns: Option<u64>,
}

/// A process that existed before the tracer started.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ExistingProcess {
    /// Process ID.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock, rounded down to a clock tick of `/proc`.
    pub start_ns: u64,
    /// Parent process ID.
    pub ppid: u32,
    /// Path of the executable.
    pub exe: Option<Vec<u8>>,
    /// Path of the cgroup.
    pub cgroup: Option<String>,
    /// Files with an executable mapping. Their paths are only file names.
    #[serde(deserialize_with = "at_most::<_, _, MAX_MAPPED>")]
    pub mapped: Vec<MappedFile>,
}

/// A file with an executable mapping.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct MappedFile {
    /// Device: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Path.
    pub path: Vec<u8>,
}

/// Details of a running process.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct ProcessDetails {
    /// Process ID.
    pub pid: u32,
    /// Parent process ID.
    pub ppid: u32,
    /// Start time in nanoseconds of the boot clock, rounded down to a clock tick of `/proc`; 0 for a process that
    /// blocks accesses to it.
    pub start_ns: u64,
    /// Real user ID.
    pub uid: u32,
    /// Real group ID.
    pub gid: u32,
    /// Name.
    pub comm: Vec<u8>,
    /// Path of the executable.
    pub exe: Option<Vec<u8>>,
    /// Arguments, each followed by a NUL, at most 4096 bytes.
    pub cmdline: Vec<u8>,
    /// The command line is longer.
    pub cmdline_truncated: bool,
    /// Mapped libraries in the interest.
    pub libraries: Vec<MappedFile>,
    /// Open files in the interest.
    pub files: Vec<FileDescriptor>,
    /// Whether `libraries` and `files` are complete. False if the process may not be inspected, has too many files, or
    /// was only identified.
    pub readable: bool,
}

/// A regular file that a process has open.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, Hash)]
pub struct FileDescriptor {
    /// Path.
    pub path: Vec<u8>,
    /// The file is unlinked.
    pub deleted: bool,
    /// Open flags, as in `fdinfo`.
    pub flags: u32,
    /// The file is outside the process's root. The path starts at the root of the file's mount.
    pub unreachable: bool,
    /// The file is on a remote file system, which is not accessed. The fields that follow are zero.
    pub remote: bool,
    /// Device: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Change time in nanoseconds since 1970.
    pub ctime_ns: i128,
    /// Magic number of the superblock.
    pub sb_magic: u32,
}

/// Why a process cannot be traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unobservable {
    /// The id is that of a thread of this process. Events have the process's id.
    Thread(u32),
    /// The process is a zombie.
    Zombie,
    /// A kernel thread opens no files.
    KernelThread,
}

impl fmt::Display for Unobservable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unobservable::Thread(process) => write!(f, "this is a thread of process {process}"),
            Unobservable::Zombie => f.write_str("the process is a zombie: it has ended"),
            Unobservable::KernelThread => {
                f.write_str("this is a kernel thread, which opens no files")
            }
        }
    }
}

/// Requests of the tracer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Heads {
        number: u64,
        files: Vec<Wanted>,
    },
    /// All of a file that plugins may see.
    Visible {
        number: u64,
        file: Box<Wanted>,
    },
    /// The IDs of all processes.
    Pids {
        number: u64,
    },
    /// These processes as [`ExistingProcess`]. Without an interest the response has no mapped files.
    Scan {
        number: u64,
        pids: Vec<u32>,
        interest: Option<Interest>,
    },
    /// All processes and their parents.
    Ancestry {
        number: u64,
    },
    /// These processes as [`ProcessDetails`]. Without an interest the response has only the identities, and no process
    /// can block it.
    Inspect {
        number: u64,
        pids: Vec<u32>,
        interest: Option<Interest>,
    },
    /// Cgroup IDs, each with a process that was in that cgroup.
    Cgroups {
        number: u64,
        wanted: Vec<(u64, u32)>,
    },
    /// Whether a trace sees anything of this process.
    Unobservable {
        number: u64,
        pid: u32,
    },
    ResourceUsage {
        number: u64,
    },
}

/// Responses of the reader; `number` is that of the request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    /// One for each file, in order, so that a blocked read delays only the files that follow.
    Head {
        number: u64,
        head: HeadResponse,
    },
    Visible {
        number: u64,
        visible: HeadResponse,
    },
    Pids {
        number: u64,
        pids: Vec<u32>,
    },
    /// `next` is the last process of this page if more follow.
    Scan {
        number: u64,
        processes: Vec<ExistingProcess>,
        next: Option<u32>,
    },
    Cgroups {
        number: u64,
        paths: Vec<Option<String>>,
    },
    /// `next` as in `Scan`.
    Inspect {
        number: u64,
        processes: Vec<ProcessDetails>,
        next: Option<u32>,
    },
    /// `complete` is false if the time was not enough for all processes. The next request skips the processes that
    /// blocked this one.
    Ancestry {
        number: u64,
        processes: Vec<Ancestry>,
        complete: bool,
    },
    Unobservable {
        number: u64,
        reason: Option<Unobservable>,
    },
    ResourceUsage {
        number: u64,
        usage: ResourceUsage,
    },
}

impl Response {
    pub(super) fn number(&self) -> u64 {
        match self {
            Response::Head { number, .. }
            | Response::Visible { number, .. }
            | Response::Pids { number, .. }
            | Response::Scan { number, .. }
            | Response::Ancestry { number, .. }
            | Response::Inspect { number, .. }
            | Response::Unobservable { number, .. }
            | Response::ResourceUsage { number, .. }
            | Response::Cgroups { number, .. } => *number,
        }
    }
}

pub(super) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&body)
}

pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; len];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}
