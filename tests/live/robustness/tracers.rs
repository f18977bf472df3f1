//! Several tracers on one machine: each reports the opens of the other readers, and reads no file for them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crypto_tracer_tests::{
    Actor, Event, Material, Tracer, needs_bpf, needs_program, output, run, skip, temp_dir, until,
};

crypto_tracer_tests::tests![
    one_open_is_reported_once_plus_once_per_other_reader,
    file_from_the_future_is_read_a_limited_number_of_times,
    recording_tracers_do_not_trigger_each_other,
    imitated_reader_is_traced_like_any_process,
];

/// Process name of a reader.
const READER: &str = "crypto-tracer-r";
/// Capabilities of a reader: `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH`.
const CAPABILITIES: &str = "80004";

/// Starts tracers for the files in this folder.
fn tracers(count: usize, dir: &Path) -> Vec<Tracer> {
    let glob = format!("{}/*", dir.to_str().unwrap());
    let start = |_| Tracer::command("files", ["--extended", "--file", &glob]);
    (0..count).map(start).collect()
}

/// Creates a certificate that was never opened under its name, so no verdict is cached.
fn new_certificate(dir: &Path, name: &str) -> PathBuf {
    let (other, path) = (dir.join("made"), dir.join(name));
    fs::write(&other, &Material::get().certificate).unwrap();
    fs::rename(&other, &path).unwrap();
    path
}

fn open_with_sh(path: &Path) -> u32 {
    run(Command::new("sh").args(["-c", ": < \"$0\""]).arg(path))
}

/// Counts the opens of a file by process, type and head.
fn count_opens(events: &[Event], name: &str) -> BTreeMap<[String; 3], usize> {
    let mut counts = BTreeMap::new();
    let opens = events.iter().filter(|event| event.kind() == "file_open");
    for event in opens.filter(|event| event.text("file").ends_with(name)) {
        let key = ["process", "file_type", "head"].map(|key| event.text(key).to_owned());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn expected<const N: usize>(counts: [([&str; 3], usize); N]) -> BTreeMap<[String; 3], usize> {
    counts.into_iter().map(|(key, count)| (key.map(str::to_owned), count)).collect()
}

/// Waits until each tracer has reported this number of opens, then until all later effects of these opens are reported.
fn settle(tracers: &[Tracer], dir: &Path, name: &str, count: usize) {
    for tracer in tracers {
        let mut seen = 0;
        tracer.wait_for("the opens", |event| {
            seen += usize::from(event.kind() == "file_open" && event.text("file").ends_with(name));
            seen == count
        });
    }
    // If the readers triggered each other, more opens would follow in this time. No classifier reads these files.
    for round in 0..20 {
        let last = dir.join(format!("{name}-{round}.crt"));
        fs::write(&last, "x").unwrap();
        let last = last.to_str().unwrap().to_owned();
        for tracer in tracers {
            tracer.wait_for("the last open", |event| event.line().contains(&last));
        }
    }
}

fn one_open_is_reported_once_plus_once_per_other_reader() {
    needs_bpf!();
    for count in [2, 3] {
        let dir = temp_dir();
        let tracers = tracers(count, dir.path());
        for round in ["first.pem", "second.pem"] {
            open_with_sh(&new_certificate(dir.path(), round));
            settle(&tracers, dir.path(), round, count);
        }
        for tracer in tracers {
            let ended = tracer.finish();
            for round in ["first.pem", "second.pem"] {
                let reported = count_opens(&ended.events, round);
                // The reader's open has the verdict of the open that caused it.
                let right = expected([
                    (["sh", "certificate", "read"], 1),
                    ([READER, "certificate", "not_needed"], count - 1),
                ]);
                assert_eq!(reported, right, "{count} tracers");
            }
            assert_eq!(ended.summary().lost, 0, "{:?}", ended.said);
        }
    }
}

/// A mounted image, unmounted when the value is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Mounts an image with a certificate `x.pem` whose change time is in the future. No call can set that time.
fn mount_with_future_file(dir: &Path) -> Mounted {
    ["mkfs.ext4", "debugfs"].into_iter().for_each(needs_program);
    let (image, content, point) = (dir.join("image"), dir.join("content"), dir.join("m"));
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    fs::write(&content, &Material::get().certificate).unwrap();
    fs::create_dir(&point).unwrap();
    assert_eq!(output(Command::new("mkfs.ext4").arg("-qF").arg(&image)).status.code(), Some(0));
    let write = format!("write {} x.pem", content.display());
    for request in [write.as_str(), "set_inode_field x.pem ctime 20380101000000"] {
        let done = output(Command::new("debugfs").args(["-w", "-R", request]).arg(&image));
        assert_eq!(done.status.code(), Some(0), "{request}");
    }
    let mount = output(Command::new("mount").args(["-o", "loop,ro"]).args([&image, &point]));
    if !mount.status.success() {
        skip(format_args!("loop mounts: {}", String::from_utf8_lossy(&mount.stderr).trim()));
    }
    Mounted(point)
}

/// The verdict is cached although the change time never passes.
fn file_from_the_future_is_read_a_limited_number_of_times() {
    needs_bpf!();
    let dir = temp_dir();
    let mounted = mount_with_future_file(dir.path());
    let file = mounted.0.join("x.pem");
    let tracers = tracers(3, dir.path());
    let mut opens = 0;
    until("an open that causes no other", || {
        let before = opens;
        open_with_sh(&file);
        // Each tracer reports each open: that of the shell, and those of the other readers.
        for round in 0..20 {
            let last = dir.path().join(format!("{before}-{round}.crt"));
            fs::write(&last, "x").unwrap();
            let last = last.to_str().unwrap().to_owned();
            for tracer in &tracers {
                tracer.wait_for("the last open", |event| event.line().contains(&last));
            }
        }
        let events = tracers[0].events();
        opens = events.iter().filter(|event| event.text("file").ends_with("/x.pem")).count();
        assert!(opens - before <= 3, "{} opens", opens - before);
        (opens - before == 1).then_some(())
    });
    for tracer in tracers {
        let ended = tracer.finish();
        let opens = ended.events.iter().filter(|event| event.text("file").ends_with("/x.pem"));
        assert!(opens.into_iter().all(|event| event.text("file_type") == "certificate"));
    }
    drop(mounted);
}

/// A recording contains the head of every captured file, except for opens of other readers.
fn recording_tracers_do_not_trigger_each_other() {
    needs_bpf!();
    let dir = temp_dir();
    let start_recording = |name: &str| {
        let file = dir.path().join(name);
        let glob = format!("{}/*", dir.path().to_str().unwrap());
        let options = ["--extended", "--file", &glob, "--record", file.to_str().unwrap()];
        Tracer::command("files", options)
    };
    let tracers = [start_recording("a.rec"), start_recording("b.rec")];
    open_with_sh(&new_certificate(dir.path(), "one.pem"));
    settle(&tracers, dir.path(), "one.pem", 2);
    for tracer in tracers {
        let ended = tracer.finish();
        let right = expected([
            (["sh", "certificate", "read"], 1),
            ([READER, "certificate", "not_needed"], 1),
        ]);
        assert_eq!(count_opens(&ended.events, "one.pem"), right);
    }
    for name in ["a.rec", "b.rec"] {
        let output = Command::new(crypto_tracer_tests::program())
            .args(["replay", "--extended", "--file", "*one.pem"])
            .arg(dir.path().join(name))
            .output()
            .unwrap();
        let events: Vec<Event> =
            String::from_utf8(output.stdout).unwrap().lines().map(Event::of).collect();
        let right = expected([
            (["sh", "certificate", "read"], 1),
            ([READER, "certificate", "not_needed"], 1),
        ]);
        assert_eq!(count_opens(&events, "one.pem"), right, "{name}");
    }
}

/// A process that is not a reader opens a file with the name and the flags of a reader.
fn imitated_reader_is_traced_like_any_process() {
    needs_bpf!();
    let dir = temp_dir();
    let tracer = tracers(1, dir.path()).pop().unwrap();
    // The unprivileged user opens files in the folder.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let actor = env!("CARGO_BIN_EXE_actor");
    for (name, words) in [
        ("user.pem", &[actor, "as", "65534", "like-a-reader", "0"][..]),
        // Root has more capabilities. The others have fewer, or have them in another user namespace.
        ("root.pem", &[actor, "like-a-reader", "all"]),
        ("nothing.pem", &[actor, "like-a-reader", "0"]),
        ("inside.pem", &["unshare", "-U", "-r", actor, "like-a-reader", CAPABILITIES]),
        ("inside-one.pem", &["unshare", "-U", "-r", actor, "like-a-reader", "4"]),
    ] {
        let path = new_certificate(dir.path(), name);
        let arguments: Vec<&std::ffi::OsStr> =
            words[1..].iter().map(std::ffi::OsStr::new).chain([path.as_os_str()]).collect();
        let mut actor = Actor::start(words[0], &arguments);
        actor.go();
        assert_eq!(actor.line(), "open", "{name}");
        let event = tracer.wait_for("the open", |event| event.line().contains(name));
        assert_eq!(
            ["process", "file_type", "head"].map(|key| event.text(key)),
            [READER, "certificate", "read"],
            "{name}"
        );
    }
    // With the capabilities of a reader the process is recognised as one, so the imitation is otherwise complete.
    let path = new_certificate(dir.path(), "reader.pem");
    let mut imitated = Actor::start(
        env!("CARGO_BIN_EXE_actor"),
        &["like-a-reader", CAPABILITIES, path.to_str().unwrap()].map(std::ffi::OsStr::new),
    );
    imitated.go();
    assert_eq!(imitated.line(), "open");
    let event = tracer.wait_for("the open", |event| event.line().contains("reader.pem"));
    assert_eq!(
        ["process", "file_type", "head"].map(|key| event.text(key)),
        [READER, "unknown", "not_needed"]
    );
    tracer.finish();
}
