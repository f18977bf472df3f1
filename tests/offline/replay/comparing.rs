//! `replay --diff` and `replay --cases`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crypto_tracer_tests::{output, program, replay, trusted_dir, workspace};
use serde_json::Value;

crypto_tracer_tests::tests![
    diff_of_equal_configurations_is_empty,
    diff_counts_what_a_filter_drops,
    diff_counts_what_another_classifier_retypes,
    diff_counts_what_a_filter_labels,
    cases_have_every_event_and_pass,
];

fn recording() -> PathBuf {
    workspace().join("tests/fixtures/recordings/every-event.rec")
}

fn plugin(name: &str) -> String {
    workspace().join("tests/fixtures/plugins").join(name).display().to_string()
}

/// Compares the default configuration with this one.
fn diff(new: &str) -> String {
    let dir = trusted_dir();
    let configs = ["old.toml", "new.toml"].map(|name| dir.path().join(name));
    fs::write(&configs[0], "").unwrap();
    fs::write(&configs[1], new).unwrap();
    let options = ["--diff".as_ref(), configs[0].as_os_str(), configs[1].as_os_str()];
    let (code, text, stderr) = replay(&recording(), options);
    assert_eq!(code, Some(0), "{stderr}");
    text
}

/// The number in a row of the summary, and what follows it.
fn row(text: &str, name: &str) -> (u64, String) {
    let row = text.lines().find_map(|line| line.strip_prefix(&format!("{name:<13} ")));
    let row = row.unwrap_or_else(|| panic!("no {name}: {text}"));
    let (count, by) = row.split_once(' ').unwrap_or((row, ""));
    (count.parse().unwrap(), by.to_owned())
}

/// Number of events that a replay prints.
fn events() -> u64 {
    let (code, text, stderr) = replay(&recording(), ["--no-redact"]);
    assert_eq!(code, Some(0), "{stderr}");
    text.lines().count() as u64
}

fn diff_of_equal_configurations_is_empty() {
    let text = diff("");
    assert_eq!(row(&text, "the same").0, events(), "{text}");
    for name in ["dropped", "added", "retyped", "relabelled", "other text"] {
        assert_eq!(row(&text, name), (0, String::new()), "{text}");
    }
    assert!(!text.contains("for example"), "{text}");
}

fn diff_counts_what_a_filter_drops() {
    let path = plugin("0.1.0/hostile.wasm");
    let text = diff(&format!(
        "[[filter]]\npath = \"{path}\"\nallow = [\"file-head\"]\nconfig = {{ mode = \"drop\" }}\n"
    ));
    let (dropped, by) = row(&text, "dropped");
    assert_eq!((dropped, row(&text, "the same").0), (events(), 0), "{text}");
    assert!(by.starts_with("(hostile@") && by.ends_with(&format!(" {dropped})")), "{text}");
    assert!(text.contains("\ndropped, for example:\n- {\"event_type\":"), "{text}");
}

fn diff_counts_what_another_classifier_retypes() {
    let path = plugin("site-classifier.wasm");
    let bundled = "[[classifier]]\nbundled = true\n";
    let text = diff(&format!("[[classifier]]\npath = \"{path}\"\n{bundled}"));
    let (retyped, by) = row(&text, "retyped");
    assert!(retyped > 0 && by.starts_with("(site-classifier@"), "{text}");
    assert_eq!(retyped + row(&text, "the same").0, events(), "{text}");
    let example = text.split("\nretyped, for example:\n").nth(1).unwrap();
    assert!(example.starts_with("- ") && example.contains("\n+ "), "{text}");
    assert!(example.contains("\"file_type\":\"keystore\""), "{text}");
}

fn diff_counts_what_a_filter_labels() {
    let path = plugin("0.1.0/hostile.wasm");
    let text = diff(&format!(
        "[[filter]]\npath = \"{path}\"\nallow = [\"file-head\"]\nconfig = {{ mode = \"label\" }}\n"
    ));
    let (relabelled, by) = row(&text, "relabelled");
    assert_eq!(relabelled, events(), "{text}");
    assert_eq!(by, format!("(label owner {relabelled})"), "{text}");
}

/// What a recording gives as cases is what `plugin test` reads: a filter that keeps everything passes all of them.
fn cases_have_every_event_and_pass() {
    let (code, text, stderr) = replay(&recording(), ["--cases"]);
    assert_eq!(code, Some(0), "{stderr}");
    let cases: Value = serde_json::from_str(&text).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert_eq!(cases.len() as u64, events());
    let types =
        |name: &str| cases.iter().filter(|case| case["event"]["event_type"] == name).count();
    for name in ["file_open", "lib_load", "process_exec", "process_exit"] {
        assert!(types(name) > 0, "{name}: {text}");
    }
    let dir = trusted_dir();
    let path = dir.path().join("cases.json");
    fs::write(&path, &text).unwrap();
    let tested = test(&path, "{\"mode\": \"keep\"}");
    assert_eq!(tested, format!("{0} cases: {0} passed, 0 failed\n", cases.len()));
    let tested = test(&path, "{\"mode\": \"drop\"}");
    assert!(tested.ends_with(&format!(" 0 passed, {} failed\n", cases.len())), "{tested}");
}

fn test(cases: &Path, config: &str) -> String {
    let mut command = Command::new(program());
    command.args(["plugin", "test", &plugin("0.1.0/hostile.wasm"), "--with", config, "--cases"]);
    String::from_utf8(output(command.arg(cases)).stdout).unwrap()
}
