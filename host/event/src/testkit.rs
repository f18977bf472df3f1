//! Builders of events, for tests alone.
//!
//! A process, a file or an event of a test is made here, and the test changes only the fields that it is about:
//! `ProcessFacts { uid: 1000, ..process(7, "cat") }`. A new field has its value in one place.

use super::{
    Arguments, ClassifiedEvent, Comm, EnrichedEvent, EnrichedWhat, Field, FileType, HeadOutcome,
    KernelPath, OpenedFile, ProcessFacts, ProcessKey, Redact, Timestamp, Verdict,
};

/// A root process of the host that started a nanosecond after the machine. Of the name, 15 bytes are kept.
pub fn process(tgid: u32, name: &str) -> ProcessFacts {
    let mut comm = [0; 16];
    comm.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    ProcessFacts {
        key: ProcessKey { tgid, start_ns: 1 },
        exec_id: 1,
        tid: tgid,
        ppid: 1,
        uid: 0,
        comm: Comm::new(comm),
        exe: None,
        mount_ns: 0,
        root: (0, 0),
        cgroup_id: 0,
        cgroup: None,
        container: None,
    }
}

/// A file of which only the path is known.
pub fn file(path: &str) -> OpenedFile {
    let path = KernelPath { bytes: path.into(), ..KernelPath::default() };
    OpenedFile { path, ..OpenedFile::default() }
}

/// An open of that file.
pub fn opens(path: &str, flags: u32) -> EnrichedWhat {
    EnrichedWhat::FileOpen { file: file(path), flags }
}

/// A load of libssl from that file.
pub fn loads(path: &str) -> EnrichedWhat {
    EnrichedWhat::LibLoad { file: file(path), library_name: b"libssl".to_vec() }
}

/// The execution of a program with these arguments, which a space separates.
pub fn executes(words: &str) -> EnrichedWhat {
    let bytes = words.split(' ').flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    EnrichedWhat::Exec { arguments: Arguments { bytes, truncated: false } }
}

/// A process's end that no signal caused.
pub fn exits(exit_code: i32) -> EnrichedWhat {
    EnrichedWhat::Exit { exit_code, signal: None }
}

/// What a process did, at so many microseconds since 1970.
pub fn enriched(at: i64, process: ProcessFacts, what: EnrichedWhat) -> EnrichedEvent {
    EnrichedEvent { timestamp: Timestamp(at), process, what }
}

/// An event with the verdict of its file, if it has one.
pub fn classified(event: EnrichedEvent, file_type: Option<FileType>) -> ClassifiedEvent {
    ClassifiedEvent { event, verdict: file_type.map(verdict), labels: Vec::new() }
}

/// A verdict without labels that needed no content.
pub fn verdict(file_type: FileType) -> Verdict {
    Verdict { file_type, labels: Vec::new(), classifier: None, head: HeadOutcome::NotNeeded }
}

/// A redactor that hides nothing.
#[derive(Debug)]
pub struct RedactNothing;

impl Redact for RedactNothing {
    fn redact(&mut self, _: Field<'_>, _: &str, _: &[String]) -> Option<String> {
        None
    }
}

/// A redactor that hides the name behind `/home/`, up to the next slash.
#[derive(Debug)]
pub struct HideHomes;

impl Redact for HideHomes {
    fn redact(&mut self, _: Field<'_>, value: &str, _: &[String]) -> Option<String> {
        let (_, behind) = value.split_once("/home/")?;
        let (_, rest) = behind.split_once('/')?;
        Some(format!("/home/USER/{rest}"))
    }
}
