//! Builders of events, for tests only.
//!
//! A test takes a process, a file or an event from here and changes only the fields that it is about:
//! `ProcessFacts { uid: 1000, ..process(7, "cat") }`. A new field gets its value in one place.

use super::{
    Arguments, ClassifiedEvent, Comm, EnrichedEvent, EnrichedWhat, Field, FileType, HeadOutcome,
    KernelPath, OpenedFile, ProcessFacts, ProcessKey, Redact, Timestamp, Verdict,
};

/// A process of root on the host, started one nanosecond after boot. The name is cut to 15 bytes.
pub fn process(tgid: u32, name: &str) -> ProcessFacts {
    ProcessFacts {
        key: ProcessKey { tgid, start_ns: 1 },
        exec_id: 1,
        tid: tgid,
        ppid: 1,
        comm: Comm::from_name(name.as_bytes()),
        ..ProcessFacts::default()
    }
}

/// A file with this path; the other fields have default values.
pub fn file(path: &str) -> OpenedFile {
    let path = KernelPath { bytes: path.into(), ..KernelPath::default() };
    OpenedFile { path, ..OpenedFile::default() }
}

/// An open of the file at `path`.
pub fn opens(path: &str, flags: u32) -> EnrichedWhat {
    EnrichedWhat::FileOpen { file: file(path), flags }
}

/// A load of libssl from the file at `path`.
pub fn loads(path: &str) -> EnrichedWhat {
    EnrichedWhat::LibLoad { file: file(path), library_name: b"libssl".to_vec() }
}

/// The execution of a program with these arguments, separated by spaces.
pub fn executes(words: &str) -> EnrichedWhat {
    let bytes = words.split(' ').flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    EnrichedWhat::Exec { arguments: Arguments { bytes, truncated: false } }
}

/// An exit without a signal.
pub fn exits(exit_code: i32) -> EnrichedWhat {
    EnrichedWhat::Exit { exit_code, signal: None }
}

/// An event of `process`, `at` microseconds after 1970.
pub fn enriched(at: i64, process: ProcessFacts, what: EnrichedWhat) -> EnrichedEvent {
    EnrichedEvent { timestamp: Timestamp(at), process, what }
}

/// An event with a verdict if `file_type` is given.
pub fn classified(event: EnrichedEvent, file_type: Option<FileType>) -> ClassifiedEvent {
    ClassifiedEvent { event, verdict: file_type.map(verdict), labels: Vec::new(), assets: None }
}

/// A verdict without labels and without a head.
pub fn verdict(file_type: FileType) -> Verdict {
    let head = HeadOutcome::NotNeeded;
    Verdict { file_type, labels: Vec::new(), classifier: None, head, skipped: false }
}

/// A redactor that hides nothing.
#[derive(Debug)]
pub struct RedactNothing;

impl Redact for RedactNothing {
    fn redact(&mut self, _: Field<'_>, _: &str, _: &[String]) -> Option<String> {
        None
    }
}

/// A redactor that replaces the directory name after `/home/`.
#[derive(Debug)]
pub struct HideHomes;

impl Redact for HideHomes {
    fn redact(&mut self, _: Field<'_>, value: &str, _: &[String]) -> Option<String> {
        let (_, path) = value.split_once("/home/")?;
        let (_, rest) = path.split_once('/')?;
        Some(format!("/home/USER/{rest}"))
    }
}
