//! A recording that cannot be written: reported at once, with the number of records that are missing.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crypto_tracer_tests::{Event, Tracer, actor, needs_bpf, program, temp_dir, until};

crypto_tracer_tests::tests![full_disk_is_reported_during_the_run];

/// Opens of the load. Their records need far more than the file system has.
const OPENS: &str = "20000";

fn status(tracer: &Tracer) -> Value {
    let count = |events: &[Event]| events.iter().filter(|event| event.kind() == "status").count();
    let before = count(&tracer.events());
    tracer.signal(libc::SIGUSR1);
    until("a status", || (count(&tracer.events()) > before).then_some(()));
    let events = tracer.events();
    let last = events.iter().rfind(|event| event.kind() == "status").unwrap();
    serde_json::from_str(last.line()).unwrap()
}

fn full_disk_is_reported_during_the_run() {
    needs_bpf!();
    let dir = temp_dir();
    let mount =
        "mount -t tmpfs -o size=256k none \"$1\" && exec \"$0\" monitor --record \"$1/full.rec\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", mount]).arg(program()).arg(dir.path());
    let tracer = Tracer::start(command);
    let recording = &status(&tracer)["recording"];
    assert_eq!(recording["missing"], 0, "{recording}");
    let files = temp_dir();
    let key = files.path().join("a.key");
    std::fs::write(&key, "").unwrap();
    assert_eq!(actor!["open", OPENS, &key].end(), OPENS);
    until("the report of the full disk", || {
        let reports =
            |line: &String| line.contains("full.rec is incomplete") && line.contains("No space");
        tracer.said().iter().any(reports).then_some(())
    });
    let recording = &status(&tracer)["recording"];
    let missing = recording["missing"].as_u64().unwrap();
    assert!(missing > 0 && recording["written"].as_u64().is_some(), "{recording}");
    tracer.signal(libc::SIGINT);
    let ended = tracer.wait(Duration::from_secs(10));
    assert_eq!(ended.status.code(), Some(1), "{:?}", ended.said);
    let last = ended.said.last().unwrap();
    assert!(last.contains("full.rec") && last.contains("records were not written"), "{last}");
    assert!(!last.contains(" 0 records"), "{last}");
    let reports = ended.said.iter().filter(|line| line.contains("is incomplete")).count();
    assert_eq!(reports, 1, "it is reported once: {:?}", ended.said);
}
