//! An event with what the tracer knows besides: wall clock, executable, container.

use std::sync::Arc;

use super::{Arguments, Comm, OpenedFile, Payload, ProcessKey};

/// Microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// For people: to the second, in UTC.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = chrono::DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// What is known of the process behind an event, as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Which process.
    pub key: ProcessKey,
    /// Which of its program images.
    pub exec_id: u64,
    /// Which thread.
    pub tid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name of the thread group's leader.
    pub comm: Comm,
    /// The executable's path. None when it could not be known any more.
    pub exe: Option<Arc<[u8]>>,
    /// Inode number of the mount namespace.
    pub mount_ns: u32,
    /// Device and inode number of the root directory.
    pub root: (u32, u64),
    /// Id of the cgroup.
    pub cgroup_id: u64,
    /// Path of the cgroup, where known.
    pub cgroup: Option<Arc<str>>,
    /// Container id from the cgroup; None on the host itself.
    pub container: Option<Arc<str>>,
}

/// Payload of an event before redaction. The library's name is bytes, as the kernel gave them.
pub type EnrichedWhat = Payload<OpenedFile, Vec<u8>, Arguments>;

/// An event that the host's own filters can judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichedEvent {
    /// When.
    pub timestamp: Timestamp,
    /// Who.
    pub process: ProcessFacts,
    /// What.
    pub what: EnrichedWhat,
}
