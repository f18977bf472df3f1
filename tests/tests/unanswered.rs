//! `snapshot` and `profile` of processes whose files are where nobody ever answers: they hide nobody else.
#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crypto_tracer_tests::{
    Actor, actor, fuse_device, is_root, needs_bpf, output, program, temp_dir,
};
use serde_json::Value;

/// `nobody` on every distribution.
const NOBODY: u32 = 65534;
/// Each of these tests has processes that make a look at all others take longer.
static ALONE: Mutex<()> = Mutex::new(());

/// A process with a file open that nobody answers for.
fn hanging(mode: &str, device: &Path, dir: &Path) -> Actor {
    let below = dir.join(mode);
    fs::create_dir(&below).unwrap();
    std::os::unix::fs::chown(&below, Some(NOBODY), Some(NOBODY)).unwrap();
    let user = if matches!(mode, "root" | "through") { "0" } else { "65534" };
    let mut actor = actor!["as", user, "fuse", mode, device, &below];
    actor.go();
    assert_eq!(actor.line(), "open", "{mode}");
    actor
}

/// The document, and that it came soon.
fn document(output: &Output, took: Duration) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(took < Duration::from_secs(30), "{took:?}: {said}");
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

#[test]
fn a_snapshot_has_everybody_with_what_they_hold() {
    let _alone = ALONE.lock();
    if !is_root() {
        return;
    }
    let dir = temp_dir();
    let Some(device) = fuse_device(dir.path()) else { return };
    let modes = ["user", "overlay", "root", "bind", "before", "arguments"];
    let actors = modes.map(|mode| hanging(mode, &device, dir.path()));
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
    assert_eq!(seen["coverage"]["unreadable_processes"], unreadable(), "none of them hid anything");
}

/// What root may not read without them: processes of other containers.
fn unreadable() -> usize {
    let pids = fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let refused = |pid: &u32| {
        let maps = fs::File::open(format!("/proc/{pid}/maps"));
        maps.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    };
    pids.filter(refused).count()
}

#[test]
fn a_profile_of_such_a_process_is_one() {
    needs_bpf!();
    let _alone = ALONE.lock();
    let dir = temp_dir();
    let Some(device) = fuse_device(dir.path()) else { return };
    for mode in ["user", "overlay", "root", "bind", "before", "arguments"] {
        let actor = hanging(mode, &device, dir.path());
        let pid = actor.pid().to_string();
        let (output, took) = timed(&["profile", "--pid", &pid, "--duration", "1"]);
        let profile = document(&output, took);
        assert_eq!(profile["process"]["name"], "actor", "{mode}");
        assert_eq!(profile["process"]["pid"], actor.pid(), "{mode}");
        let files = profile["files_accessed"].as_array().unwrap();
        let hangs = files.iter().find(|file| file["path"].as_str().unwrap().ends_with("hang.pem"));
        assert_eq!(hangs.unwrap()["type"], "unknown", "{mode}");
    }
}
