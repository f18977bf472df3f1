//! `snapshot`: every running process, with its mapped libraries and open files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crypto_tracer_tests::{
    HomeDir, Material, NOBODY_UID, is_root, needs_root, output, program, temp_dir, until,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    open_files_and_mapped_libraries_are_in_the_document,
    totals_count_distinct_real_paths,
    only_regular_files_count,
    output_file_is_replaced,
    replaced_file_keeps_its_owner,
    signal_leaves_a_complete_document,
    full_disk_is_reported,
    unprivileged_snapshot_reports_missing_processes,
    memory_does_not_grow_with_processes,
];

/// Processes in the largest snapshot.
const MANY: usize = 1000;
/// Documented maximum of the resident memory of the tracer and its reader, in KiB.
const MOST_KIB: u64 = 50 << 10;
/// Additional memory in KiB that twice as many processes may need: their part of the document, and noise.
const MOST_MORE_KIB: u64 = 2 << 10;

/// A process that holds a file open until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(path: &Path, change: impl FnOnce(&mut Command)) -> Holder {
        let mut command = Command::new("sh");
        command.args(["-c", "exec 7<\"$0\"; exec sleep 600"]).arg(path).stdin(Stdio::null());
        change(&mut command);
        let holder = Holder(command.spawn().unwrap());
        let comm = format!("/proc/{}/comm", holder.0.id());
        until("sleep", || fs::read_to_string(&comm).ok().filter(|name| name == "sleep\n"));
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn snapshot(options: &[&str]) -> String {
    let output = output(Command::new(program()).arg("snapshot").args(options));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn process(document: &Value, pid: u32) -> &Value {
    let processes = document["processes"].as_array().unwrap();
    processes.iter().find(|process| process["pid"] == pid).unwrap()
}

fn open_files_and_mapped_libraries_are_in_the_document() {
    let home = HomeDir::new();
    let key = home.write("site.key", &Material::get().key);
    let holder = Holder::of(&key, |_| {});
    // Waits for a line on standard input with its libraries mapped.
    let mut openssl = Command::new("openssl");
    openssl.args(["enc", "-aes-128-cbc", "-k", "x"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let openssl = Holder(openssl.stderr(Stdio::null()).spawn().unwrap());
    let maps = format!("/proc/{}/maps", openssl.0.id());
    until("libcrypto", || fs::read_to_string(&maps).ok().filter(|maps| maps.contains("libcrypto")));

    let text = snapshot(&[]);
    let document: Value = serde_json::from_str(&text).unwrap();
    let keys = ["snapshot_version", "generated_at", "hostname", "kernel", "processes", "summary"];
    let at: Vec<_> =
        keys.iter().map(|key| text.find(&format!("\n  \"{key}\": ")).unwrap()).collect();
    assert!(at.is_sorted(), "the keys are not in the documented order");
    assert_eq!(document["snapshot_version"], "1.0");
    let held = process(&document, holder.0.id());
    assert_eq!(held["open_crypto_files"][0], "/home/USER/site.key");
    assert_eq!((&held["name"], held["libraries"].as_array().unwrap().len()), (&"sleep".into(), 0));
    let mapped = process(&document, openssl.0.id());
    let libraries = mapped["libraries"].as_array().unwrap();
    assert!(libraries.iter().any(|path| path.as_str().unwrap().contains("/libcrypto.so")));
    assert!(mapped["exe"].as_str().unwrap().ends_with("/openssl"));
    let processes = document["processes"].as_array().unwrap();
    assert_eq!(document["summary"]["total_processes"], processes.len());
    let name = home.path().file_name().unwrap().to_str().unwrap();
    assert!(!text.contains(name), "a user name was not redacted");
    if is_root() {
        // Even root may not inspect the processes of some containers.
        let unreadable = document["coverage"]["unreadable_processes"].as_u64().unwrap();
        let mut pids = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
        let refused = pids.any(|pid| {
            let maps = fs::File::open(format!("/proc/{pid}/maps"));
            maps.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        });
        assert_eq!(unreadable > 0, refused, "{}", document["coverage"]);
        assert_eq!(document["coverage"]["complete"], unreadable == 0);
        assert_eq!(held["running_as"], "root");
    }

    let shown = snapshot(&["--no-redact", "-f", "json-stream"]);
    assert_eq!(shown.lines().count(), 1);
    assert!(shown.contains(&format!("\"{}\"", key.display())));
    let array: Value = serde_json::from_str(&snapshot(&["-f", "json-array"])).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 1);
    let summary = snapshot(&["--format", "summary"]);
    assert!(
        summary.contains("/home/USER/site.key") && summary.contains("sleep (pid "),
        "{summary}"
    );
}

/// Two files with the same redacted path count twice; a file that two processes have open counts once.
fn totals_count_distinct_real_paths() {
    let homes = [HomeDir::new(), HomeDir::new()];
    let keys = homes.each_ref().map(|home| home.write("ct-distinct.key", b"x"));
    let _holders =
        [Holder::of(&keys[0], |_| {}), Holder::of(&keys[0], |_| {}), Holder::of(&keys[1], |_| {})];
    let hidden: Value = serde_json::from_str(&snapshot(&[])).unwrap();
    let shown: Value = serde_json::from_str(&snapshot(&["--no-redact"])).unwrap();
    let mut paths: Vec<_> = shown["processes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|process| process["open_crypto_files"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(shown["summary"]["total_files"], paths.len());
    assert!(hidden["summary"]["total_files"].as_u64() >= Some(2));
}

/// A directory and a FIFO with such a name are not listed.
fn only_regular_files_count() {
    let dir = temp_dir();
    let folder = dir.path().join("folder.pem");
    fs::create_dir(&folder).unwrap();
    let holder = Holder::of(&folder, |_| {});
    let fifo = dir.path().join("fifo.pem");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _both = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let text = snapshot(&[]);
    assert!(!text.contains("folder.pem") && !text.contains("fifo.pem"), "{text}");
    drop(holder);
}

fn output_file_is_replaced() {
    let dir = temp_dir();
    let file = dir.path().join("out.json");
    for _ in 0..2 {
        assert_eq!(snapshot(&["-o", file.to_str().unwrap()]), "");
        let document: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(document["snapshot_version"], "1.0");
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// This also works in another user's folder, although privileges are dropped before the write. The file keeps its
/// owner.
fn replaced_file_keeps_its_owner() {
    needs_root();
    let dir = temp_dir();
    let file = dir.path().join("out.json");
    fs::write(&file, "").unwrap();
    for path in [dir.path(), &file] {
        std::os::unix::fs::chown(path, Some(NOBODY_UID), Some(NOBODY_UID)).unwrap();
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(snapshot(&["-o", file.to_str().unwrap()]), "");
    let found = fs::metadata(&file).unwrap();
    let owner = (found.uid(), found.gid(), found.mode() & 0o777);
    assert_eq!((owner, found.len() > 0), ((NOBODY_UID, NOBODY_UID, 0o640), true));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// An interrupted snapshot is a valid document, which reports that it is incomplete.
fn signal_leaves_a_complete_document() {
    for pause_ms in [0, 5, 20, 60] {
        let mut command = Command::new(program());
        let child = command.arg("snapshot").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap();
        // The signal arrives at different moments. Before the handlers are installed, it ends the process.
        std::thread::sleep(Duration::from_millis(pause_ms));
        // SAFETY: the call accesses no memory, and the child was not waited for.
        unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => {
                let document: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(document["snapshot_version"], "1.0");
            }
            code => assert_eq!((code, output.stdout.len()), (None, 0)),
        }
    }
}

fn full_disk_is_reported() {
    let output = output(Command::new(program()).args(["snapshot", "-o", "/dev/full"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/full"));
}

/// Without privileges, `snapshot` lists only the user's own processes, and reports that it is incomplete.
fn unprivileged_snapshot_reports_missing_processes() {
    needs_root();
    let dir = temp_dir();
    let key = dir.path().join("nobody.key");
    fs::write(&key, b"x").unwrap();
    let copy = dir.path().join("crypto-tracer");
    fs::copy(program(), &copy).unwrap();
    for path in [dir.path(), &key] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let as_nobody = |command: &mut Command| {
        command.uid(NOBODY_UID).gid(NOBODY_UID).current_dir("/").env("HOME", "/");
    };
    let theirs = Holder::of(&key, as_nobody);
    let others = Holder::of(&key, |_| {});
    let mut command = Command::new(&copy);
    as_nobody(command.arg("snapshot"));
    let output = output(&mut command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("not complete"), "{stderr}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let held = process(&document, theirs.0.id());
    assert_eq!(held["running_as"], "USER");
    assert_eq!(held["open_crypto_files"][0], key.to_str().unwrap());
    let processes = document["processes"].as_array().unwrap();
    assert!(processes.iter().all(|process| process["pid"] != others.0.id()));
    assert_eq!(document["coverage"]["complete"], false);
    assert!(document["coverage"]["unreadable_processes"].as_u64() > Some(0));
}

/// Processes that have a key open, and end when this value is dropped.
struct Many(Child);

impl Many {
    fn start(count: usize, key: &Path) -> Many {
        let script = "exec 7<\"$0\"; for i in $(seq \"$1\"); do sleep 600 & done; echo ready; \
                      cat >/dev/null; kill $(jobs -p)";
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).arg(key).arg(count.to_string());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut many = Many(shell.spawn().unwrap());
        let mut ready = [0; 6];
        many.0.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        many
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        // The shell kills them when its input ends.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Returns the peak resident memory of a process in KiB; None if the process has ended.
fn peak(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Writes a snapshot to a pipe and reads the pipe only when it is full. Returns the peak memory of the program and its
/// reader until then in KiB, and the document.
fn measure() -> (u64, Value) {
    let mut command = Command::new(program());
    command.args(["snapshot", "-q", "-f", "json-stream"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let main = child.id().to_string();
    let mut peaks = BTreeMap::new();
    until("a document that fills the pipe", || {
        let tasks = format!("/proc/{main}/task/{main}/children");
        let children = fs::read_to_string(tasks).unwrap_or_default();
        for pid in children.split_whitespace().chain([main.as_str()]) {
            if let Some(kib) = peak(pid) {
                peaks.insert(pid.to_owned(), kib);
            }
        }
        let mut waiting = 0_i32;
        // SAFETY: the pipe is open, and the kernel writes an `int`.
        unsafe { libc::ioctl(stdout.as_raw_fd(), libc::FIONREAD, &mut waiting) };
        (waiting >= 60 << 10 || child.try_wait().unwrap().is_some()).then_some(())
    });
    assert!(peaks.len() > 1, "the reader was not found: {peaks:?}");
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    (peaks.values().sum(), serde_json::from_str(&text).unwrap())
}

/// `cargo xtask bench` measures the time of a large snapshot.
fn memory_does_not_grow_with_processes() {
    let dir = temp_dir();
    let key = dir.path().join("many.key");
    fs::write(&key, b"x").unwrap();
    let held = |document: &Value| {
        let processes = document["processes"].as_array().unwrap();
        let path = key.to_str().unwrap();
        let holds = |process: &&Value| {
            let files = process["open_crypto_files"].as_array().unwrap();
            files.iter().any(|file| file.as_str() == Some(path))
        };
        processes.iter().filter(holds).count()
    };
    // The document is long enough to fill the pipe.
    let some = Many::start(MANY / 2, &key);
    let (before_kib, document) = measure();
    assert!(held(&document) >= MANY / 2);
    let more = Many::start(MANY / 2, &key);
    let (kib, document) = measure();
    drop((some, more));
    // The shells and the last programs that they started also have the key open.
    assert!(held(&document) >= MANY);
    assert!(kib < MOST_KIB, "{kib} KiB");
    assert!(kib < before_kib + MOST_MORE_KIB, "{before_kib} KiB, then {kib} KiB");
}
