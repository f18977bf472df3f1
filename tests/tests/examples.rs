//! The example plugins, built as their readers build them, and asked the questions of their cases.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crypto_tracer_tests::{output, program, temp_dir, why_not_wasi, workspace};

const NAMES: [&str; 5] =
    ["key-hygiene", "only-listed", "site-rules", "user-pseudonyms", "x509-details"];

fn examples() -> PathBuf {
    workspace().join("plugins/examples")
}

/// Runs cargo on the examples' workspace: offline where all crates are here already.
fn cargo(arguments: &[&str]) {
    let run = |offline: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).arg("--locked").args(offline).current_dir(examples());
        command.env("CARGO_TARGET_DIR", workspace().join("target/authoring")).output().unwrap()
    };
    let built = run(&["--offline"]);
    let built = if built.status.success() { built } else { run(&[]) };
    assert!(built.status.success(), "{}", text(&built));
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn test<S: AsRef<OsStr>>(built: &Path, options: impl IntoIterator<Item = S>) {
    let mut command = Command::new(program());
    let tested = output(command.args(["plugin", "test"]).arg(built).args(options));
    let text = text(&tested);
    assert_eq!(tested.status.code(), Some(0), "{}: {text}", built.display());
    assert!(text.contains(" passed, 0 failed\n"), "{}: {text}", built.display());
}

/// The configuration that its cases begin with.
fn config(example: &str) -> String {
    let cases = fs::read(examples().join(example).join("cases.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&cases).unwrap();
    cases.get("config").map_or_else(|| "{}".to_owned(), ToString::to_string)
}

/// Its cases, and odd questions.
fn test_all(folder: &Path) {
    for example in NAMES {
        let built = folder.join(format!("{}.wasm", example.replace('-', "_")));
        let cases = examples().join(example).join("cases.json");
        test(&built, [OsStr::new("--cases"), cases.as_os_str()]);
        test(&built, ["--with", &config(example)]);
    }
}

#[test]
fn every_member_is_an_example() {
    let manifest = fs::read_to_string(examples().join("Cargo.toml")).unwrap();
    let quoted: Vec<String> = NAMES.iter().map(|name| format!("{name:?}")).collect();
    assert!(manifest.contains(&format!("members = [{}]", quoted.join(", "))), "{manifest}");
    let guide = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    for name in NAMES {
        assert!(guide.contains(&format!("plugins/examples/{name}")), "docs/plugins.md: {name}");
    }
}

#[test]
fn their_rules_hold_natively() {
    cargo(&["test", "--quiet"]);
}

#[test]
fn built_by_plain_cargo_they_answer_their_cases() {
    if let Some(why) = why_not_wasi() {
        return skip(why);
    }
    cargo(&["build", "--release", "--target", "wasm32-wasip2"]);
    test_all(&workspace().join("target/authoring/wasm32-wasip2/release"));
}

/// In a copy, because cargo component writes into the sources.
#[test]
fn built_by_cargo_component_they_answer_their_cases() {
    let here = Command::new("cargo-component").arg("--version").output();
    if here.is_err() {
        let required = std::env::var_os("CRYPTO_TRACER_REQUIRE_COMPONENT").is_some();
        let why =
            "there is no cargo-component: cargo install cargo-component --version ^0.21 --locked";
        assert!(!required, "{why}");
        return skip(why);
    }
    let dir = temp_dir();
    let copy = dir.path().join("plugins/examples");
    fs::create_dir_all(&copy).unwrap();
    let copied = output(
        Command::new("git")
            .args(["ls-files", "-z", "--", ".", "../../wit"])
            .current_dir(examples()),
    );
    for path in copied.stdout.split(|&byte| byte == 0).filter(|path| !path.is_empty()) {
        let path = std::str::from_utf8(path).unwrap();
        let to = copy.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(examples().join(path), to).unwrap();
    }
    let mut command = Command::new("cargo-component");
    command.args(["component", "build", "--release"]).current_dir(&copy);
    let target = workspace().join("target/authoring");
    let built = command.env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(built.status.success(), "{}", text(&built));
    test_all(&workspace().join("target/authoring/wasm32-wasip1/release"));
}

#[expect(clippy::print_stderr, reason = "whoever runs the test should know")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}
