//! `snapshot` and `profile` of processes with files on file systems that never answer. They must not hide other
//! processes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crypto_tracer_tests::{
    Actor, Event, Material, NOBODY_UID, Tracer, actor, fuse_device, needs_bpf, needs_root, output,
    program, run, temp_dir, until,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    snapshot_includes_processes_on_unresponsive_mounts,
    blocked_exec_hides_no_other_process,
    blocked_exec_affects_only_its_own_user,
    many_blocked_processes_delay_no_start,
    blocked_process_is_skipped_in_searches_for_others,
    profile_of_a_process_on_an_unresponsive_mount_is_written,
];

/// Starts a process that has a file open on a file system that never answers.
fn blocked(mode: &str, device: &Path, dir: &Path) -> Actor {
    let below = dir.join(mode);
    fs::create_dir(&below).unwrap();
    std::os::unix::fs::chown(&below, Some(NOBODY_UID), Some(NOBODY_UID)).unwrap();
    let user = if matches!(mode, "root" | "through") { "0" } else { "65534" };
    let long = "-".repeat(8192);
    let mut actor = actor!["as", user, "fuse", mode, device, &below, &long];
    actor.go();
    assert_eq!(actor.line(), "open", "{mode}");
    actor
}

/// Returns the document after checking that it was written in time.
fn document(output: &Output, took: Duration) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(took < Duration::from_secs(30), "{took:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn timed(arguments: &[&str]) -> (Output, Duration) {
    let start = Instant::now();
    let output = output(Command::new(program()).args(arguments));
    (output, start.elapsed())
}

fn process(document: &Value, pid: u32) -> &Value {
    let processes = document["processes"].as_array().unwrap();
    processes.iter().find(|process| process["pid"] == pid).unwrap()
}

fn snapshot_includes_processes_on_unresponsive_mounts() {
    needs_root();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    let modes = ["user", "overlay", "root", "bind", "before", "arguments"];
    let actors = modes.map(|mode| blocked(mode, &device, dir.path()));
    let (output, took) = timed(&["snapshot", "--no-redact"]);
    let seen = document(&output, took);
    for (mode, actor) in modes.iter().zip(&actors) {
        let process = process(&seen, actor.pid());
        assert_eq!(process["name"], "actor");
        let files = process["open_crypto_files"].as_array().unwrap();
        let holds = |name: &str| files.iter().any(|file| file.as_str().unwrap().ends_with(name));
        assert!(holds("hang.pem"), "{mode}: {process}");
        assert_eq!(holds("wanted.pem"), *mode == "before", "{mode}: {process}");
    }
    assert_eq!(
        seen["coverage"]["unreadable_processes"],
        unreadable(),
        "all processes were inspected completely"
    );
}

/// Starts an unprivileged process that opens this file and then blocks in `execve`. Returns its process id.
pub(crate) fn blocked_in_exec(device: &Path, dir: &Path, opens: &Path) -> (Actor, u32) {
    fs::create_dir(dir).unwrap();
    std::os::unix::fs::chown(dir, Some(NOBODY_UID), Some(NOBODY_UID)).unwrap();
    let mut actor = actor!["as", "65534", "in-exec", device, dir, opens];
    actor.go();
    let pid = actor.line().parse().unwrap();
    (actor, pid)
}

/// Reading the process's memory blocks until its file system answers. On newer kernels, reading its root or start time
/// blocks too.
fn blocked_exec_hides_no_other_process() {
    needs_bpf!();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    let (_actor, blocked) =
        blocked_in_exec(&device, &dir.path().join("exec"), Path::new("/dev/null"));
    let own = std::process::id();
    let _held = fs::File::create(dir.path().join("held.pem")).unwrap();

    let (output, took) = timed(&["snapshot"]);
    let seen = document(&output, took);
    let files = process(&seen, own)["open_crypto_files"].as_array().unwrap();
    assert!(files.iter().any(|file| file.as_str().unwrap().ends_with("held.pem")), "{files:?}");
    let unreadable = unreadable_but(blocked) + 1;
    assert_eq!(
        seen["coverage"]["unreadable_processes"], unreadable,
        "only this process is not inspected completely"
    );
    // The start of a run also inspects all processes, and with `--follow-children` their ancestry.
    let tracer = Tracer::monitor(["--pid", &own.to_string(), "--follow-children"]);
    let hidden = "cannot read 1 process: earlier libraries are unknown";
    assert!(tracer.said().iter().any(|line| line.contains(hidden)), "{:?}", tracer.said());
    tracer.all_of(run(&mut Command::new("true")));
    tracer.finish();
}

/// Heads of other users' files are still read.
fn blocked_exec_affects_only_its_own_user() {
    needs_bpf!();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    let file = |name: &str| {
        let path = dir.path().join(name);
        fs::write(&path, &Material::get().certificate).unwrap();
        path
    };
    let (theirs, roots) = (file("theirs.pem"), file("roots.pem"));
    let tracer = Tracer::monitor(["--extended", "--file", &format!("{}/*", dir.path().display())]);
    // The tracer inspects the process only when it is already in `execve`.
    tracer.signal(libc::SIGSTOP);
    let (_actor, blocked) = blocked_in_exec(&device, &dir.path().join("exec"), &theirs);
    tracer.signal(libc::SIGCONT);
    let head = |pid: u32| {
        let opened = |event: &Event| event.kind() == "file_open" && event.pid() == Some(pid);
        tracer.wait_for("the open", opened).text("head").to_owned()
    };
    // On older kernels, opening a file below the process's root does not block.
    assert!(["late", "read"].contains(&head(blocked).as_str()));
    until("root's file to be read", || {
        (head(run(Command::new("cat").arg(&roots))) == "read").then_some(())
    });
    let stderr = tracer.finish().said;
    assert!(!stderr.iter().any(|line| line.contains("was replaced")), "{stderr:?}");
}

/// Each of them blocks a thread of the reader, but none blocks the reader.
fn many_blocked_processes_delay_no_start() {
    const COUNT: usize = 40;
    /// One after the other, they would take a second each.
    const MAX: Duration = Duration::from_secs(10);
    needs_bpf!();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    let file = dir.path().join("theirs.pem");
    fs::write(&file, &Material::get().certificate).unwrap();
    let blocked: Vec<(Actor, u32)> = (0..COUNT)
        .map(|n| blocked_in_exec(&device, &dir.path().join(n.to_string()), &file))
        .collect();
    let _held = fs::File::create(dir.path().join("held.pem")).unwrap();
    let own = std::process::id();

    let (output, took) = timed(&["snapshot"]);
    let seen = document(&output, took);
    let files = process(&seen, own)["open_crypto_files"].as_array().unwrap();
    assert!(files.iter().any(|file| file.as_str().unwrap().ends_with("held.pem")), "{files:?}");
    assert!(took < MAX, "snapshot: {took:?}");
    for options in [&["--extended"][..], &["--pid", &own.to_string(), "--follow-children"]] {
        let start = Instant::now();
        let tracer = Tracer::monitor(options);
        let took = start.elapsed();
        assert!(took < MAX, "{options:?}: {took:?}");
        // Older kernels do not let readers of `stat` or `exe` wait.
        let said = tracer.said().join("\n");
        assert!(said.contains("earlier libraries are unknown"), "{said}");
        tracer.all_of(run(&mut Command::new("true")));
        let said = tracer.finish().said;
        assert!(!said.iter().any(|line| line.contains("was replaced")), "{said:?}");
    }
    drop(blocked);
}

/// To read a file of a process that has ended, the reader searches other processes and skips the blocked one.
fn blocked_process_is_skipped_in_searches_for_others() {
    needs_bpf!();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    fs::write(dir.path().join("certificate"), &Material::get().certificate).unwrap();
    let script = "mkdir \"$0/mnt\"; mount -t tmpfs none \"$0/mnt\";
        while read name; do cp \"$0/certificate\" \"$0/mnt/$name\"; cat \"$0/mnt/$name\" >/dev/null; echo gone; done";
    let mut shell = Command::new("unshare");
    shell
        .args(["--mount", "sh", "-ec", script])
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut names = shell.stdin.take().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();

    let tracer = Tracer::monitor(["--extended", "--name", "cat"]);
    // It starts after the tracer, which has not inspected it before.
    let (_actor, _) = blocked_in_exec(&device, &dir.path().join("exec"), Path::new("/dev/null"));
    let mut tries = 0..;
    until("the head, read through the shell", || {
        let name = format!("{}.pem", tries.next().unwrap());
        tracer.signal(libc::SIGSTOP);
        writeln!(names, "{name}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "gone");
        tracer.signal(libc::SIGCONT);
        let opened = |event: &Event| event.text("file").ends_with(&format!("/{name}"));
        (tracer.wait_for("the open", opened).text("head") == "read").then_some(())
    });
    tracer.finish();
    drop(names);
    assert!(shell.wait().unwrap().success());
}

/// Number of processes that root may not read in any case: those of other containers.
fn unreadable() -> usize {
    unreadable_but(0)
}

/// Like [`unreadable`], but does not access one process.
fn unreadable_but(one: u32) -> usize {
    let pids = fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let refused = |pid: &u32| {
        let maps = fs::File::open(format!("/proc/{pid}/maps"));
        maps.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    };
    pids.filter(|&pid| pid != one).filter(refused).count()
}

fn profile_of_a_process_on_an_unresponsive_mount_is_written() {
    needs_bpf!();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    for mode in ["user", "overlay", "root", "bind", "before", "arguments"] {
        let actor = blocked(mode, &device, dir.path());
        let pid = actor.pid().to_string();
        let (output, took) = timed(&["profile", "--pid", &pid, "--duration", "1"]);
        let profile = document(&output, took);
        assert_eq!(profile["process"]["name"], "actor", "{mode}");
        assert_eq!(profile["process"]["pid"], actor.pid(), "{mode}");
        let files = profile["files_accessed"].as_array().unwrap();
        let opened = files.iter().find(|file| file["path"].as_str().unwrap().ends_with("hang.pem"));
        assert_eq!(opened.unwrap()["type"], "unknown", "{mode}");
    }
}
