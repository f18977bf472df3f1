//! The stages in which plugins run: read heads, classify and inspect, filter, redact.

use std::time::{Duration, Instant};

use super::enrich::{Ancestry, library_name};
use super::heads::{EventHead, EventWithHead, PREFETCH_TIMEOUT, PREFETCH_TIMEOUT_FULL, Prefetched};
use super::{HeadReader, Reader, Redaction};
use crate::select::Select;
use crypto_tracer_event::{
    Buffers, ClassifiedEvent, Comm, EnrichedEvent, EnrichedWhat, KernelPath, OpenedFile,
    ProcessFacts, ProcessKey, ProcessSummary, RedactedEvent, RedactedProcess, RedactedText,
    Timestamp,
};
use crypto_tracer_plugin::{Decision, Plugins};
use crypto_tracer_reader::ProcessDetails;

/// The stages from `read heads` to `redact`, with what they need.
///
/// Commands that inspect running processes use them without the rest of the pipeline.
#[derive(Debug)]
pub struct PluginStages {
    /// Reads heads, and inspects processes.
    pub reader: Box<dyn Reader>,
    /// Classifiers, inspectors, filters and redactors.
    pub plugins: Plugins,
    /// How the redaction stage works.
    pub redaction: Redaction,
    /// The table of the stage `enrich`, for what running processes have. Nothing unless a plugin asks for ancestors.
    pub ancestry: Ancestry,
    /// Time limit for the heads of the next drain.
    pub(super) head_timeout: Duration,
}

impl PluginStages {
    /// The stages, with these parts.
    pub fn new(reader: Box<dyn Reader>, plugins: Plugins, redaction: Redaction) -> PluginStages {
        let (ancestry, head_timeout) = (Ancestry::default(), PREFETCH_TIMEOUT);
        PluginStages { reader, plugins, redaction, ancestry, head_timeout }
    }

    /// Limits the time for the heads of the next drain if the ring is more than half full.
    pub(super) fn set_ring_state(&mut self, is_half_full: bool) {
        self.head_timeout = if is_half_full { PREFETCH_TIMEOUT_FULL } else { PREFETCH_TIMEOUT };
    }

    /// Stage `read heads`: requests at once the heads that classifiers are expected to read.
    /// Moves the events to `with_heads`, which is empty.
    pub(super) fn read_heads(
        &mut self,
        events: &mut Vec<EnrichedEvent>,
        with_heads: Vec<EventWithHead>,
    ) -> Prefetched {
        self.plugins.start_batch();
        let timeout = self.head_timeout;
        Prefetched::request(&mut *self.reader, &self.plugins, events, with_heads, timeout)
    }

    /// Stage `classify`: asks the classifiers for the type of an opened file, and the inspectors for what it contains if
    /// an output needs that. Other events pass unchanged.
    pub(super) fn classify(&mut self, event: EventWithHead, until: Instant) -> ClassifiedEvent {
        let EventWithHead { event, prefetch } = event;
        let (verdict, assets) = match &event.what {
            EnrichedWhat::FileOpen { file, flags } => {
                let reader = (&mut *self.reader as &mut dyn HeadReader, until);
                let blocks = self.plugins.reads_blocks();
                let mut head =
                    EventHead::new(reader, prefetch, &event.process, file, *flags, blocks);
                let uid = event.process.uid;
                let verdict = self.plugins.classify(uid, file, *flags, &mut head);
                let assets = if verdict.skipped {
                    None
                } else {
                    self.plugins.inspect(uid, file, *flags, &mut head)
                };
                (Some(verdict), assets)
            }
            _ => (None, None),
        };
        ClassifiedEvent { event, verdict, labels: Vec::new(), assets }
    }

    /// Stage `filter`: `None` if the classifiers skipped the file or a filter drops the event. Filters may add labels.
    pub(super) fn filter(&mut self, mut event: ClassifiedEvent) -> Option<ClassifiedEvent> {
        if event.verdict.as_ref().is_some_and(|verdict| verdict.skipped) {
            return None;
        }
        match self.plugins.decide(&event) {
            Decision::Keep => Some(event),
            Decision::Label(changes) => {
                changes.apply(&mut event);
                Some(event)
            }
            Decision::Drop => None,
        }
    }

    /// Stage `redact`. `buffers`: memory of earlier events.
    pub(super) fn redact(
        &mut self,
        event: ClassifiedEvent,
        buffers: &mut Buffers,
    ) -> RedactedEvent {
        self.redaction.event(&mut self.plugins, event, buffers)
    }

    /// Redacts a process for a document.
    pub fn redact_process(&mut self, process: ProcessSummary) -> RedactedProcess {
        self.redaction.process(&mut self.plugins, process)
    }

    /// Redacts the name of the host.
    pub fn redact_hostname(&mut self, name: &[u8]) -> RedactedText {
        self.redaction.hostname(&mut self.plugins, name)
    }

    /// Runs what a process has through all stages: a load for each library that it has mapped, an open for each file that
    /// it holds open. `at`: the time of these events.
    pub fn existing(&mut self, process: &ProcessDetails, at: Timestamp) -> Vec<RedactedEvent> {
        self.existing_events(self.events_of(process, at))
    }

    /// The same for the events that pass `select`.
    pub(super) fn existing_selected(
        &mut self,
        process: &ProcessDetails,
        at: Timestamp,
        select: &Select,
    ) -> Vec<RedactedEvent> {
        let mut events = self.events_of(process, at);
        events.retain(|event| select.keeps(event, self.plugins.interest()));
        self.existing_events(events)
    }

    fn existing_events(&mut self, mut events: Vec<EnrichedEvent>) -> Vec<RedactedEvent> {
        let mut buffers = Buffers::default();
        let Prefetched { events, until } = self.read_heads(&mut events, Vec::new());
        let mut redacted = Vec::with_capacity(events.len());
        for event in events {
            let event = self.classify(event, until);
            if let Some(event) = self.filter(event) {
                redacted.push(self.redact(event, &mut buffers));
            }
        }
        redacted
    }

    /// What a process has, as events.
    fn events_of(&self, process: &ProcessDetails, at: Timestamp) -> Vec<EnrichedEvent> {
        let mut facts = details_facts(process);
        facts.ancestors = self.ancestry.of(facts.key, facts.ppid);
        let libraries = process.libraries.iter().map(|file| EnrichedWhat::LibLoad {
            library_name: library_name(path(&file.path).file_name()).to_vec(),
            file: OpenedFile {
                path: path(&file.path),
                dev: file.dev,
                inode: file.inode,
                ..OpenedFile::default()
            },
        });
        let files = process.files.iter().map(|file| EnrichedWhat::FileOpen {
            flags: file.flags,
            file: OpenedFile {
                path: KernelPath {
                    deleted: file.deleted,
                    unreachable: file.unreachable,
                    ..path(&file.path)
                },
                dev: file.dev,
                inode: file.inode,
                size: file.size,
                ctime_ns: file.ctime_ns,
                sb_magic: file.sb_magic,
                // The head of a file on a remote file system is never read.
                foreign_user_ns: file.remote,
                created: false,
            },
        });
        let payloads = libraries.chain(files);
        payloads.map(|what| EnrichedEvent { timestamp: at, process: facts.clone(), what }).collect()
    }
}

fn path(bytes: &[u8]) -> KernelPath {
    KernelPath { bytes: bytes.to_vec(), ..KernelPath::default() }
}

/// The process of an event, from `/proc`. Fields that only the kernel knows are zero.
pub(super) fn details_facts(process: &ProcessDetails) -> ProcessFacts {
    ProcessFacts {
        key: ProcessKey { tgid: process.pid, start_ns: process.start_ns },
        tid: process.pid,
        ppid: process.ppid,
        uid: process.uid,
        comm: Comm::from_name(&process.comm),
        exe: process.exe.as_deref().map(Into::into),
        ..ProcessFacts::default()
    }
}
