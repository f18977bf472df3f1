//! Inventories of recordings and streams, and documents that are not valid.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crypto_tracer_tests::schema::check_document;
use crypto_tracer_tests::{output, program, refused, replay, temp_dir, workspace};
use insta::assert_snapshot;
use serde_json::Value;

crypto_tracer_tests::tests![
    document_of_a_recording_is_unchanged,
    summary_of_a_recording_is_unchanged,
    a_stream_gives_the_document_of_its_recording,
    a_plain_stream_knows_programs_by_their_names,
    a_damaged_recording_gives_what_was_before,
    a_cut_or_foreign_stream_is_refused,
    plugins_are_refused_for_a_stream,
    a_baseline_that_is_not_valid_is_refused,
];

fn recording() -> PathBuf {
    workspace().join("tests/fixtures/recordings/every-event.rec")
}

fn record_from(file: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["inventory", "record", "--from"]).arg(file).args(options);
    command
}

/// Returns what the command prints.
fn printed(file: &Path, options: &[&str]) -> String {
    let ended = output(&mut record_from(file, options));
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

fn document(file: &Path, options: &[&str]) -> Value {
    let document = serde_json::from_str(&printed(file, options)).unwrap();
    check_document("inventory", &document);
    document
}

fn document_of_a_recording_is_unchanged() {
    let text = printed(&recording(), &[]);
    check_document("inventory", &serde_json::from_str(&text).unwrap());
    assert!(!text.contains("alice") && text.contains("/home/USER/"), "{text}");
    assert_snapshot!(text);
}

fn summary_of_a_recording_is_unchanged() {
    assert_snapshot!(printed(&recording(), &["--format", "summary"]));
}

/// The stream of the recording, in this format.
fn stream(dir: &Path, options: &[&str]) -> PathBuf {
    let (code, events, stderr) = replay(&recording(), options);
    assert_eq!(code, Some(0), "{stderr}");
    let path = dir.join("events.json");
    fs::write(&path, events).unwrap();
    path
}

fn a_stream_gives_the_document_of_its_recording() {
    let dir = temp_dir();
    let from_recording = document(&recording(), &[]);
    for format in ["json-stream", "json-array", "json-pretty"] {
        let stream = stream(dir.path(), &["--extended", "--format", format]);
        let from_stream = document(&stream, &[]);
        for list in ["window", "programs", "libraries", "uses"] {
            assert_eq!(from_stream[list], from_recording[list], "{list} {format}");
        }
        let files = without_certificates(&from_recording["files"]);
        assert_eq!(without_certificates(&from_stream["files"]), files, "{format}");
    }
}

/// A stream has no certificates, because events do not contain them.
fn without_certificates(files: &Value) -> Vec<Value> {
    let mut files = files.as_array().unwrap().clone();
    files.iter_mut().for_each(|file| drop(file.as_object_mut().unwrap().remove("certificates")));
    files
}

fn a_plain_stream_knows_programs_by_their_names() {
    let dir = temp_dir();
    let document = document(&stream(dir.path(), &[]), &[]);
    let programs = document["programs"].as_array().unwrap();
    assert!(programs.iter().any(|it| it["name"] == "openssl"), "{programs:?}");
    assert!(programs.iter().all(|it| it["exe"].is_null()), "{programs:?}");
}

fn a_damaged_recording_gives_what_was_before() {
    let dir = temp_dir();
    let cut = dir.path().join("cut.rec");
    let bytes = fs::read(recording()).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let ended = output(&mut record_from(&cut, &[]));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cut.rec: "), "{stderr}");
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(!document["uses"].as_array().unwrap().is_empty());
    assert!(document["coverage"]["blind_spots"].to_string().contains("damage"));
}

/// Nothing is overwritten.
fn a_cut_or_foreign_stream_is_refused() {
    let dir = temp_dir();
    let out = dir.path().join("out.json");
    fs::write(&out, "before").unwrap();
    let options = ["--output", out.to_str().unwrap()];
    let whole = fs::read_to_string(stream(dir.path(), &[])).unwrap();
    let bad = dir.path().join("bad.json");
    for (text, code, words) in [
        (&whole[..whole.len() - 5], 1, &["bad.json: line ", "column"][..]),
        ("{\"bomFormat\":\"CycloneDX\"}", 2, &["bad.json: line 1", "event_type"]),
        ("rubbish", 2, &["bad.json: line 1"]),
        ("[{}]", 2, &["bad.json: line 1"]),
    ] {
        fs::write(&bad, text).unwrap();
        refused(&mut record_from(&bad, &options), code, words);
        assert_eq!(fs::read_to_string(&out).unwrap(), "before");
    }
    let missing = dir.path().join("missing");
    refused(&mut record_from(&missing, &options), 2, &["missing"]);
    refused(&mut record_from(&out, &options), 2, &["--output is the recording itself"]);
}

fn plugins_are_refused_for_a_stream() {
    let dir = temp_dir();
    let stream = stream(dir.path(), &[]);
    let options = ["--classifier", "default"];
    refused(&mut record_from(&stream, &options), 2, &["--classifier", "events.json"]);
    refused(&mut record_from(&recording(), &["--every", "1h"]), 2, &["--every"]);
}

fn a_baseline_that_is_not_valid_is_refused() {
    let dir = temp_dir();
    let path = dir.path().join("known.json");
    let text = printed(&recording(), &[]);
    for (text, words) in [
        (text.replace("\"1.0\"", "\"2.0\""), &["known.json: inventory version", "2.0"][..]),
        (text.replace("\"count\": 1", "\"count\": -1"), &["known.json: line ", "uses[", "count"]),
        (text[..text.len() / 2].to_owned(), &["known.json: line "]),
        ("{}".to_owned(), &["known.json: not an inventory"]),
    ] {
        fs::write(&path, text).unwrap();
        let mut command = Command::new(program());
        refused(command.args(["monitor", "--baseline"]).arg(&path), 2, words);
    }
}
