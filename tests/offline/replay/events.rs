//! Records of a real kernel, replayed without privileges through every later step.
//!
//! As root, these commands update the recordings:
//!
//! ```console
//! # tests/fixtures/recordings/record target/debug/crypto-tracer tests/fixtures/plugins/site-classifier.wasm acme.wasm
//! $ INSTA_UPDATE=always cargo test -p crypto-tracer-tests --test offline replay::events
//! ```
//!
//! `every-event.rec` has every event type: openssl reads a certificate, cat reads a key and a `.pem` file of each type,
//! a command fails, another is killed. `small.rec` is one `cat` with the site classifier of the tests. `hsm-slot.rec`
//! is the recording of the author's guide, docs/plugins.md, with the classifier of the guide.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crypto_tracer_tests::{replay, temp_dir, workspace};
use insta::assert_snapshot;

crypto_tracer_tests::tests![
    replay_of_every_event_type_is_unchanged,
    replay_with_extended_fields_is_unchanged,
    replay_as_table_is_unchanged,
    replay_is_redacted_and_the_recording_is_not,
    recording_contains_no_private_key,
    replay_with_the_same_plugins_is_unchanged,
    interest_outside_the_recording_is_reported,
    flipped_byte_is_reported_after_the_events_before_it,
    truncation_is_reported_after_the_events_before_it,
    other_files_are_refused,
];

fn recording(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/recordings").join(name)
}

const NO_OPTIONS: [&str; 0] = [];

fn replay_all<S: AsRef<OsStr>>(name: &str, options: impl IntoIterator<Item = S>) -> String {
    let (code, events, stderr) = replay(&recording(name), options);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(" 0 lost;"), "{stderr}");
    events
}

fn replay_of_every_event_type_is_unchanged() {
    let events = replay_all("every-event.rec", NO_OPTIONS);
    for kind in ["file_open", "lib_load", "process_exec", "process_exit"] {
        assert!(events.contains(&format!("{{\"event_type\":\"{kind}\",")), "{kind}");
    }
    assert_snapshot!(events);
}

fn replay_with_extended_fields_is_unchanged() {
    assert_snapshot!(replay_all("every-event.rec", ["--extended"]));
}

fn replay_as_table_is_unchanged() {
    assert_snapshot!(replay_all("every-event.rec", ["--format", "table", "--color", "never"]));
}

fn replay_is_redacted_and_the_recording_is_not() {
    let hidden = replay_all("every-event.rec", NO_OPTIONS);
    assert!(!hidden.contains("alice") && !hidden.contains("not-a-secret"));
    let shown = replay_all("every-event.rec", ["--no-redact"]);
    assert!(shown.contains("/home/alice/keys/own.key") && shown.contains("pass:not-a-secret"));
}

fn recording_contains_no_private_key() {
    let bytes = fs::read(recording("every-event.rec")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let keys: Vec<&str> = text.split("PRIVATE KEY-----").skip(1).collect();
    assert!(keys.len() >= 3, "{}", keys.len());
    for after_label in keys {
        let first = after_label.trim_start_matches(['\r', '\n']);
        let body = first.bytes().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        assert!(body < 16, "{first}");
    }
}

fn replay_with_the_same_plugins_is_unchanged() {
    let site = workspace().join("tests/fixtures/plugins/site-classifier.wasm");
    let options = ["--name".as_ref(), "cat".as_ref(), "--classifier".as_ref(), site.as_os_str()];
    assert_snapshot!(replay_all("small.rec", options));
}

fn interest_outside_the_recording_is_reported() {
    let (code, _, stderr) = replay(&recording("small.rec"), NO_OPTIONS);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("did not capture ") && stderr.contains("\".jks\""), "{stderr}");
}

/// Writes a changed recording to `dir` and replays it.
fn replay_changed(dir: &Path, at: usize, bytes: &[u8]) -> (Option<i32>, String, String) {
    let path = dir.join(format!("{at}.rec"));
    fs::write(&path, bytes).unwrap();
    let replayed = replay(&path, ["--quiet"]);
    fs::remove_file(&path).unwrap();
    let stderr = &replayed.2;
    assert!(stderr.contains(&*path.to_string_lossy()) && stderr.lines().count() == 1, "{stderr}");
    replayed
}

/// Length of the magic. A shorter file is not a recording.
const MAGIC: usize = 8;
/// Length of magic and version. If they differ, the program cannot read the file.
const HEADER: usize = 12;

fn flipped_byte_is_reported_after_the_events_before_it() {
    let recording = fs::read(recording("small.rec")).unwrap();
    let (_, events, _) = replay(&self::recording("small.rec"), NO_OPTIONS);
    assert!(events.lines().count() > 1, "{events}");
    let dir = temp_dir();
    let check = |at: usize| {
        let mut bytes = recording.clone();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0xff;
        }
        let (code, shown, stderr) = replay_changed(dir.path(), at, &bytes);
        assert!(events.starts_with(&shown), "byte {at}: {shown}");
        assert!(shown.is_empty() || shown.ends_with('\n'), "byte {at}: {shown}");
        if at < HEADER {
            assert_eq!(code, Some(2), "byte {at}: {stderr}");
            assert!(shown.is_empty());
        } else {
            assert_eq!(code, Some(1), "byte {at}: {stderr}");
            let is_reported =
                stderr.contains("is damaged at byte ") || stderr.contains("truncated at byte ");
            assert!(is_reported, "byte {at}: {stderr}");
        }
        shown.len()
    };
    let all = |from: usize| (from..recording.len()).step_by(2).map(check).max();
    let most = std::thread::scope(|scope| {
        let even = scope.spawn(|| all(0));
        all(1).max(even.join().unwrap())
    });
    // The last frame only marks the end.
    assert_eq!(most, Some(events.len()));
}

fn truncation_is_reported_after_the_events_before_it() {
    let recording = fs::read(recording("every-event.rec")).unwrap();
    let (_, events, _) = replay(&self::recording("every-event.rec"), NO_OPTIONS);
    let dir = temp_dir();
    let mut before = 0;
    let some = (HEADER..recording.len()).step_by(recording.len() / 60);
    for len in (0..HEADER).chain(some) {
        let (code, shown, stderr) = replay_changed(dir.path(), len, recording.get(..len).unwrap());
        let (wanted, why) = match len < MAGIC {
            true => (2, "not a crypto-tracer recording"),
            false => (1, "truncated at byte "),
        };
        assert_eq!(code, Some(wanted), "{len}: {stderr}");
        assert!(stderr.contains(why), "{len}: {stderr}");
        assert!(events.starts_with(&shown) && shown.len() >= before, "{shown}");
        before = shown.len();
    }
    assert!(before > 0, "no events of a truncated recording");
}

fn other_files_are_refused() {
    let dir = temp_dir();
    let mut newer = fs::read(recording("small.rec")).unwrap();
    if let Some(version) = newer.get_mut(MAGIC) {
        *version = 6;
    }
    for (at, (bytes, wanted)) in [
        (
            &newer[..],
            "the recording has format version 6, but this program reads versions 2 to 5: replay it with the crypto-tracer that wrote it",
        ),
        (b"", "not a crypto-tracer recording"),
        (b"CTREC", "not a crypto-tracer recording"),
        (b"{\"event_type\":\"file_open\"}\n", "not a crypto-tracer recording"),
        // The magic after a transfer that changes line ends.
        (b"CTREC\n\x1a\x01\0\0\0", "not a crypto-tracer recording"),
    ]
    .into_iter()
    .enumerate()
    {
        let (code, shown, stderr) = replay_changed(dir.path(), at, bytes);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(shown.is_empty() && stderr.contains(wanted), "{stderr}");
    }
    let (code, _, stderr) = replay(&dir.path().join("missing.rec"), NO_OPTIONS);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("missing.rec") && stderr.contains("No such file"), "{stderr}");
}
