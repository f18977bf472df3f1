//! `inventory merge`, `diff` and `export`, and `report`, as a user runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crypto_tracer_tests::{output, program, refused, temp_dir, workspace};

crypto_tracer_tests::tests![
    documents_of_two_hosts_are_merged,
    diff_fails_when_something_is_not_known,
    exports_and_page_are_written,
    damaged_documents_are_refused_and_nothing_is_overwritten,
    documents_can_be_piped,
    documented_output_is_real,
];

pub(super) fn fixture(name: &str) -> String {
    workspace().join("tests/fixtures").join(name).display().to_string()
}

pub(super) fn run(arguments: &[&str]) -> Output {
    output(Command::new(program()).args(arguments))
}

fn json(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn documents_of_two_hosts_are_merged() {
    let [web1, web2] = ["inventories/web1.json", "inventories/web2.json"].map(fixture);
    let merged = run(&["inventory", "merge", &web1, &web2]);
    assert_eq!(merged.status.code(), Some(0), "{}", String::from_utf8_lossy(&merged.stderr));
    let document = json(&merged);
    assert_eq!(document["hosts"].as_array().unwrap().len(), 2);
    let swapped = run(&["inventory", "merge", &web2, &web1, &web1]);
    assert_eq!(swapped.stdout, merged.stdout);
    let dir = temp_dir();
    let all = dir.path().join("all.json");
    fs::write(&all, &merged.stdout).unwrap();
    let again = run(&["inventory", "merge", all.to_str().unwrap(), &web1]);
    assert_eq!(again.stdout, merged.stdout);
    let summary = run(&["inventory", "merge", &web1, &web2, "--format", "summary"]);
    let summary = String::from_utf8(summary.stdout).unwrap();
    assert!(summary.starts_with("2 hosts: "), "{summary}");
}

fn diff_fails_when_something_is_not_known() {
    let [web1, web2] = ["inventories/web1.json", "inventories/web2.json"].map(fixture);
    let same = run(&["inventory", "diff", &web1, &web1]);
    assert_eq!(same.status.code(), Some(0));
    assert_eq!(json(&same)["used_but_not_known"], Value::Array(Vec::new()));
    let other = run(&["inventory", "diff", &web1, &web2]);
    assert_eq!(other.status.code(), Some(1));
    let message = String::from_utf8(other.stderr.clone()).unwrap();
    assert!(message.contains("not in") && message.contains("web1.json"), "{message}");
    assert_ne!(json(&other)["used_but_not_known"], Value::Array(Vec::new()));
    let trivy = fixture("cyclonedx/trivy.json");
    let text = run(&["inventory", "diff", &trivy, &web1, "-f", "summary"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("CycloneDX 1.7"), "{text}");
}

fn exports_and_page_are_written() {
    let web1 = fixture("inventories/web1.json");
    for version in ["1.6", "1.7"] {
        let bom = run(&["inventory", "export", &web1, "-f", &format!("cyclonedx-{version}")]);
        assert_eq!(json(&bom)["specVersion"], version);
    }
    let csv = run(&["inventory", "export", &web1, "--format", "csv"]);
    assert!(csv.stdout.starts_with(b"host,program,exe,"));
    let dir = temp_dir();
    let page = dir.path().join("report.html");
    let written = run(&["report", &web1, "--output", page.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{}", String::from_utf8_lossy(&written.stderr));
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!DOCTYPE html>"));
    let known = fixture("cyclonedx/cbomkit-theia.json");
    let page = run(&["report", &web1, "--diff", &known]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("Used, but not known"));
}

fn damaged_documents_are_refused_and_nothing_is_overwritten() {
    let dir = temp_dir();
    let web1 = fixture("inventories/web1.json");
    let whole = fs::read(&web1).unwrap();
    let path = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let kept = path("kept", b"kept");
    let cut = path("cut.json", &whole[..whole.len() / 2]);
    let foreign = path("foreign.json", b"{\"spdxVersion\": \"SPDX-2.3\"}");
    let binary = path("binary", b"\x7fELF\x02\x01");
    let empty = path("empty", b"");
    let missing = dir.path().join("missing.json").display().to_string();
    let folder = dir.path().display().to_string();
    for bad in [&cut, &foreign, &binary, &empty, &missing, &folder] {
        let name = Path::new(bad).file_name().unwrap().to_str().unwrap().to_owned();
        for arguments in [
            &["inventory", "merge", &web1, bad][..],
            &["inventory", "diff", bad, &web1],
            &["inventory", "diff", &web1, bad],
            &["inventory", "export", bad, "-f", "csv"],
            &["report", bad],
            &["report", &web1, "--diff", bad],
        ] {
            let mut command = Command::new(program());
            command.args(arguments).args(["--output", &kept]);
            refused(&mut command, 2, &[&name]);
            assert_eq!(fs::read(&kept).unwrap(), b"kept");
        }
    }
    let names = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(names, 5, "no temporary file is left");
    let mut cut = Command::new(program());
    refused(cut.args(["inventory", "merge"]).arg(dir.path().join("cut.json")), 2, &["line "]);
}

fn documents_can_be_piped() {
    let web1 = fixture("inventories/web1.json");
    let script =
        "cat \"$1\" | \"$0\" inventory merge /dev/stdin -f json-stream | \"$0\" report /dev/stdin";
    let page = output(Command::new("sh").args(["-c", script]).arg(program()).arg(&web1));
    assert!(String::from_utf8_lossy(&page.stdout).contains("Crypto in use on 1 host"));
}

/// Runs the commands of docs/inventory.md that work on documents, in order, and compares what they print.
fn documented_output_is_real() {
    let dir = temp_dir();
    for (name, from) in [
        ("web1.json", "inventories/web1.json"),
        ("web2.json", "inventories/web2.json"),
        ("cbom.json", "cyclonedx/trivy.json"),
    ] {
        fs::copy(fixture(from), dir.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink(program(), dir.path().join("crypto-tracer")).unwrap();
    let page = fs::read_to_string(workspace().join("docs/inventory.md")).unwrap();
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut commands = 0;
    // Recording needs privileges; the tests of the live program run it.
    for block in blocks.filter(|block| !block.contains("inventory record")) {
        for part in block.split("$ ").skip(1).filter(|part| !part.starts_with("jq ")) {
            let (command, expected) = part.split_once('\n').unwrap();
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("PATH=$PWD:$PATH; {{ {command}; }} 2>&1")]);
            let printed = output(shell.current_dir(dir.path()));
            assert_eq!(String::from_utf8_lossy(&printed.stdout), expected, "{command}");
            commands += 1;
        }
    }
    assert!(commands >= 8, "{commands}");
}
