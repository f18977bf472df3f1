//! The options of `monitor`, and the end of a run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crypto_tracer_tests::{
    Ended, Event, HomeDir, KEYS_LOAD, KEYS_OPEN, Material, Tracer, actor, needs_bpf, output,
    program, run, temp_dir, until,
};

crypto_tracer_tests::tests![
    home_directories_are_redacted,
    no_redact_shows_real_paths,
    pid_selects_one_process,
    name_selects_processes,
    library_option_selects_by_path,
    file_option_selects_by_glob,
    duration_ends_a_run,
    output_file_is_private_and_appended_to,
    quiet_run_prints_nothing,
    last_line_counts_events,
    signals_end_an_idle_run,
    closed_pipe_ends_an_idle_run,
    help_and_version_need_no_privileges,
    recording_is_a_new_private_file,
];

const NO_OPTIONS: [&str; 0] = [];
/// Time limit for the end of a run. The documented limit is 100 ms; the margin is for a loaded machine.
const PROMPT: Duration = Duration::from_millis(1500);

/// Creates a key file in a new folder.
fn key_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = temp_dir();
    let path = dir.path().join("some.key");
    fs::write(&path, &Material::get().key).unwrap();
    (dir, path)
}

fn cat(path: &Path) -> u32 {
    run(Command::new("cat").arg(path))
}

fn home_directories_are_redacted() {
    needs_bpf!();
    let home = HomeDir::new();
    let real = home.write("site.key", &Material::get().key);
    let tracer = Tracer::monitor(NO_OPTIONS);
    let pid = cat(&real);
    let events = tracer.all_of(pid);
    let texts: Vec<_> =
        events.iter().map(|e| e.text("file").to_owned() + e.text("cmdline")).collect();
    assert_eq!(texts, ["cat /home/USER/site.key", "/home/USER/site.key", ""]);
    let name = home.path().file_name().unwrap().to_str().unwrap();
    for event in tracer.finish().events {
        assert!(!event.line().contains(name), "{}", event.line());
    }
}

fn no_redact_shows_real_paths() {
    needs_bpf!();
    let home = HomeDir::new();
    let real = home.write("site.key", &Material::get().key);
    let tracer = Tracer::monitor(["--no-redact"]);
    let pid = cat(&real);
    let events = tracer.all_of(pid);
    let path = real.to_str().unwrap();
    let texts: Vec<_> =
        events.iter().map(|e| e.text("file").to_owned() + e.text("cmdline")).collect();
    assert_eq!(texts, [&format!("cat {path}"), path, ""]);
    tracer.finish();
}

fn pid_selects_one_process() {
    needs_bpf!();
    let (_dir, path) = key_file();
    let watched = actor!["open", "3", &path];
    let pid = watched.pid();
    let tracer = Tracer::monitor(["--pid", &pid.to_string()]);
    cat(&path);
    watched.end();
    let events = tracer.all_of(pid);
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["file_open", "file_open", "file_open", "process_exit"]);
    let ended = tracer.finish();
    let others: Vec<_> = ended.events.iter().filter(|event| event.pid() != Some(pid)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

fn name_selects_processes() {
    needs_bpf!();
    let (dir, path) = key_file();
    let named = dir.path().join("ct-named-prog");
    fs::copy(fs::canonicalize("/bin/cat").unwrap(), &named).unwrap();
    let tracer = Tracer::monitor(["-n", "t-named-p"]);
    cat(&path);
    let pid = run(Command::new(&named).arg(&path));
    let kinds: Vec<_> = tracer.all_of(pid).iter().map(|e| e.kind().to_owned()).collect();
    assert_eq!(kinds, ["process_exec", "file_open", "process_exit"]);
    let ended = tracer.finish();
    let other = ended.events.iter().find(|event| event.text("process") != "ct-named-prog");
    assert!(other.is_none(), "{other:?}");
}

fn library_option_selects_by_path() {
    needs_bpf!();
    let tracer = Tracer::monitor(["--library", "libssl"]);
    let pid = run(Command::new("openssl").arg("version"));
    tracer.wait_for("libssl", |event| event.pid() == Some(pid));
    // This open comes later and is not printed.
    let (_dir, path) = key_file();
    cat(&path);
    run(Command::new("openssl").arg("version"));
    let ended = tracer.finish();
    for event in &ended.events {
        event.assert_keys(&KEYS_LOAD);
        assert_eq!(event.text("library_name"), "libssl", "{}", event.line());
    }
}

fn file_option_selects_by_glob() {
    needs_bpf!();
    let (dir, path) = key_file();
    let other = dir.path().join("other.pem");
    fs::write(&other, &Material::get().key).unwrap();
    let globs = [
        "-F".to_owned(),
        "*.key".to_owned(),
        "-F".to_owned(),
        format!("{}/*", dir.path().display()),
    ];
    let tracer = Tracer::monitor(globs);
    cat(&other);
    cat(&path);
    tracer.wait_for("the key", |event| event.text("process") == "cat");
    let ended = tracer.finish();
    let events = ended.events.iter().filter(|event| !event.is_from_reader());
    let files: Vec<_> = events.map(|event| event.text("file")).collect();
    assert_eq!(files, [path.to_str().unwrap()]);
    ended.events.first().unwrap().assert_keys(&KEYS_OPEN);
}

fn duration_ends_a_run() {
    needs_bpf!();
    let tracer = Tracer::monitor(["--duration", "1"]);
    let start = Instant::now();
    let ended = tracer.wait(Duration::from_secs(1) + PROMPT);
    assert_eq!(ended.status.code(), Some(0));
    assert!(start.elapsed() > Duration::from_millis(800), "{:?}", start.elapsed());
}

fn output_file_is_private_and_appended_to() {
    needs_bpf!();
    let (dir, path) = key_file();
    let output = dir.path().join("events.json");
    for round in 1..=2 {
        let options: [OsString; 4] =
            ["-F".into(), path.clone().into(), "-o".into(), output.clone().into()];
        let tracer = Tracer::monitor(options);
        cat(&path);
        until("the event in the file", || {
            (fs::read_to_string(&output).unwrap().lines().count() >= round).then_some(())
        });
        let ended = tracer.finish();
        assert!(ended.events.is_empty(), "on standard output: {:?}", ended.events);
    }
    let mut events = Ended::events_in(&output);
    // Ignores the reader of another tracer on this machine, which reads the same file.
    events.retain(|event| event.text("process") == "cat");
    assert_eq!(events.len(), 2, "the second run appends");
    events.iter().for_each(Event::assert_documented);
    assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
}

fn quiet_run_prints_nothing() {
    needs_bpf!();
    let quiet = ["monitor", "--quiet", "--duration", "1", "-F", "/nowhere/*"];
    let output = output(Command::new(program()).args(quiet));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

fn last_line_counts_events() {
    needs_bpf!();
    let (_dir, path) = key_file();
    let watched = actor!["open", "50", &path];
    let pid = watched.pid();
    let tracer = Tracer::monitor(["--pid", &pid.to_string()]);
    watched.end();
    tracer.all_of(pid);
    let ended = tracer.finish();
    let summary = ended.summary();
    assert_eq!((summary.shown, summary.lost), (51, 0), "{:?}", ended.said);
    assert_eq!(ended.events.len(), 51);
}

fn signals_end_an_idle_run() {
    needs_bpf!();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let tracer = Tracer::monitor(["-F", "/nowhere/*"]);
        tracer.signal(signal);
        assert_eq!(tracer.wait(PROMPT).status.code(), Some(0), "signal {signal}");
    }
}

fn closed_pipe_ends_an_idle_run() {
    needs_bpf!();
    let mut command = Command::new(program());
    command.args(["monitor", "-F", "/nowhere/*"]);
    let mut tracer = Tracer::start_unread(command);
    tracer.close_output();
    let ended = tracer.wait(PROMPT);
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.said);
}

fn help_and_version_need_no_privileges() {
    for (arguments, word) in [
        (&["--help"][..], "monitor"),
        (&["monitor", "--help"], "--no-redact"),
        (&["monitor", "-h"], "--classifier"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["-V"], "crypto-tracer"),
        (&["monitor", "-V"], concat!("crypto-tracer ", env!("CARGO_PKG_VERSION"))),
        (&["plugin", "check", "--version"], concat!("crypto-tracer ", env!("CARGO_PKG_VERSION"))),
    ] {
        let output = output(Command::new(program()).args(arguments));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(word), "{arguments:?}: {text}");
    }
}

fn recording_is_a_new_private_file() {
    needs_bpf!();
    let (dir, path) = key_file();
    let recording = dir.path().join("new.rec");
    let options = ["--record", recording.to_str().unwrap()];
    let tracer = Tracer::monitor(options);
    let pid = cat(&path);
    tracer.all_of(pid);
    let ended = tracer.finish();
    let is_reported =
        ended.said.iter().any(|line| line.contains("new.rec") && line.contains("redact"));
    assert!(is_reported, "no message that it is not redacted: {:?}", ended.said);
    assert_eq!(fs::metadata(&recording).unwrap().permissions().mode() & 0o7777, 0o600);
    let raw = fs::read(&recording).unwrap();
    assert!(raw.windows(8).any(|bytes| bytes == b"some.key"), "the recording has the real names");
    // An existing file and a symbolic link are not written.
    let link = dir.path().join("link.rec");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
    for existing in [&recording, &link] {
        let mut again = Command::new(program());
        again.args(["monitor", "--duration", "1", "--record"]).arg(existing);
        let refused = output(&mut again);
        assert_ne!(refused.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(".rec"));
    }
    assert_eq!(fs::read(&recording).unwrap(), raw);
    assert!(!dir.path().join("elsewhere").exists());
}
