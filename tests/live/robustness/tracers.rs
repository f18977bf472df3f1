//! Several tracers on one machine: each reports the opens of the others' readers, and none reads a file for them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crypto_tracer_tests::{Actor, Event, Material, Tracer, needs_bpf, run, temp_dir};

crypto_tracer_tests::tests![
    one_open_is_reported_once_plus_once_per_other_reader,
    recording_tracers_do_not_trigger_each_other,
    imitated_reader_is_traced_like_any_process,
];

/// What a reader is called.
const READER: &str = "crypto-tracer-r";
/// `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH`: what a reader holds.
const HELD: &str = "80004";

/// Tracers of what is opened in this folder.
fn tracers(count: usize, dir: &Path) -> Vec<Tracer> {
    let glob = format!("{}/*", dir.to_str().unwrap());
    let start = |_| Tracer::command("files", ["--extended", "--file", &glob]);
    (0..count).map(start).collect()
}

/// A certificate that was never opened under its name, and has just changed.
fn fresh(dir: &Path, name: &str) -> PathBuf {
    let (other, path) = (dir.join("made"), dir.join(name));
    fs::write(&other, &Material::get().certificate).unwrap();
    fs::rename(&other, &path).unwrap();
    path
}

fn opens_a_file(path: &Path) -> u32 {
    run(Command::new("sh").args(["-c", ": < \"$0\""]).arg(path))
}

/// Process, type and head of each open, and how often.
fn counted(events: &[Event], name: &str) -> BTreeMap<[String; 3], usize> {
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

/// Waits until each tracer has told of so many opens, then until everything is told that follows from them.
fn settle(tracers: &[Tracer], dir: &Path, name: &str, count: usize) {
    for tracer in tracers {
        let mut seen = 0;
        tracer.wait_for("the opens", |event| {
            seen += usize::from(event.kind() == "file_open" && event.text("file").ends_with(name));
            seen == count
        });
    }
    // Readers would answer each other all the while. No classifier looks into these.
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
            opens_a_file(&fresh(dir.path(), round));
            settle(&tracers, dir.path(), round, count);
        }
        for tracer in tracers {
            let ended = tracer.finish();
            for round in ["first.pem", "second.pem"] {
                let told = counted(&ended.events, round);
                // The verdict on the open before is the one on theirs.
                let right = expected([
                    (["sh", "certificate", "read"], 1),
                    ([READER, "certificate", "not_needed"], count - 1),
                ]);
                assert_eq!(told, right, "{count} tracers");
            }
            assert_eq!(ended.summary().lost, 0, "{:?}", ended.said);
        }
    }
}

/// Where all opens are recorded, the recording asks for the beginning of every file: not of these.
fn recording_tracers_do_not_trigger_each_other() {
    needs_bpf!();
    let dir = temp_dir();
    let recorded = |name: &str| {
        let file = dir.path().join(name);
        let glob = format!("{}/*", dir.path().to_str().unwrap());
        let options = ["--extended", "--file", &glob, "--record", file.to_str().unwrap()];
        Tracer::command("files", options)
    };
    let tracers = [recorded("a.rec"), recorded("b.rec")];
    opens_a_file(&fresh(dir.path(), "one.pem"));
    settle(&tracers, dir.path(), "one.pem", 2);
    for tracer in tracers {
        let ended = tracer.finish();
        let right = expected([
            (["sh", "certificate", "read"], 1),
            ([READER, "certificate", "not_needed"], 1),
        ]);
        assert_eq!(counted(&ended.events, "one.pem"), right);
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
        assert_eq!(counted(&events, "one.pem"), right, "{name}");
    }
}

/// An open with everything that a reader's open shows, by a process that is none.
fn imitated_reader_is_traced_like_any_process() {
    needs_bpf!();
    let dir = temp_dir();
    let tracer = tracers(1, dir.path()).pop().unwrap();
    // The user looks into it too.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let actor = env!("CARGO_BIN_EXE_actor");
    for (name, words) in [
        ("user.pem", &[actor, "as", "65534", "like-a-reader", "0"][..]),
        // Root, who has more; and one who has the same in a user namespace of its own.
        ("root.pem", &[actor, "like-a-reader", "all"]),
        ("nothing.pem", &[actor, "like-a-reader", "0"]),
        ("inside.pem", &["unshare", "-U", "-r", actor, "like-a-reader", HELD]),
        ("inside-one.pem", &["unshare", "-U", "-r", actor, "like-a-reader", "4"]),
    ] {
        let path = fresh(dir.path(), name);
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
    // With what only a reader has, it is taken for one: so all the rest was imitated well.
    let path = fresh(dir.path(), "reader.pem");
    let mut imitated = Actor::start(
        env!("CARGO_BIN_EXE_actor"),
        &["like-a-reader", HELD, path.to_str().unwrap()].map(std::ffi::OsStr::new),
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
