//! The highest load: every lost event is counted, and a run ends when requested.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crypto_tracer_tests::{
    Ended, Material, Tracer, actor, needs_bpf, program, run, temp_dir, trusted_dir, until,
    workspace,
};

crypto_tracer_tests::tests![
    received_and_lost_add_up_to_the_opens,
    signals_end_a_run_under_load,
    duration_ends_a_run_under_load,
    closed_pipe_ends_a_run_under_load,
    unread_pipe_does_not_delay_a_signal,
    reloads_with_a_site_plugin_keep_no_memory,
];

/// Opens of one run; they take one or two seconds.
const OPENS: u64 = 200_000;
/// Maximum resident memory in MiB. `cargo xtask bench` measures the release profile more exactly.
const MAX_MIB: u64 = 50;
/// Number of opens that takes longer than any run here.
const ENDLESS: &str = "3000000";
/// Time limit for the end of a run. The documented limit is 100 ms; the margin is for a loaded machine.
const PROMPT: Duration = Duration::from_millis(1500);

pub(super) fn resident_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
}

fn received_and_lost_add_up_to_the_opens() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("load.key");
    fs::write(&key, &Material::get().key).unwrap();
    let output = dir.path().join("events.json");
    let opener = actor!["open", OPENS.to_string().as_str(), &key];
    let pid = opener.pid().to_string();
    let tracer = Tracer::monitor(["--pid", &pid, "--output", output.to_str().unwrap()]);
    assert_eq!(opener.end(), OPENS.to_string());
    until("the exit, or the report that it was lost", || {
        let text = fs::read(&output).unwrap();
        let tail = text.get(text.len().saturating_sub(4000)..).unwrap_or(&text);
        let tail = String::from_utf8_lossy(tail);
        (tail.contains("process_exit") || tail.contains("ring_full_exit")).then_some(())
    });
    let resident = resident_mib(tracer.pid());
    assert!(resident < MAX_MIB, "{resident} MiB");
    let ended = tracer.finish();
    let summary = ended.summary();
    let events = Ended::events_in(&output);
    let count = |kind: &str| events.iter().filter(|event| event.kind() == kind).count() as u64;
    let reported_lost: i64 = events
        .iter()
        .filter(|event| event.kind() == "events_lost")
        .filter_map(|event| event.number("count"))
        .sum();
    // The opens, and the exit of the process.
    let received = count("file_open") + count("process_exit");
    assert_eq!(received + summary.lost, OPENS + 1, "{:?}", ended.said);
    assert_eq!(received, summary.shown, "{:?}", ended.said);
    assert_eq!(reported_lost, i64::try_from(summary.lost).unwrap(), "losses in the stream");
    assert!(
        events
            .iter()
            .all(|event| event.text("file_type") == "private_key" || event.kind() != "file_open")
    );
}

fn signals_end_a_run_under_load() {
    needs_bpf!();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let dir = temp_dir();
        let key = dir.path().join("load.key");
        fs::write(&key, "").unwrap();
        let mut opener = actor!["open", ENDLESS, &key];
        let tracer = Tracer::monitor(["--pid", &opener.pid().to_string()]);
        opener.go();
        tracer.wait_for("the load", |event| event.kind() == "file_open");
        tracer.signal(signal);
        let ended = tracer.wait(PROMPT);
        assert_eq!(ended.status.code(), Some(0), "signal {signal}: {:?}", ended.said);
        let printed = ended.events.iter().filter(|event| event.kind() != "events_lost").count();
        assert_eq!(ended.summary().shown, printed as u64, "{:?}", ended.said);
    }
}

fn duration_ends_a_run_under_load() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("load.key");
    fs::write(&key, "").unwrap();
    let mut opener = actor!["open", ENDLESS, &key];
    let tracer = Tracer::monitor(["--pid", &opener.pid().to_string(), "--duration", "1"]);
    opener.go();
    let ended = tracer.wait(Duration::from_secs(1) + PROMPT);
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.said);
    assert!(!ended.events.is_empty());
}

fn closed_pipe_ends_a_run_under_load() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("load.key");
    fs::write(&key, "").unwrap();
    let mut opener = actor!["open", ENDLESS, &key];
    let mut command = Command::new(program());
    command.args(["monitor", "--pid", &opener.pid().to_string()]);
    let mut tracer = Tracer::start_unread(command);
    opener.go();
    tracer.close_output();
    assert_eq!(tracer.wait(PROMPT).status.code(), Some(0));
}

fn unread_pipe_does_not_delay_a_signal() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("load.key");
    fs::write(&key, "").unwrap();
    let mut opener = actor!["open", "400000", &key];
    let mut command = Command::new(program());
    command.args(["monitor", "--pid", &opener.pid().to_string()]);
    let tracer = Tracer::start_unread(command);
    opener.go();
    // When the opener has ended, the pipe, the writer's buffer and the ring are full.
    opener.end();
    tracer.signal(libc::SIGTERM);
    // The tracer cannot write the remaining events, and reports their number.
    let ended = tracer.wait(PROMPT);
    assert_eq!(ended.status.code(), Some(1), "{:?}", ended.said);
    assert!(ended.said.iter().any(|line| line.contains("not written")), "{:?}", ended.said);
}

/// The compiler takes tens of megabytes for a plugin of 100 KB.
fn reloads_with_a_site_plugin_keep_no_memory() {
    needs_bpf!();
    let dir = trusted_dir();
    let fixture = workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm");
    fs::copy(fixture, dir.path().join("site.wasm")).unwrap();
    let config = dir.path().join("config.toml");
    let text = "[[classifier]]\npath = \"site.wasm\"\nallow = [\"file-head\"]\n\
        config = { way = \"good\" }\n[[classifier]]\nbundled = true\n";
    fs::write(&config, text).unwrap();
    let tracer = Tracer::monitor(["--config", config.to_str().unwrap()]);
    for reload in 1..=10 {
        tracer.signal(libc::SIGHUP);
        until("the reload", || {
            let said = tracer.said();
            let done = said.iter().filter(|line| line.contains("reloaded: ")).count();
            (done == reload).then_some(())
        });
    }
    // The old plugins are dropped before the next events are processed.
    tracer.all_of(run(&mut Command::new("true")));
    let resident = resident_mib(tracer.pid());
    assert!(resident < MAX_MIB, "{resident} MiB");
    tracer.finish();
}
