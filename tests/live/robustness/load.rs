//! The highest load: every lost event is counted, and a run ends when requested.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use crypto_tracer_tests::{
    Actor, Ended, Material, Tracer, actor, needs_bpf, program, run, temp_dir, trusted_dir, until,
    workspace,
};

crypto_tracer_tests::tests![
    received_and_lost_add_up_to_the_opens,
    counts_add_up_with_events_left_in_the_ring,
    a_flooder_on_each_core_costs_others_nothing,
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

/// The ring also has forks, which are no events.
fn counts_add_up_with_events_left_in_the_ring() {
    const FORKS: u64 = 400;
    const OPENS_EACH: u64 = 30;
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("load.key");
    fs::write(&key, "").unwrap();
    let (forks, opens) = (FORKS.to_string(), OPENS_EACH.to_string());
    let parent = actor!["forks", &forks, &opens, &key];
    let pid = parent.pid().to_string();
    let tracer = Tracer::monitor(["--pid", &pid, "--follow-children"]);
    // The tracer reads nothing until it has to end.
    tracer.signal(libc::SIGSTOP);
    parent.end();
    tracer.signal(libc::SIGTERM);
    tracer.signal(libc::SIGCONT);
    let ended = tracer.wait(PROMPT);
    let summary = ended.summary();
    let done = FORKS * OPENS_EACH + FORKS + 1;
    assert_eq!(summary.shown + summary.filtered + summary.lost, done, "{:?}", ended.said);
    let left = ended.said.iter().any(|line| line.contains("ended_before"));
    assert!(left, "nothing was left in the ring: {:?}", ended.said);
}

/// The flooders' paths are as long as possible, so that they fill the ring.
fn a_flooder_on_each_core_costs_others_nothing() {
    const FILES: usize = 300;
    needs_bpf!();
    let dir = temp_dir();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut deep = dir.path().to_owned();
    (0..15).for_each(|_| deep.push("l".repeat(250)));
    fs::create_dir_all(&deep).unwrap();
    let deep = deep.join("x.pem");
    fs::write(&deep, "").unwrap();
    let files: Vec<_> = (0..FILES).map(|at| dir.path().join(format!("{at}.pem"))).collect();
    files.iter().for_each(|file| fs::write(file, "").unwrap());
    let output = dir.path().join("events.json");
    let tracer = Tracer::command("files", ["--output", output.to_str().unwrap()]);
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut flooders: Vec<_> =
        (0..cores).map(|_| actor!["as", "65534", "open", ENDLESS, &deep]).collect();
    flooders.iter_mut().for_each(Actor::go);
    let shown = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        let events = text.lines().filter(|line| line.contains("file_open"));
        let of = |name: &str| Some(name.rsplit_once(".pem\"")?.0.rsplit_once('/')?.1.to_owned());
        let numbers = events.filter_map(|line| of(line)?.parse::<usize>().ok());
        numbers.collect::<std::collections::BTreeSet<usize>>()
    };
    until("the flood", || (fs::metadata(&output).unwrap().len() > 1 << 20).then_some(()));
    let mut arguments: Vec<&std::ffi::OsStr> =
        ["as", "1001", "paced", "100", "300"].iter().map(std::ffi::OsStr::new).collect();
    arguments.extend(files.iter().map(|file| file.as_os_str()));
    let victim = Actor::start(env!("CARGO_BIN_EXE_actor"), &arguments);
    assert_eq!(victim.end(), FILES.to_string());
    drop(flooders);
    // The ring keeps the order of events.
    let sentinel = dir.path().join("sentinel.pem");
    fs::write(&sentinel, "").unwrap();
    until("an event after all others", || {
        fs::read(&sentinel).unwrap();
        String::from_utf8_lossy(&fs::read(&output).unwrap()).contains("/sentinel.pem").then_some(())
    });
    let last = tracer.finish();
    let seen = shown(&fs::read(&output).unwrap());
    assert!(seen.len() >= FILES * 99 / 100, "{} of {FILES}: {:?}", seen.len(), last.said);
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
