//! An event that may leave the program.

use std::sync::Arc;

use super::{
    ClassifiedEvent, EnrichedWhat, Field, FileType, HeadOutcome, ProcessFacts, Redact,
    RedactedText, Timestamp,
};

/// What happened, with every text redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedactedWhat {
    /// A file was opened.
    FileOpen {
        /// Its path.
        file: RedactedText,
        /// What it is.
        file_type: FileType,
        /// Open flags as the caller gave them.
        flags: u32,
        /// Who said what it is.
        classifier: Option<Arc<str>>,
        /// What became of the head.
        head: HeadOutcome,
        /// Where it is.
        place: FileLocation,
    },
    /// A library's code was mapped.
    LibLoad {
        /// Its path.
        library: RedactedText,
        /// Its name without version.
        library_name: String,
        /// Where it is.
        place: FileLocation,
    },
    /// Another program runs.
    Exec {
        /// The command line.
        cmdline: RedactedText,
    },
    /// The process ended.
    Exit {
        /// Exit status; 128 + N when signal N killed it.
        exit_code: i32,
        /// The signal that killed it.
        signal: Option<u8>,
    },
}

/// Where a file is, besides its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLocation {
    /// Device: major << 20 | minor.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Outside the process's root.
    pub unreachable: bool,
    /// The path byte for byte, when it is no UTF-8 and nothing was hidden.
    pub file_bytes: Option<Vec<u8>>,
}

/// An event that may leave the program: its only constructor hands every text to a redactor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedEvent {
    timestamp: Timestamp,
    process: Facts,
    what: RedactedWhat,
    labels: Vec<(Arc<str>, RedactedText)>,
}

/// [`ProcessFacts`] with its texts redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Parent.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name.
    pub name: RedactedText,
    /// Executable.
    pub exe: Option<RedactedText>,
    /// Mount namespace.
    pub mount_ns: u32,
    /// Path of the cgroup.
    pub cgroup: Option<RedactedText>,
    /// Container id.
    pub container: Option<Arc<str>>,
}

impl RedactedEvent {
    /// Redacts every text of `event`. `extended`: also those that only `--extended` shows.
    pub fn new(event: ClassifiedEvent, redact: &mut dyn Redact, extended: bool) -> RedactedEvent {
        let ClassifiedEvent { event, verdict, labels } = event;
        let opened = match &event.what {
            EnrichedWhat::FileOpen { file, .. } | EnrichedWhat::LibLoad { file, .. } => {
                Some(&file.path)
            }
            EnrichedWhat::Exec { .. } | EnrichedWhat::Exit { .. } => None,
        };
        let verdict_labels = verdict.as_ref().map_or(&[][..], |verdict| &verdict.labels);
        let labels = verdict_labels
            .iter()
            .chain(&labels)
            .map(|label| {
                let field = Field::Label(&label.name);
                let shown = RedactedText::of_label(redact, field, &label.value, opened);
                (label.name.clone(), shown)
            })
            .collect();
        let what = match event.what {
            EnrichedWhat::FileOpen { file, flags } => {
                let shown = RedactedText::of_path(redact, Field::File, &file.path);
                let (file_type, classifier, head) = verdict
                    .map_or((FileType::Unknown, None, HeadOutcome::NotNeeded), |verdict| {
                        (verdict.file_type, verdict.classifier, verdict.head)
                    });
                let place = place(&file, &shown);
                RedactedWhat::FileOpen { file: shown, file_type, flags, classifier, head, place }
            }
            EnrichedWhat::LibLoad { file, library_name } => {
                let shown = RedactedText::of_path(redact, Field::Library, &file.path);
                RedactedWhat::LibLoad {
                    place: place(&file, &shown),
                    library: shown,
                    library_name: String::from_utf8_lossy(&library_name).into_owned(),
                }
            }
            EnrichedWhat::Exec { arguments } => {
                RedactedWhat::Exec { cmdline: RedactedText::of_arguments(redact, &arguments) }
            }
            EnrichedWhat::Exit { exit_code, signal } => RedactedWhat::Exit { exit_code, signal },
        };
        let process = facts(event.process, redact, extended);
        RedactedEvent { timestamp: event.timestamp, process, what, labels }
    }

    /// When.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Who.
    pub fn process(&self) -> &Facts {
        &self.process
    }

    /// What.
    pub fn what(&self) -> &RedactedWhat {
        &self.what
    }

    /// What plugins added.
    pub fn labels(&self) -> &[(Arc<str>, RedactedText)] {
        &self.labels
    }
}

fn facts(process: ProcessFacts, redact: &mut dyn Redact, extended: bool) -> Facts {
    let exe = process.exe.filter(|_| extended);
    let cgroup = process.cgroup.filter(|_| extended);
    Facts {
        pid: process.key.tgid,
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

fn place(file: &super::OpenedFile, shown: &RedactedText) -> FileLocation {
    let bytes = &file.path.bytes;
    let odd = !shown.hidden() && std::str::from_utf8(bytes).is_err();
    FileLocation {
        dev: file.dev,
        inode: file.inode,
        unreachable: file.path.unreachable,
        file_bytes: odd.then(|| bytes.clone()),
    }
}
