//! `profile`: one document about selected processes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crypto_tracer_tests::{
    Ended, HomeDir, Material, Tracer, actor, needs_bpf, output, program, run, temp_dir, until,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    earlier_libraries_and_files_are_included,
    opens_are_counted_per_file,
    run_waits_for_a_process_of_this_name,
    name_without_a_process_is_a_failure,
    run_ends_with_the_last_descendant,
    sigusr1_and_sighup_do_not_end_the_run,
    signal_ends_the_run_with_its_document,
    closed_pipe_ends_the_run,
    pid_or_name_is_required,
    run_ends_when_the_pid_ends_without_the_name,
    two_pids_are_refused,
];

/// Far longer than a test: a run that ends before it ends for another reason.
const LONG: &str = "10m";
/// Time limit for the end of a run, with a margin for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

fn profile(options: &[&str]) -> Tracer {
    Tracer::command("profile", options.iter().chain(&["--format", "json-stream"]))
}

/// Returns the document, the only line of the output.
fn document(ended: &Ended) -> Value {
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.said);
    let [line] = ended.events.as_slice() else { unreachable!("{:?}", ended.said) };
    serde_json::from_str(line.line()).unwrap()
}

fn file<'a>(document: &'a Value, path: &str) -> &'a Value {
    let files = document["files_accessed"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path).unwrap()
}

/// Copies `cat` under a unique name.
fn copy_of_cat(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::copy(fs::canonicalize("/bin/cat").unwrap(), &path).unwrap();
    path
}

/// Starts a process that has OpenSSL's libraries mapped and a key open until its standard input is closed.
fn idle_openssl(key: &Path) -> Child {
    let mut command = Command::new("sh");
    let script = "exec 7<\"$0\"; exec openssl enc -aes-128-cbc -k x";
    command.args(["-c", script]).arg(key);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let maps = format!("/proc/{}/maps", child.id());
    until("libcrypto", || fs::read_to_string(&maps).ok().filter(|maps| maps.contains("libcrypto")));
    child
}

fn earlier_libraries_and_files_are_included() {
    needs_bpf!();
    let home = HomeDir::new();
    let key = home.write("held.key", &Material::get().key);
    let mut openssl = idle_openssl(&key);
    let pid = openssl.id().to_string();
    let tracer = profile(&["--pid", &pid, "--duration", LONG]);
    drop(openssl.stdin.take());
    openssl.wait().unwrap();
    let ended = tracer.wait(SOON);
    let document = document(&ended);
    assert_eq!(document["profile_version"], "1.0");
    assert!(document["duration_seconds"].as_f64().unwrap() < 500.0);
    let process = &document["process"];
    assert_eq!((&process["name"], &process["gid"]), (&"openssl".into(), &0.into()));
    // OpenSSL overwrites the password in its command line with blanks.
    let cmdline = process["cmdline"].as_str().unwrap();
    assert_eq!(cmdline.trim_end(), "openssl enc -aes-128-cbc -k");
    assert!(process["exe"].as_str().unwrap().ends_with("/openssl"));
    assert!(document.get("processes").is_none(), "`processes` is present for a single process");
    let libraries = document["libraries"].as_array().unwrap();
    let before = libraries.iter().find(|library| library["name"] == "libcrypto").unwrap();
    assert_eq!(before["load_time"], Value::Null);
    let held = file(&document, "/home/USER/held.key");
    assert_eq!((&held["access_count"], &held["first_access"]), (&0.into(), &Value::Null));
    assert_eq!((&held["type"], &held["mode"]), (&"private_key".into(), &"read".into()));
    let statistics = &document["statistics"];
    assert_eq!(
        (&statistics["files_accessed"], &statistics["total_events"]),
        (&0.into(), &1.into())
    );
    assert_eq!(statistics["events_lost"], 0);
    let name = home.path().file_name().unwrap().to_str().unwrap();
    assert!(!document.to_string().contains(name), "a user name was not redacted");
}

fn opens_are_counted_per_file() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("counted.key");
    fs::write(&key, &Material::get().key).unwrap();
    let actor = actor!["open", "5", &key];
    let tracer = profile(&["--pid", &actor.pid().to_string(), "--duration", LONG]);
    actor.end();
    let document = document(&tracer.wait(SOON));
    let opened = file(&document, key.to_str().unwrap());
    assert_eq!((&opened["access_count"], &opened["mode"]), (&5.into(), &"read".into()));
    let (first, last) = (opened["first_access"].as_str(), opened["last_access"].as_str());
    assert!(first.is_some() && first <= last, "{opened}");
    let statistics = &document["statistics"];
    assert_eq!(
        (&statistics["files_accessed"], &statistics["total_events"]),
        (&1.into(), &6.into())
    );
}

fn run_waits_for_a_process_of_this_name() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("late.key");
    fs::write(&key, &Material::get().key).unwrap();
    let cat = copy_of_cat(dir.path(), "ct-profiled");
    let tracer = profile(&["--name", "ct-prof", "--duration", LONG]);
    run(Command::new("cat").arg(&key));
    let pid = run(Command::new(&cat).arg(&key));
    let ended = tracer.wait(SOON);
    assert!(ended.said.iter().any(|line| line.contains("waiting for one")), "{:?}", ended.said);
    let document = document(&ended);
    let processes = document["processes"].as_array().unwrap();
    assert_eq!(processes.iter().map(|p| &p["pid"]).collect::<Vec<_>>(), [&Value::from(pid)]);
    assert_eq!(document["process"], processes[0]);
    assert_eq!(document["process"]["exe"], cat.to_str().unwrap());
    assert_eq!(file(&document, key.to_str().unwrap())["access_count"], 1);
}

fn name_without_a_process_is_a_failure() {
    needs_bpf!();
    let arguments = ["profile", "--name", "ct-never-there", "--duration", "1"];
    let output = output(Command::new(program()).args(arguments));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(
        stderr.lines().any(|line| line.contains("'ct-never-there'") && line.contains("no process"))
    );
}

/// The descendants include several processes; the run ends with the last one.
fn run_ends_with_the_last_descendant() {
    needs_bpf!();
    let dir = temp_dir();
    let keys = ["before.key", "child.key", "last.key"].map(|name| dir.path().join(name));
    keys.iter().for_each(|key| fs::write(key, &Material::get().key).unwrap());
    let script = "read go; cat \"$1\" >/dev/null; (sleep 0.3; cat \"$2\" >/dev/null) & exit 0";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).args(&keys).stdin(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let pid = shell.id();
    let tracer = profile(&["--pid", &pid.to_string(), "--follow-children", "--duration", LONG]);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    let document = document(&tracer.wait(SOON));
    assert_eq!(document["process"]["pid"], pid);
    assert!(document["processes"].as_array().unwrap().len() >= 3, "{document}");
    for key in &keys[1..] {
        assert_eq!(file(&document, key.to_str().unwrap())["access_count"], 1);
    }
}

/// SIGUSR1 prints the status and SIGHUP reloads the configuration; neither ends the run.
fn sigusr1_and_sighup_do_not_end_the_run() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("later.key");
    fs::write(&key, &Material::get().key).unwrap();
    let actor = actor!["open", "3", &key];
    let mut command = Command::new(program());
    command.args(["profile", "--duration", LONG, "--format", "json-stream"]);
    command.args(["--pid", &actor.pid().to_string()]);
    // SAFETY: the closure makes only a system call, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    let tracer = Tracer::start(command);
    let wait_for_line = |text: &str| {
        until(text, || tracer.said().iter().any(|line| line.contains(text)).then_some(()));
    };
    tracer.signal(libc::SIGUSR1);
    wait_for_line(" records received; 0 plugin failures; ");
    tracer.signal(libc::SIGHUP);
    wait_for_line("reloaded: ");
    actor.end();
    let document = document(&tracer.wait(SOON));
    assert_eq!(file(&document, key.to_str().unwrap())["access_count"], 3);
}

/// A process without events still gives a document.
fn signal_ends_the_run_with_its_document() {
    needs_bpf!();
    let dir = temp_dir();
    let file = dir.path().join("profile.json");
    fs::write(&file, "before").unwrap();
    let actor = actor!["threads", "1"];
    let pid = actor.pid().to_string();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let tracer = Tracer::command("profile", ["--pid", &pid, "-o", file.to_str().unwrap()]);
        tracer.signal(signal);
        assert_eq!(tracer.wait(SOON).status.code(), Some(0));
        let text = fs::read_to_string(&file).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["statistics"]["total_events"], 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file remains");
    }
}

fn closed_pipe_ends_the_run() {
    needs_bpf!();
    let actor = actor!["threads", "1"];
    let mut command = Command::new(program());
    command.args(["profile", "--pid", &actor.pid().to_string(), "--duration", LONG]);
    let mut tracer = Tracer::start_unread(command);
    tracer.close_output();
    let ended = tracer.wait(SOON);
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.said);
}

fn pid_or_name_is_required() {
    let output = output(Command::new(program()).arg("profile"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("--pid") && stderr.contains("--name"), "{stderr}");
}

/// If the process of `--pid` never has the name of `--name`, the run ends with the process.
fn run_ends_when_the_pid_ends_without_the_name() {
    needs_bpf!();
    for follow in [&[][..], &["--follow-children"]] {
        let actor = actor!["threads", "1"];
        let pid = actor.pid().to_string();
        let name = ["--pid", &pid, "--name", "ct-never-there", "--duration", "0"];
        let tracer = profile(&[&name, follow].concat());
        actor.end();
        let ended = tracer.wait(SOON);
        assert_eq!(ended.status.code(), Some(1), "{:?}", ended.said);
        let last = ended.said.last().unwrap();
        assert!(
            last.contains(&format!("--pid {pid}")) && last.contains("'ct-never-there'"),
            "{last}"
        );
    }
}

fn two_pids_are_refused() {
    let pids = [std::process::id().to_string(), "1".to_owned()];
    for follow in [&[][..], &["--follow-children"]] {
        let mut command = Command::new(program());
        command.args(["profile", "--pid", &pids[0], "--pid", &pids[1]]).args(follow);
        let output = output(&mut command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("--pid 1") && stderr.contains("no process has both"), "{stderr}");
    }
}
