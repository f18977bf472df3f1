//! Documents of a recorded run, in every format. The recording is tests/fixtures/recordings/every-event.rec.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::{Pipeline, PluginStages, RecordedHeads, Redaction, replay};
use crate::enrich::Enrich;
use crate::recording::{Frame, Frames};
use crate::select::Select;
use crate::stats::Stats;
use crypto_tracer_event::{Arguments, ProcessSummary, RedactedEvent, RedactedWhat, Timestamp};
use crypto_tracer_output::document::{
    Document, ProcessHoldings, Profile, ProfileBuilder, RunSummary, Snapshot, SnapshotBuilder,
    SnapshotCoverage,
};
use crypto_tracer_output::memory::MemoryOutput;
use crypto_tracer_output::{DocumentShape, document_json};
use crypto_tracer_plugin::{Plugins, Setup};
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::{Console, Verbosity};
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// Returns all events of the recording after all stages, and the stages.
fn recorded(redact: bool) -> (Vec<RedactedEvent>, PluginStages) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/recordings/every-event.rec");
    let mut frames = Frames::open(File::open(path).unwrap()).unwrap();
    assert!(matches!(frames.next_frame(), Ok(Frame::Start(_))));
    let shutdown = Shutdown::default();
    let signals = Signals::start(shutdown.clone()).unwrap();
    let heads = RecordedHeads::default();
    let clock = Clock::recorded();
    let setup = Setup { clock: clock.clone(), ..Setup::default() };
    let output = MemoryOutput::default();
    let mut pipeline = Pipeline {
        enrich: Enrich::new(clock.clone()),
        clock,
        select: Select::default(),
        observers: Vec::new(),
        stages: PluginStages::new(
            Box::new(heads.clone()),
            Plugins::load(&setup).unwrap(),
            Redaction { enabled: redact, extended: true },
        ),
        baseline: None,
        output: Box::new(output.clone()),
        stats: Stats::default(),
        shutdown,
        console: Console(Verbosity::Quiet),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(replay(
        frames,
        &mut pipeline,
        &heads,
        super::RecordingCoverage::default(),
        &signals,
    ));
    let (events, notices) = output.take();
    assert_eq!(notices, [], "no losses and failures in the recorded run");
    assert_eq!(pipeline.stats.shown, events.len() as u64);
    (events, pipeline.stages)
}

/// The start time assumes that the machine booted at the start of 1970, so that it is equal on every machine.
fn summary(event: &RedactedEvent) -> ProcessSummary {
    let process = event.process();
    let arguments = match event.what() {
        RedactedWhat::Exec { arguments } => Some(arguments.as_str()),
        _ => None,
    };
    let words =
        |line: &str| line.split(' ').flat_map(|it| [it.as_bytes(), b"\0"].concat()).collect();
    ProcessSummary {
        pid: process.pid,
        start_ns: process.start_ns,
        start_time: Timestamp(i64::try_from(process.start_ns / 1000).unwrap()),
        name: process.name.as_str().into(),
        exe: process.exe.as_ref().map(|exe| exe.as_str().into()),
        arguments: arguments.map(|line| Arguments { bytes: words(line), truncated: false }),
        uid: process.uid,
        gid: None,
    }
}

fn profile(redact: bool) -> Profile {
    let (events, mut stages) = recorded(redact);
    let run = RunSummary {
        at: events.last().map(RedactedEvent::timestamp).unwrap(),
        duration: Duration::from_millis(2500),
        total_events: events.len() as u64,
        events_lost: 0,
        list_processes: true,
    };
    let mut builder = ProfileBuilder::default();
    for event in &events {
        let summary = summary(event);
        if !builder.knows(summary.pid, summary.start_ns) {
            builder.add_process(stages.redact_process(summary));
        }
        builder.add_event(event);
    }
    builder.finish(run, &std::collections::HashMap::new())
}

/// A snapshot in which every process still has open and mapped what it opened and mapped in the recorded run.
fn snapshot(redact: bool) -> Snapshot {
    let (events, mut stages) = recorded(redact);
    let at = events.last().map(RedactedEvent::timestamp).unwrap();
    let mut processes: BTreeMap<u32, Vec<RedactedEvent>> = BTreeMap::new();
    for event in events {
        processes.entry(event.process().pid).or_default().push(event);
    }
    let mut builder = SnapshotBuilder::default();
    for holds in processes.into_values() {
        let last = summary(holds.last().unwrap());
        let process = stages.redact_process(ProcessSummary { arguments: None, ..last });
        builder.add_process(ProcessHoldings { process, running_as: "USER".to_owned(), holds });
    }
    let coverage = SnapshotCoverage { complete: false, unreadable_processes: 1 };
    let hostname = stages.redact_hostname(b"host");
    builder.finish(at, (hostname, "6.1.0".to_owned()), coverage)
}

/// Renders a document in every format.
fn printed(document: &impl Document) -> String {
    let json = |shape| String::from_utf8(document_json(document, shape).unwrap()).unwrap();
    let rendered = [
        ("json-pretty", json(DocumentShape::Pretty)),
        ("json-stream", json(DocumentShape::Line)),
        ("json-array", json(DocumentShape::Array)),
        ("summary", document.summary()),
    ];
    rendered.map(|(format, text)| format!("== {format}\n{text}")).concat()
}

#[test]
fn a_profile_of_the_recorded_run() {
    insta::assert_snapshot!(printed(&profile(true)));
}

#[test]
fn a_snapshot_of_the_recorded_run() {
    insta::assert_snapshot!(printed(&snapshot(true)));
}

#[test]
fn documents_are_redacted_unless_redaction_is_off() {
    for (hidden, shown) in [
        (printed(&profile(true)), printed(&profile(false))),
        (printed(&snapshot(true)), printed(&snapshot(false))),
    ] {
        assert!(!hidden.contains("alice") && hidden.contains("/home/USER/"), "{hidden}");
        assert!(shown.contains("/home/alice/"), "{shown}");
    }
}
