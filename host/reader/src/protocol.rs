//! Messages on the socket between the tracer and its reader: a length (`u32`, little-endian), then the message in the
//! postcard format.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crypto_tracer_event::bounded::at_most;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{FileStat, MAX_PEM_BLOCKS, PemBlock};
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
    /// User ID of the process that opened the file, who is charged for the time of the read.
    pub uid: u32,
    /// Size in bytes at the time of the open.
    pub size: u64,
    /// The process that opened the file, if it may be another tracer's reader. The file is not read for another reader.
    pub maybe_reader: Option<MaybeReader>,
    /// The PEM blocks of the file are requested too, which may take a longer read.
    pub blocks: bool,
}

/// A cgroup whose path is requested.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct WantedCgroup {
    /// ID of the cgroup.
    pub id: u64,
    /// A process that was in the cgroup.
    pub pid: u32,
    /// User ID of that process, who is charged for the search.
    pub uid: u32,
}

/// A process that opened a file with the flags of a reader.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, Hash)]
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
    /// Metadata of the opened file; `None` for another file than the opened one.
    pub stat: Option<FileStat>,
    /// PEM blocks that begin in the visible part, if they were requested.
    #[serde(deserialize_with = "at_most::<_, _, MAX_PEM_BLOCKS>")]
    pub blocks: Vec<PemBlock>,
}

/// The response for one file, and what it cost.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct TimedHead {
    /// `None`: the time did not suffice.
    pub(super) response: Option<HeadResponse>,
    /// Processor time, and a part of the time in which the thread waited.
    pub(super) took: Duration,
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
    pub(super) const OTHER_TRACER: HeadResponse = HeadResponse::refused(HeadRefusal::OtherTracer);

    /// Response without a file.
    pub const fn refused(refusal: HeadRefusal) -> HeadResponse {
        HeadResponse {
            head: Err(refusal),
            size: None,
            found: Found::Same,
            stat: None,
            blocks: Vec::new(),
        }
    }
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

/// A file at the time when a process opened or mapped it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, Hash)]
pub struct UsedFile {
    /// Inode number of the process's mount namespace; 0 if unknown.
    pub mount_ns: u32,
    /// Device and inode number of the process's root.
    pub root: (u32, u64),
    /// Absolute path as the process sees it.
    pub path: Vec<u8>,
    /// Device: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Change time in nanoseconds since 1970.
    pub ctime_ns: i128,
    /// Magic number of the superblock; 0 if unknown.
    pub sb_magic: u32,
    /// The file was mapped as code. Of such a file only the inode is compared.
    pub library: bool,
}

/// A hash of the content of a file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

/// Asks whether a process uses what its path is now.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct StaleQuery {
    /// Process ID.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock.
    pub start_ns: u64,
    /// User ID of the process.
    pub uid: u32,
    /// What the process used last.
    pub file: UsedFile,
    /// The process opened it for writing, so that it may have changed the content itself.
    pub writes: bool,
    /// Hash of the content at that time; `None` if unknown.
    pub fingerprint: Option<Fingerprint>,
}

/// A mapped library whose version is requested.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct LibraryQuery {
    /// A process that maps it.
    pub pid: u32,
    /// User ID of that process.
    pub uid: u32,
    /// The library.
    pub file: UsedFile,
}

/// How a used file compares with the one that has its path now. Times are in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub enum Currency {
    /// It is the same file with the same content.
    Current,
    /// Another file has the path.
    Replaced {
        /// Change time of that file.
        since_ns: i128,
    },
    /// No file has the path.
    Deleted,
    /// The file has other content.
    Modified {
        /// Time of the last change of the content.
        since_ns: i128,
    },
    /// The path could not be looked at.
    Unknown,
    /// The process has ended.
    Ended,
}

impl Currency {
    /// Whether the path is another file by now.
    pub fn is_stale(self) -> bool {
        matches!(self, Currency::Replaced { .. } | Currency::Deleted | Currency::Modified { .. })
    }
}

/// Requests of the tracer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// `time`: how long the response may take.
    Heads {
        number: u64,
        files: Vec<Wanted>,
        time: Duration,
    },
    /// All of a file that plugins may see.
    Visible {
        number: u64,
        file: Box<Wanted>,
        time: Duration,
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
    /// These processes as [`ProcessDetails`]. Without an interest the response has only the identities.
    Inspect {
        number: u64,
        pids: Vec<u32>,
        interest: Option<Interest>,
    },
    /// `time` as in `Heads`.
    Cgroups {
        number: u64,
        wanted: Vec<WantedCgroup>,
        time: Duration,
    },
    /// Whether a trace sees anything of this process.
    Unobservable {
        number: u64,
        pid: u32,
    },
    ResourceUsage {
        number: u64,
    },
    /// Hashes of the contents of these opened files.
    Fingerprints {
        number: u64,
        files: Vec<Wanted>,
        time: Duration,
    },
    /// Whether these files are current.
    Stale {
        number: u64,
        queries: Vec<StaleQuery>,
        time: Duration,
    },
    /// The versions of these libraries.
    Versions {
        number: u64,
        libraries: Vec<LibraryQuery>,
        time: Duration,
    },
}

/// Responses of the reader; `number` is that of the request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    /// `heads` in the order of the files. `hung`: the users whose files have blocked a thread for a second, each thread
    /// once.
    Heads {
        number: u64,
        heads: Vec<TimedHead>,
        hung: Vec<u32>,
    },
    /// `hung` as in `Heads`.
    Visible {
        number: u64,
        visible: TimedHead,
        hung: Vec<u32>,
    },
    Pids {
        number: u64,
        pids: Vec<u32>,
    },
    /// `next` is the last process of this page if more follow. `blocked`: number of processes that block accesses.
    Scan {
        number: u64,
        processes: Vec<ExistingProcess>,
        blocked: usize,
        next: Option<u32>,
    },
    /// The cgroups for which the time sufficed, by ID; without a path if they no longer exist. `took`: the time for each of
    /// the requested ones.
    Cgroups {
        number: u64,
        paths: Vec<(u64, Option<String>)>,
        took: Duration,
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
    /// In order. `None`: the content changed, cannot be read, or the time was over. `hung` as in `Heads`.
    Fingerprints {
        number: u64,
        fingerprints: Vec<Option<Fingerprint>>,
        hung: Vec<u32>,
    },
    /// In order. `None`: the time was over.
    Stale {
        number: u64,
        currencies: Vec<Option<Currency>>,
        hung: Vec<u32>,
    },
    /// In order. `None`: unknown, or the time was over.
    Versions {
        number: u64,
        versions: Vec<Option<String>>,
        hung: Vec<u32>,
    },
}

impl Response {
    pub(super) fn number(&self) -> u64 {
        match self {
            Response::Heads { number, .. }
            | Response::Visible { number, .. }
            | Response::Pids { number, .. }
            | Response::Scan { number, .. }
            | Response::Ancestry { number, .. }
            | Response::Inspect { number, .. }
            | Response::Unobservable { number, .. }
            | Response::ResourceUsage { number, .. }
            | Response::Fingerprints { number, .. }
            | Response::Stale { number, .. }
            | Response::Versions { number, .. }
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
