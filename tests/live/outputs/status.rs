//! Reports of a run about itself: `status` in the stream, `--verbose`, plugin failures in a replay.

use std::fs;
use std::process::Command;

use crypto_tracer_tests::{
    Event, Tracer, actor, needs_bpf, output, program, run, trusted_dir, until, workspace,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    sigusr1_prints_status,
    status_every_prints_status,
    verbose_prints_plugins_and_counters,
    replay_reports_plugin_failures,
];

fn assert_status(event: &Event) -> Value {
    event.assert_keys(&[
        "event_type",
        "timestamp",
        "received",
        "shown",
        "filtered",
        "skipped",
        "lost",
        "lost_by_cause",
        "plugin_failures",
        "missing_heads",
        "recording",
        "probes",
        "plugins",
    ]);
    event.micros();
    let status: Value = serde_json::from_str(event.line()).unwrap();
    let list = |name: &str| status.get(name).and_then(Value::as_array).unwrap();
    let plugins = list("plugins");
    let kinds: Vec<_> = plugins.iter().map(|plugin| plugin["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["classifier", "redactor"]);
    for plugin in plugins {
        assert_eq!(plugin["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(plugin["sha256"].as_str().unwrap().len(), 64);
    }
    assert!(!list("probes").is_empty());
    status
}

/// The command and the filters have no effect on it.
fn sigusr1_prints_status() {
    needs_bpf!();
    for command in ["monitor", "libs"] {
        let tracer = Tracer::command(command, ["--name", "ct-nobody"]);
        tracer.signal(libc::SIGUSR1);
        let status = tracer.wait_for("status", |event| event.kind() == "status");
        assert_eq!(assert_status(&status)["shown"], 0);
        tracer.signal(libc::SIGUSR1);
        until("another status", || {
            (tracer.events().iter().filter(|event| event.kind() == "status").count() == 2)
                .then_some(())
        });
        tracer.finish();
    }
}

fn status_every_prints_status() {
    needs_bpf!();
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    fs::write(&config, "[output]\nstatus_every = \"1s\"\n").unwrap();
    let tracer = Tracer::monitor(["--config", config.to_str().unwrap()]);
    let pid = run(&mut Command::new("true"));
    tracer.all_of(pid);
    let status = tracer
        .wait_for("status", |event| event.kind() == "status" && event.number("shown") >= Some(2));
    assert!(assert_status(&status)["received"].as_u64() >= Some(2));
    let first = tracer.wait_for("status", |event| event.kind() == "status").micros();
    let later = tracer
        .wait_for("the next status", |event| event.kind() == "status" && event.micros() > first)
        .micros();
    assert!(later - first > 900_000, "{first} {later}");
    tracer.finish();
}

fn verbose_prints_plugins_and_counters() {
    needs_bpf!();
    let actor = actor!["threads", "1"];
    let tracer = Tracer::monitor(["--verbose", "--pid", &actor.pid().to_string()]);
    actor.end();
    let has = |word: &str| tracer.said().iter().any(|line| line.contains(word));
    until("the counters", || has("(+1 shown)").then_some(()));
    assert!(has("plugin classifier 1: ") && has("plugin redactor 1: ") && has("sha256"));
    assert!(has("ready: "));
    let stderr = tracer.finish().said;
    let last = stderr.last().unwrap();
    for word in
        ["1 event shown", "filtered", "0 lost", "plugin failures", "s of processor time", "peak "]
    {
        assert!(last.contains(word), "{last}");
    }
    let (_, reader) = last.split_once("; its reader: ").unwrap_or_else(|| unreachable!("{last}"));
    let (_, peak) = reader.split_once(" s of processor time, peak ").unwrap();
    assert!(peak.strip_suffix(" MiB").unwrap().parse::<u32>().unwrap() > 0, "{last}");
}

/// A replay runs the current plugins, and reports their failures as a live run does.
fn replay_reports_plugin_failures() {
    needs_bpf!();
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    let hostile = workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm");
    fs::copy(hostile, dir.path().join("bad.wasm")).unwrap();
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    let filter =
        "[[filter]]\npath = \"bad.wasm\"\nallow = [\"file-head\"]\nconfig = { way = \"panic\" }\n";
    for (more, code) in [("", 0), ("[plugins]\non_failure = \"stop\"\n", 1)] {
        fs::write(&config, format!("{filter}{more}")).unwrap();
        let mut replay = Command::new(program());
        replay.arg("replay").arg(&recording).arg("--config").arg(&config);
        let ended = output(&mut replay);
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{stderr}");
        let text = String::from_utf8(ended.stdout).unwrap();
        let failed = text.lines().map(Event::of).find(|event| event.kind() == "plugin_failed");
        let failed = failed.unwrap_or_else(|| unreachable!("{stderr}"));
        assert_eq!((failed.text("kind"), failed.text("cause")), ("filter", "panic"));
    }
}
