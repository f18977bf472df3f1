//! Events as documents get them, for tests.

use crate::event::{
    ClassifiedEvent, Comm, EnrichedEvent, EnrichedWhat, Field, FileType, HeadOutcome, KernelPath,
    OpenedFile, ProcessFacts, ProcessKey, Redact, Timestamp, Verdict,
};

/// Hides what stands between `/home/` and the next slash.
pub(super) struct Homes;

impl Redact for Homes {
    fn redact(&mut self, _: Field<'_>, value: &str, _: &[String]) -> Option<String> {
        let (_, behind) = value.split_once("/home/")?;
        let (_, rest) = behind.split_once('/')?;
        Some(format!("/home/USER/{rest}"))
    }
}

pub(super) fn classified(
    at: i64,
    what: EnrichedWhat,
    file_type: Option<FileType>,
) -> ClassifiedEvent {
    let process = ProcessFacts {
        key: ProcessKey { tgid: 7, start_ns: 1 },
        exec_id: 0,
        tid: 7,
        ppid: 1,
        uid: 0,
        comm: Comm::default(),
        exe: None,
        mount_ns: 0,
        root: (0, 0),
        cgroup_id: 0,
        cgroup: None,
        container: None,
    };
    let verdict = file_type.map(|file_type| Verdict {
        file_type,
        labels: vec![],
        classifier: None,
        head: HeadOutcome::NotNeeded,
    });
    let event = EnrichedEvent { timestamp: Timestamp(at), process, what };
    ClassifiedEvent { event, verdict, labels: vec![] }
}

pub(super) fn file(path: &str) -> OpenedFile {
    let path = KernelPath { bytes: path.into(), ..KernelPath::default() };
    OpenedFile { path, ..OpenedFile::default() }
}

pub(super) fn open(at: i64, path: &str, flags: u32, file_type: FileType) -> ClassifiedEvent {
    classified(at, EnrichedWhat::FileOpen { file: file(path), flags }, Some(file_type))
}

pub(super) fn load(at: i64, path: &str) -> ClassifiedEvent {
    let library_name = b"libssl".to_vec();
    classified(at, EnrichedWhat::LibLoad { file: file(path), library_name }, None)
}
