//! What goes over the socket between the tracer and its reader: a length of four bytes, then a message.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crypto_tracer_event::bounded::at_most;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::usage::ResourceUsage;

/// Bytes of a head at most, as the contract says.
pub(super) const HEAD_BYTES: usize = 65_536;

/// Longest message in bytes. A batch of heads stays below by [`super::process`]'s bound on a batch.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Files of which one process maps code: more than fit into what is read of its `maps`.
const MOST_MAPPED: usize = 1 << 16;

/// A file whose beginning is wanted.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Hash)]
pub struct HeadRequest {
    /// A process that sees the file under this path.
    pub pid: u32,
    /// The file has no name any more, or none that is reachable: only the process's descriptor leads to it.
    pub nameless: bool,
    /// Mount namespace of that process.
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

/// The same, with what is not kept of it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Wanted {
    /// Which file.
    pub file: HeadRequest,
    /// Whose process opened it: whose fault it is when the reader hangs.
    pub uid: u32,
    /// Size in bytes when it was opened.
    pub size: u64,
    /// The process that opened it, where it may be another tracer's reader: then the file is not read for it.
    pub maybe_reader: Option<MaybeReader>,
}

/// A process that opened a file as a reader does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct MaybeReader {
    /// Process id.
    pub pid: u32,
    /// When it started, in nanoseconds of the boot clock.
    pub start_ns: u64,
}

/// The answer, as far as a plugin may see it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct HeadResponse {
    /// The beginning without secrets, or why there is none.
    pub head: Result<Vec<u8>, HeadRefusal>,
    /// Size in bytes; None when the file is another one by now.
    pub size: Option<u64>,
    /// Which file this is about.
    pub found: Found,
}

/// Which file was found.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub enum Found {
    /// The one that was opened, with the content that it had then.
    #[default]
    Same,
    /// The one that was opened, and it was written to since.
    Changed,
    /// Another one, which has its path now.
    Replaced,
}

impl HeadResponse {
    /// To an open by another tracer's reader.
    pub(super) const OF_OTHER_TRACER: HeadResponse =
        HeadResponse { head: Err(HeadRefusal::OtherTracer), size: None, found: Found::Same };
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub enum HeadRefusal {
    /// The file is gone, or another one.
    Gone,
    /// It may not be read.
    Denied,
    /// Another tracer's reader opened it, for the sake of another open.
    OtherTracer,
}

/// A process and its parent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Ancestry {
    /// Process id.
    pub pid: u32,
    /// Parent.
    pub ppid: u32,
    /// As in [`ExistingProcess`]. None: it makes wait whoever asks.
    pub start_ns: Option<u64>,
}

/// A process that was there before the tracer.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ExistingProcess {
    /// Process id.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock, rounded down to `/proc`'s clock tick.
    pub start_ns: u64,
    /// Parent.
    pub ppid: u32,
    /// Executable's path.
    pub exe: Option<Vec<u8>>,
    /// Path of its cgroup.
    pub cgroup: Option<String>,
    /// Files of which code is mapped.
    #[serde(deserialize_with = "at_most::<_, _, MOST_MAPPED>")]
    pub mapped: Vec<MappedFile>,
}

/// A file of which code is mapped.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct MappedFile {
    /// Device: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Path.
    pub path: Vec<u8>,
}

/// What a look into a running process shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct ProcessDetails {
    /// Process id.
    pub pid: u32,
    /// Parent.
    pub ppid: u32,
    /// Start time in nanoseconds of the boot clock, rounded down to `/proc`'s clock tick. 0: it makes wait whoever asks.
    pub start_ns: u64,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Name.
    pub comm: Vec<u8>,
    /// Executable's path.
    pub exe: Option<Vec<u8>>,
    /// The arguments, each followed by a NUL.
    pub cmdline: Vec<u8>,
    /// There are more.
    pub cmdline_truncated: bool,
    /// Libraries that somebody is interested in.
    pub libraries: Vec<MappedFile>,
    /// Open files that somebody is interested in.
    pub files: Vec<FileDescriptor>,
    /// False: it may not be looked into, and what is here is not all.
    pub readable: bool,
}

/// A regular file that a process holds open.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, Hash)]
pub struct FileDescriptor {
    /// Path.
    pub path: Vec<u8>,
    /// It has no name any more.
    pub deleted: bool,
    /// Flags of the open, as the kernel keeps them.
    pub flags: u32,
    /// It lies outside of the process's root: the path is that from its mount's root.
    pub unreachable: bool,
    /// It lies where nothing is looked at; what follows is zero.
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

/// What the tracer asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Heads {
        number: u64,
        files: Vec<Wanted>,
    },
    /// All process ids there are.
    Pids {
        number: u64,
    },
    /// These processes, as they were before the tracer. Without an interest: without what they have mapped.
    Scan {
        number: u64,
        pids: Vec<u32>,
        interest: Option<Interest>,
    },
    /// All processes and their parents.
    Ancestry {
        number: u64,
    },
    /// These processes. Without an interest: only who they are, which nobody can make wait.
    Look {
        number: u64,
        pids: Vec<u32>,
        interest: Option<Interest>,
    },
    /// Ids, each with a process that was in that cgroup.
    Cgroups {
        number: u64,
        wanted: Vec<(u64, u32)>,
    },
    ResourceUsage {
        number: u64,
    },
}

/// What the reader answers; `number` is the question's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    /// One for each file, in order: what is known does not wait for what hangs.
    Head {
        number: u64,
        head: HeadResponse,
    },
    Pids {
        number: u64,
        pids: Vec<u32>,
    },
    /// `next`: the process that this one ended with, if there are more.
    Scan {
        number: u64,
        processes: Vec<ExistingProcess>,
        next: Option<u32>,
    },
    Cgroups {
        number: u64,
        paths: Vec<Option<String>>,
    },
    /// `next` as above.
    Looked {
        number: u64,
        processes: Vec<ProcessDetails>,
        next: Option<u32>,
    },
    /// All processes and their parents. `whole`: there was time for all; who was in the way then is not, the next time.
    Ancestry {
        number: u64,
        kin: Vec<Ancestry>,
        whole: bool,
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
            | Response::Pids { number, .. }
            | Response::Scan { number, .. }
            | Response::Ancestry { number, .. }
            | Response::Looked { number, .. }
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
    if len > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; len];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}
