//! Events and processes whose texts are redacted: the only ones that may leave the program.

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use super::{
    Arguments, Buffers, ClassifiedEvent, EnrichedWhat, FastHash, Field, FileType, HeadOutcome,
    KernelPath, OpenedFile, Payload, ProcessFacts, Redact, RedactedAsset, RedactedText, Timestamp,
    fast_hash,
};

/// Payload of an event after redaction.
pub type RedactedWhat = Payload<RedactedFile, String, RedactedText>;

/// Distinguishes paths whose redacted forms are equal, without revealing them: a hash with a key that is random in each
/// run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathIdentity(u64);

impl PathIdentity {
    /// Returns the identity of a path.
    pub fn of(path: &KernelPath) -> PathIdentity {
        // Users choose the paths, but a fast hash is safe: neither a hash nor the key leaves the process, so an attacker cannot
        // search for two paths with one hash. It is computed for each file, but only documents need it.
        static KEY: OnceLock<FastHash> = OnceLock::new();
        let key = KEY.get_or_init(fast_hash);
        // The same bytes outside and inside the process's root are different paths.
        PathIdentity(match path.marked() {
            Some(marked) => key.hash_one(marked.as_slice()),
            None => key.hash_one(path.bytes.as_slice()),
        })
    }
}

/// A file whose path is redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedFile {
    /// Path.
    pub path: RedactedText,
    /// Identity of the path before redaction.
    pub identity: PathIdentity,
    /// Device: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// The path begins at its mount's root, because it is outside the process's root.
    pub unreachable: bool,
    /// The path's bytes, if they are not UTF-8 and nothing was redacted.
    pub path_bytes: Option<Vec<u8>>,
}

impl RedactedFile {
    fn new(redact: &mut dyn Redact, field: Field<'_>, file: &OpenedFile) -> RedactedFile {
        let path = RedactedText::of_path(redact, field, &file.path);
        let bytes = &file.path.bytes;
        let needs_bytes = !path.hidden() && std::str::from_utf8(bytes).is_err();
        RedactedFile {
            path,
            identity: PathIdentity::of(&file.path),
            dev: file.dev,
            inode: file.inode,
            unreachable: file.path.unreachable,
            path_bytes: needs_bytes.then(|| bytes.clone()),
        }
    }
}

/// The classifiers' verdict without its labels, which are redacted with the event's other labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileVerdict {
    /// The file's type.
    pub file_type: FileType,
    /// `name@version` of the plugin that determined the type; `None` if no plugin did.
    pub classifier: Option<Arc<str>>,
    /// Outcome of reading the file's head.
    pub head: HeadOutcome,
}

/// An event that may leave the program. Its only constructor passes every text to a redactor, except library names (file
/// names without version), container ids (hexadecimal digits), and file types and label names (checked words).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedEvent {
    timestamp: Timestamp,
    process: RedactedFacts,
    what: RedactedWhat,
    verdict: FileVerdict,
    labels: Vec<(Arc<str>, RedactedText)>,
    assets: Vec<RedactedAsset>,
}

/// [`ProcessFacts`] with its texts redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedFacts {
    /// Process id.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock.
    pub start_ns: u64,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name.
    pub name: RedactedText,
    /// Path of the executable.
    pub exe: Option<RedactedText>,
    /// Inode number of the mount namespace.
    pub mount_ns: u32,
    /// Path of the cgroup.
    pub cgroup: Option<RedactedText>,
    /// Container id.
    pub container: Option<Arc<str>>,
}

impl RedactedEvent {
    /// Redacts the texts of `event`. `extended`: whether to include the texts that only `--extended` shows.
    pub fn new(event: ClassifiedEvent, redact: &mut dyn Redact, extended: bool) -> RedactedEvent {
        RedactedEvent::of(event, redact, extended).0
    }

    /// Like [`RedactedEvent::new`]; also returns the memory of the bytes before redaction.
    pub fn of(
        event: ClassifiedEvent,
        redact: &mut dyn Redact,
        extended: bool,
    ) -> (RedactedEvent, [Vec<u8>; 2]) {
        let ClassifiedEvent { event, verdict, labels, assets } = event;
        let path = event.what.file().map(|file| &file.path);
        let verdict_labels = verdict.as_ref().map_or(&[][..], |verdict| &verdict.labels);
        let labels = verdict_labels
            .iter()
            .chain(&labels)
            .map(|label| {
                let field = Field::Label(&label.name);
                let shown = RedactedText::of_label(redact, field, &label.value, path);
                (label.name.clone(), shown)
            })
            .collect();
        let assets = assets.as_deref().unwrap_or_default().iter();
        let assets = assets.map(|asset| RedactedAsset::new(asset, redact, path)).collect();
        let (what, unused) = redact_payload(event.what, redact);
        let process = facts(event.process, redact, extended);
        let verdict = match verdict {
            Some(verdict) => FileVerdict {
                file_type: verdict.file_type,
                classifier: verdict.classifier,
                head: verdict.head,
            },
            None => FileVerdict {
                file_type: FileType::Unknown,
                classifier: None,
                head: HeadOutcome::NotNeeded,
            },
        };
        let timestamp = event.timestamp;
        (RedactedEvent { timestamp, process, what, verdict, labels, assets }, unused)
    }

    /// Gives the memory of the event's texts back.
    pub fn recycle(self, buffers: &mut Buffers) {
        let text = match self.what {
            Payload::FileOpen { file, .. } => Some(file.path),
            Payload::LibLoad { file, library_name } => {
                buffers.put_text(library_name);
                Some(file.path)
            }
            Payload::Exec { arguments } => Some(arguments),
            Payload::Exit { .. } => None,
        };
        let RedactedFacts { name, exe, cgroup, .. } = self.process;
        let texts = text.into_iter().chain([name]).chain(exe).chain(cgroup);
        let texts = texts.chain(self.labels.into_iter().map(|(_, value)| value));
        texts.for_each(|text| buffers.put_text(text.into_buffer()));
    }

    /// Returns the time of the event.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Returns the process that caused the event.
    pub fn process(&self) -> &RedactedFacts {
        &self.process
    }

    /// Returns what happened.
    pub fn what(&self) -> &RedactedWhat {
        &self.what
    }

    /// Returns the classifiers' verdict on the opened file; [`FileType::Unknown`] for other events.
    pub fn verdict(&self) -> &FileVerdict {
        &self.verdict
    }

    /// Returns the labels that plugins added: name and value.
    pub fn labels(&self) -> &[(Arc<str>, RedactedText)] {
        &self.labels
    }

    /// Returns what inspectors found in the opened file.
    pub fn assets(&self) -> &[RedactedAsset] {
        &self.assets
    }
}

/// Redacts the payload; also returns the memory of its bytes.
fn redact_payload(what: EnrichedWhat, redact: &mut dyn Redact) -> (RedactedWhat, [Vec<u8>; 2]) {
    match what {
        Payload::FileOpen { file, flags } => {
            let redacted = RedactedFile::new(redact, Field::File, &file);
            (Payload::FileOpen { file: redacted, flags }, [file.path.bytes, Vec::new()])
        }
        Payload::LibLoad { file, library_name } => {
            let redacted = RedactedFile::new(redact, Field::Library, &file);
            let mut name = redact.buffer();
            name.push_str(&String::from_utf8_lossy(&library_name));
            let what = Payload::LibLoad { file: redacted, library_name: name };
            (what, [file.path.bytes, library_name])
        }
        Payload::Exec { arguments } => {
            let redacted = RedactedText::of_arguments(redact, &arguments);
            (Payload::Exec { arguments: redacted }, [arguments.bytes, Vec::new()])
        }
        Payload::Exit { exit_code, signal } => {
            (Payload::Exit { exit_code, signal }, [const { Vec::new() }; 2])
        }
    }
}

fn facts(process: ProcessFacts, redact: &mut dyn Redact, extended: bool) -> RedactedFacts {
    let exe = process.exe.filter(|_| extended);
    let cgroup = process.cgroup.filter(|_| extended);
    RedactedFacts {
        pid: process.key.tgid,
        start_ns: process.key.start_ns,
        tid: process.tid,
        ppid: process.ppid,
        uid: process.uid,
        name: RedactedText::of(redact, Field::Process, process.comm.as_bytes()),
        exe: exe.map(|exe| RedactedText::of(redact, Field::Exe, &exe)),
        mount_ns: process.mount_ns,
        cgroup: cgroup.map(|path| RedactedText::of(redact, Field::Cgroup, path.as_bytes())),
        container: process.container,
    }
}

/// A process of a document, before redaction.
#[derive(Clone, Debug)]
pub struct ProcessSummary {
    /// Process id.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock.
    pub start_ns: u64,
    /// Start time as wall-clock time.
    pub start_time: Timestamp,
    /// Name.
    pub name: Vec<u8>,
    /// Path of the executable; `None` if it could not be read.
    pub exe: Option<Vec<u8>>,
    /// Command line; `None` if it could not be read.
    pub arguments: Option<Arguments>,
    /// Real user id.
    pub uid: u32,
    /// Real group id; `None` if it could not be read.
    pub gid: Option<u32>,
}

/// [`ProcessSummary`] with its texts redacted.
#[derive(Clone, Debug)]
pub struct RedactedProcess {
    /// Process id.
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock.
    pub start_ns: u64,
    /// Start time as wall-clock time.
    pub start_time: Timestamp,
    /// Name.
    pub name: RedactedText,
    /// Path of the executable; `None` if it could not be read.
    pub exe: Option<RedactedText>,
    /// Arguments, joined by spaces; `None` if they could not be read.
    pub cmdline: Option<RedactedText>,
    /// Real user id.
    pub uid: u32,
    /// Real group id; `None` if it could not be read.
    pub gid: Option<u32>,
}

impl RedactedProcess {
    /// Redacts every text of `process`.
    pub fn new(process: ProcessSummary, redact: &mut dyn Redact) -> RedactedProcess {
        let cmdline = process.arguments.map(|it| RedactedText::of_arguments(redact, &it));
        RedactedProcess {
            pid: process.pid,
            start_ns: process.start_ns,
            start_time: process.start_time,
            name: RedactedText::of(redact, Field::Process, &process.name),
            exe: process.exe.map(|exe| RedactedText::of(redact, Field::Exe, &exe)),
            cmdline,
            uid: process.uid,
            gid: process.gid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{HideHomes, classified, enriched, opens, process};

    fn redacted(path: &str) -> RedactedFile {
        let event = classified(enriched(0, process(7, "cat"), opens(path, 0)), None);
        let event = RedactedEvent::new(event, &mut HideHomes, false);
        event.what().file().unwrap().clone()
    }

    #[test]
    fn paths_that_are_shown_alike_keep_different_identities() {
        let (alice, bob) = (redacted("/home/alice/k.pem"), redacted("/home/bob/k.pem"));
        assert_eq!(alice.path, bob.path);
        assert_ne!(alice.identity, bob.identity);
        assert_eq!(alice, redacted("/home/alice/k.pem"));
    }

    #[test]
    fn a_path_outside_the_root_has_another_identity() {
        let inside = KernelPath { bytes: b"/a.key".to_vec(), ..KernelPath::default() };
        let outside = KernelPath { unreachable: true, ..inside.clone() };
        assert_ne!(PathIdentity::of(&inside), PathIdentity::of(&outside));
        assert_eq!(PathIdentity::of(&inside), PathIdentity::of(&inside.clone()));
    }
}
