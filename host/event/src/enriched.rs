//! An event with wall-clock time, executable and container.

use std::sync::Arc;

use super::{Ancestor, Arguments, Comm, OpenedFile, Payload, ProcessKey};

/// Microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// UTC, to the second.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = chrono::DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// The process that caused an event, at the time of the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Id and start time.
    pub key: ProcessKey,
    /// Number of the process's program image: each `execve` changes it.
    pub exec_id: u64,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name of the thread group's leader.
    pub comm: Comm,
    /// Path of the executable; `None` if it could not be read.
    pub exe: Option<Arc<[u8]>>,
    /// Inode number of the mount namespace.
    pub mount_ns: u32,
    /// Device and inode number of the root directory.
    pub root: (u32, u64),
    /// Id of the cgroup.
    pub cgroup_id: u64,
    /// Path of the cgroup, if known.
    pub cgroup: Option<Arc<str>>,
    /// Container id from the cgroup path; `None` on the host.
    pub container: Option<Arc<str>>,
    /// The known ancestors at the time of the event, the parent first; `None` if no plugin asks for them.
    pub ancestors: Option<Arc<[Ancestor]>>,
}

/// Payload of an event before redaction. The library's name is bytes, as the kernel gave them.
pub type EnrichedWhat = Payload<OpenedFile, Vec<u8>, Arguments>;

/// An event with every fact that the host's own filters test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichedEvent {
    /// Time of the event.
    pub timestamp: Timestamp,
    /// The process that caused it.
    pub process: ProcessFacts,
    /// What happened.
    pub what: EnrichedWhat,
}
