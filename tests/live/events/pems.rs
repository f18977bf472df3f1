//! Contents of `.pem` files and their types in real opens.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine, prelude::BASE64_STANDARD};
use crypto_tracer_tests::{Tracer, needs_bpf, run, temp_dir, workspace};

crypto_tracer_tests::tests![fixture_cases_have_their_types];

/// Returns name, content and type of each case of the fixture, and of cases that are too long for the fixture.
fn cases() -> Vec<(String, Vec<u8>, String)> {
    let file = fs::read(workspace().join("tests/fixtures/cases/pems.json")).unwrap();
    let read: Vec<serde_json::Value> = serde_json::from_slice(&file).unwrap();
    let mut cases: Vec<_> = read
        .iter()
        .map(|case| {
            let text = |field: &str| case[field].as_str().map(str::to_owned);
            let decode = || BASE64_STANDARD.decode(text("base64").unwrap()).unwrap();
            let content = text("text").map_or_else(decode, String::into_bytes);
            (text("name").unwrap(), content, text("file_type").unwrap())
        })
        .collect();
    let body = format!("{}\n", "QUJD".repeat(16));
    let block = |label: &str, lines: usize| {
        format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", body.repeat(lines))
    };
    let key = block("PRIVATE KEY", 2);
    let long = [
        ("lists_of_900_k", format!("{}{key}", block("X509 CRL", 700).repeat(20)), "private_key"),
        ("lists_of_2_m", format!("{}{key}", block("X509 CRL", 700).repeat(48)), "unknown"),
        ("text_of_100_k", format!("{}{key}", "text\n".repeat(20_000)), "unknown"),
        ("across_64_k", format!("{}\n{key}", "x".repeat(65_536 - 9)), "private_key"),
        ("one_list_of_200_k", format!("{}{key}", block("X509 CRL", 3200)), "private_key"),
        (
            "escaped_list",
            format!("{}{key}", block("X509 CRL", 2000)).replace('\n', "\\n"),
            "private_key",
        ),
    ];
    let long = long.map(|(name, text, kind)| (name.to_owned(), text.into_bytes(), kind.to_owned()));
    cases.extend(long);
    cases
}

fn fixture_cases_have_their_types() {
    needs_bpf!();
    let dir = temp_dir();
    let cases = cases();
    let path = |name: &str| -> PathBuf { dir.path().join(format!("{name}.pem")) };
    cases.iter().for_each(|(name, content, _)| fs::write(path(name), content).unwrap());
    let tracer = Tracer::monitor(["--extended", "--no-redact"]);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    // On a busy machine a head may be late, so the file is opened again.
    for round in 0..10 {
        let missing = cases.iter().map(|(name, ..)| path(name));
        let missing: Vec<PathBuf> =
            missing.filter(|path| !found.contains_key(path.to_str().unwrap())).collect();
        for files in missing.chunks(if round == 0 { 16 } else { 1 }) {
            let pid = run(Command::new("cat").args(files));
            for event in tracer.all_of(pid) {
                if event.kind() == "file_open" && event.text("head") == "read" {
                    let file = event.text("file").to_owned();
                    found.insert(file, event.text("file_type").to_owned());
                }
            }
        }
    }
    tracer.finish();
    let type_of = |path: &Path| found.get(path.to_str().unwrap()).cloned().unwrap_or_default();
    let wrong: Vec<_> = cases
        .iter()
        .filter(|(name, _, right)| type_of(&path(name)) != *right)
        .map(|(name, _, right)| (name, right, type_of(&path(name))))
        .collect();
    assert!(wrong.is_empty(), "name, expected, found: {wrong:?}");
}
