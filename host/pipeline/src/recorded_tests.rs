//! The documents of a recorded run, in every format: tests/fixtures/recordings/every-event.rec through all steps.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Family, Pipeline, RecordedHeads, Sink, redactor, replay};
use crate::enrich::Enrich;
use crate::recording::{Frame, Frames};
use crate::select::Select;
use crate::stats::Stats;
use crypto_tracer_event::{
    ClassifiedEvent, EnrichedWhat, Field, Notice, ProcessFacts, RedactedText, Timestamp,
};
use crypto_tracer_output::document::{
    Document, ProcessHoldings, Profile, ProfileBuilder, RunSummary, SeenProcess, Snapshot,
    SnapshotBuilder, SnapshotCoverage,
};
use crypto_tracer_output::{DocumentShape, document_json};
use crypto_tracer_plugin::{Plugins, Setup};
use crypto_tracer_system::console::{Console, Verbosity};
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// Gathers what is left for the documents.
#[derive(Default)]
struct Gathered(Vec<ClassifiedEvent>);

impl Sink for Gathered {
    type Ended = Vec<ClassifiedEvent>;

    fn event(&mut self, event: ClassifiedEvent, _: &mut Plugins) {
        self.0.push(event);
    }

    fn notice(&mut self, notice: &Notice) {
        unreachable!("the recording is of a run where nothing went wrong: {notice:?}");
    }

    fn watched(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn finish(self, _: Instant) -> Vec<ClassifiedEvent> {
        self.0
    }
}

/// All events of the recording, and the plugins that judged them.
fn recorded() -> (Vec<ClassifiedEvent>, Plugins) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/recordings/every-event.rec");
    let mut frames = Frames::open(File::open(path).unwrap()).unwrap();
    assert!(matches!(frames.next_frame(), Ok(Frame::Start(_))));
    let shutdown = Shutdown::default();
    let signals = Signals::start(shutdown.clone()).unwrap();
    let heads = RecordedHeads::default();
    let mut line = Pipeline {
        enrich: Enrich::default(),
        select: Select::default(),
        family: Family::default(),
        plugins: Plugins::load(&Setup::default()).unwrap(),
        heads: Box::new(heads.clone()),
        sink: Gathered::default(),
        stats: Stats::default(),
        shutdown,
        console: Console(Verbosity::Quiet),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(replay(
        frames,
        &mut line,
        &heads,
        super::RecordingCoverage::default(),
        &signals,
    ));
    (line.sink.finish(Instant::now()), line.plugins)
}

/// A moment of the boot clock as if the machine had started with the year 1970: the same everywhere.
fn since_boot(ns: u64) -> Timestamp {
    Timestamp(i64::try_from(ns / 1000).unwrap())
}

fn seen(process: &ProcessFacts, what: &EnrichedWhat) -> SeenProcess {
    let arguments = match what {
        EnrichedWhat::Exec { arguments } => Some(arguments.clone()),
        _ => None,
    };
    SeenProcess {
        pid: process.key.tgid,
        start_ns: process.key.start_ns,
        start_time: since_boot(process.key.start_ns),
        name: process.comm.as_bytes().to_vec(),
        exe: process.exe.as_deref().map(<[u8]>::to_vec),
        arguments,
        uid: process.uid,
        gid: None,
    }
}

fn profile(redact: bool) -> Profile {
    let (events, mut plugins) = recorded();
    let run = RunSummary {
        at: events.last().map(|last| last.event.timestamp).unwrap(),
        duration: Duration::from_millis(2500),
        total_events: events.len() as u64,
        events_lost: 0,
        several: true,
    };
    let mut builder = ProfileBuilder::default();
    for event in events {
        let process = &event.event.process;
        let mut redact = redactor(&mut plugins, process.uid, redact);
        if !builder.knows(process.key.tgid, process.key.start_ns) {
            builder.meet(seen(process, &event.event.what), &mut *redact);
        }
        builder.event(event, &mut *redact);
    }
    builder.finish(run)
}

/// As if every process still held what it opened and mapped.
fn snapshot(redact: bool) -> Snapshot {
    let (events, mut plugins) = recorded();
    let at = events.last().map(|last| last.event.timestamp).unwrap();
    let mut processes: BTreeMap<u32, Vec<ClassifiedEvent>> = BTreeMap::new();
    for event in events {
        processes.entry(event.event.process.key.tgid).or_default().push(event);
    }
    let mut builder = SnapshotBuilder::default();
    for (pid, holds) in processes {
        let last = holds.last().map(|held| held.event.process.clone()).unwrap();
        let seen = ProcessHoldings {
            pid,
            name: last.comm.as_bytes(),
            exe: last.exe.as_deref(),
            running_as: "USER".to_owned(),
            holds,
        };
        builder.process(seen, &mut *redactor(&mut plugins, last.uid, redact));
    }
    let coverage = SnapshotCoverage { complete: false, unreadable_processes: 1 };
    let hostname =
        RedactedText::of(&mut *redactor(&mut plugins, 0, redact), Field::Hostname, b"host");
    builder.finish(at, (hostname, "6.1.0".to_owned()), coverage)
}

/// In each format of documents.
fn printed(document: &impl Document) -> String {
    let json = |shape| String::from_utf8(document_json(document, shape).unwrap()).unwrap();
    let whole = [
        ("json-pretty", json(DocumentShape::Pretty)),
        ("json-stream", json(DocumentShape::Line)),
        ("json-array", json(DocumentShape::Array)),
        ("summary", document.summary()),
    ];
    whole.map(|(format, text)| format!("== {format}\n{text}")).concat()
}

#[test]
fn a_profile_of_the_recorded_run() {
    insta::assert_snapshot!(printed(&profile(true)));
}

#[test]
fn a_snapshot_of_what_the_recorded_run_held() {
    insta::assert_snapshot!(printed(&snapshot(true)));
}

#[test]
fn what_the_recorded_documents_hide_is_in_them_with_no_redact() {
    for (hidden, shown) in [
        (printed(&profile(true)), printed(&profile(false))),
        (printed(&snapshot(true)), printed(&snapshot(false))),
    ] {
        assert!(!hidden.contains("alice") && hidden.contains("/home/USER/"), "{hidden}");
        assert!(shown.contains("/home/alice/"), "{shown}");
    }
}
