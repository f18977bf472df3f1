//! Standard output and standard error that are closed or full from the start, for commands that trace and commands that
//! do not.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crypto_tracer_tests::{
    Material, Tracer, actor, needs_bpf, output, program, run, temp_dir, until, workspace,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    closed_standard_output_ends_a_run_before_tracing,
    closed_standard_output_ends_unprivileged_commands,
    closed_standard_error_does_not_end_a_run,
    full_device_ends_a_stream_and_counts_unwritten_events,
    full_device_is_reported_by_profile,
];

/// Time limit for the end of a run, with a margin for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// Returns a command that runs the program with a shell redirection.
fn redirected(redirection: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")]);
    command.arg(program()).args(arguments);
    command
}

fn assert_closed(arguments: &[&str]) {
    let ended = output(&mut redirected(">&-", arguments));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {stderr}");
    assert!(stderr.contains("standard output") && stderr.contains("closed"), "{stderr}");
}

fn closed_standard_output_ends_a_run_before_tracing() {
    needs_bpf!();
    let actor = actor!["threads", "1"];
    let pid = actor.pid().to_string();
    for command in ["monitor", "files", "libs"] {
        assert_closed(&[command, "--duration", "30"]);
    }
    assert_closed(&["profile", "--duration", "30", "--pid", &pid]);
}

fn closed_standard_output_ends_unprivileged_commands() {
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    assert_closed(&["replay", recording.to_str().unwrap()]);
    assert_closed(&["doctor"]);
    assert_closed(&["doctor", "--format", "summary"]);
}

/// The run traces without its messages.
fn closed_standard_error_does_not_end_a_run() {
    needs_bpf!();
    let dir = temp_dir();
    let file = dir.path().join("events.json");
    let mut command = redirected("2>&-", &["monitor", "--verbose", "-o", file.to_str().unwrap()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    // The run cannot report that it is ready.
    until("a process in the output", || {
        let pid = run(&mut Command::new("true"));
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.contains(&format!("\"pid\":{pid},")).then_some(())
    });
    // SAFETY: the call accesses no memory, and the child was not waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM) };
    let status = until("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with('\n'), "the last line is incomplete");
    let lines = text.lines().map(serde_json::from_str::<Value>);
    assert!(lines.collect::<Result<Vec<_>, _>>().is_ok_and(|lines| !lines.is_empty()));

    let actor = actor!["threads", "1"];
    let pid = actor.pid().to_string();
    let arguments = ["profile", "--duration", "1", "--pid", &pid, "--format", "json-stream"];
    let profile = output(&mut redirected("2>&-", &arguments));
    assert_eq!(profile.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&profile.stdout).unwrap();
    assert_eq!(document["process"]["pid"], actor.pid());
}

/// The run ends immediately with exit code 1, and reports how many events were not written.
fn full_device_ends_a_stream_and_counts_unwritten_events() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("some.key");
    fs::write(&key, &Material::get().key).unwrap();
    for arguments in [&["monitor"][..], &["files"], &["files", "--format", "json-array"]] {
        let tracer = Tracer::start_unread(redirected(">/dev/full", arguments));
        run(Command::new("cat").arg(&key));
        let ended = tracer.wait(SOON);
        let stderr = ended.said.join("\n");
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {stderr}");
        // The message has a singular and a plural form.
        let stderr = stderr.replace(" event was not written", " events were not written");
        let (before, _) = stderr.split_once(" events were not written").unwrap();
        let count: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(count > 0 && stderr.contains("standard output"), "{stderr}");
        assert_eq!(
            ended.summary().shown,
            count,
            "not all events are counted as unwritten: {stderr}"
        );
    }
}

fn full_device_is_reported_by_profile() {
    needs_bpf!();
    let actor = actor!["threads", "1"];
    let pid = actor.pid().to_string();
    let arguments = ["profile", "--duration", "1", "--pid", &pid];
    let ended = output(&mut redirected(">/dev/full", &arguments));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("standard output") && stderr.contains("No space left"), "{stderr}");
}
