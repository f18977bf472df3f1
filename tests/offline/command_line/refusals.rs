//! Invalid arguments, and machines that lack a requirement: a message of one or two lines, the documented exit code,
//! and no incomplete output file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crypto_tracer_tests::{NOBODY_UID, is_root, program, refused, run, temp_dir, workspace};

crypto_tracer_tests::tests![
    invalid_arguments_are_refused,
    malformed_globs_are_refused,
    arguments_are_escaped_in_messages,
    pid_without_a_process_is_refused,
    output_that_cannot_be_created_is_refused,
    invalid_plugins_are_refused,
    invalid_configurations_are_refused,
    missing_privileges_are_refused,
];

fn monitor(options: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("monitor").args(options);
    command
}

fn invalid_arguments_are_refused() {
    for (options, words) in [
        (&["--bogus"][..], &["--bogus"][..]),
        (&["--pidd", "1"], &["--pidd", "--pid"]),
        (&["surplus"], &["surplus"]),
        (&["--pid", "many"], &["--pid", "many"]),
        (&["--pid", "0"], &["--pid"]),
        (&["--pid", "-1"], &["-1"]),
        (&["--duration", "soon"], &["--duration", "soon", "30s"]),
        (&["--duration", "-1"], &["-1"]),
        (&["--format", "xml"], &["--format", "xml", "json-stream"]),
        (&["--name", ""], &["--name"]),
        (&["--file"], &["--file"]),
    ] {
        refused(&mut monitor(options), 2, words);
    }
    refused(Command::new(program()).arg("bogus"), 2, &["bogus", "monitor, files"]);
    let stderr =
        refused(&mut Command::new(program()), 2, &["monitor, files", "'crypto-tracer --help'"]);
    assert!(
        stderr.starts_with("crypto-tracer: missing command; the commands of crypto-tracer are "),
        "{stderr}"
    );
    refused(&mut monitor(&["--bogus"]), 2, &["try 'crypto-tracer monitor --help'"]);
}

fn malformed_globs_are_refused() {
    for glob in ["[", "[a", "{a", "[z-a]", ""] {
        refused(&mut monitor(&["--file", glob]), 2, &["--file"]);
    }
}

fn arguments_are_escaped_in_messages() {
    let stderr = refused(&mut monitor(&["--\u{1b}[2J\u{202e}"]), 2, &[]);
    assert!(!stderr.contains(['\u{1b}', '\u{202e}']), "{stderr:?}");
}

fn pid_without_a_process_is_refused() {
    // The process has ended; the kernel uses its id again only after all others.
    let pid = run(&mut Command::new("true")).to_string();
    refused(&mut monitor(&["--pid", &pid]), 1, &["--pid", &pid]);
}

fn output_that_cannot_be_created_is_refused() {
    let dir = temp_dir();
    let file = dir.path().join("missing/events.json");
    let file = file.to_str().unwrap();
    refused(&mut monitor(&["--output", file]), 1, &[file]);
    let folder = dir.path().to_str().unwrap();
    refused(&mut monitor(&["--output", folder]), 1, &[folder]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a file was created");
}

/// Each message names the file, the problem and the remedy.
fn invalid_plugins_are_refused() {
    let dir = temp_dir();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let fixture =
        |name: &str| fs::read(workspace().join("tests/fixtures/plugins/0.1.0").join(name)).unwrap();
    let hostile = fixture("hostile.wasm");
    let large = file("large.wasm", b"");
    fs::File::create(&large).unwrap().set_len(200 << 20).unwrap();
    let noise: Vec<u8> =
        (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let component = "a plugin is a component, as `crypto-tracer plugin new` builds";
    for (path, words) in [
        (dir.path().join("missing.wasm"), &["cannot be read", "No such file"][..]),
        (file("empty.wasm", b""), &["is empty", "build the plugin again"]),
        (dir.path().to_path_buf(), &["is not a regular file", "name the plugin's .wasm file"]),
        (file("noise.wasm", &noise), &["is not WebAssembly", component]),
        (file("text.wasm", b"no plugin"), &["is not WebAssembly", component]),
        (file("core.wasm", b"\0asm\x01\0\0\0"), &["is a core module", "wasm32-wasip2"]),
        (file("world.wasm", b"\0asm\x0d\0\x01\0"), &["exports no ", "it exports nothing"]),
        (
            file("network.wasm", &fixture("hostile-network.wasm")),
            &["imports `wasi:sockets/", "no network"],
        ),
        (large, &["more than 4194304 bytes", "strip it"]),
        (
            file("cut.wasm", &hostile[..hostile.len() / 2]),
            &["is damaged or cut short", "copy or build it again"],
        ),
    ] {
        let name = path.to_str().unwrap();
        for kind in ["classifier", "redactor", "filter"] {
            let stderr = refused(&mut monitor(&[&format!("--{kind}"), name]), 2, words);
            assert!(stderr.contains(&format!("the {kind} {name}")), "{stderr}");
        }
    }
    // A plugin of another kind.
    let redactor = file("redactor.wasm", &fixture("redact-default.wasm"));
    let words = ["exports no classifier", "it exports crypto-tracer:plugin/redactor@0.1.0"];
    refused(&mut monitor(&["--classifier", redactor.to_str().unwrap()]), 2, &words);
}

/// Each message names the file, the line, the problem and the remedy.
fn invalid_configurations_are_refused() {
    let parent = if is_root() { PathBuf::from("/var/lib") } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir_in(parent).unwrap();
    let config = dir.path().join("config.toml");
    let plugin = dir.path().join("site.wasm");
    fs::copy(workspace().join("tests/fixtures/plugins/site-classifier.wasm"), &plugin).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o644)).unwrap();
    let pin = "0".repeat(64);
    let site = "[[classifier]]\npath = \"site.wasm\"\n";
    for (text, words) in [
        ("[[clasifier]]\n".to_owned(), &["line 1", "clasifier", "did you mean `classifier`?"][..]),
        ("[plugins]\nmemry = \"1MiB\"\n".to_owned(), &["line 2", "did you mean `memory`?"]),
        (format!("{site}sha265 = \"x\"\n"), &["line 3", "did you mean `sha256`?"]),
        (
            "[plugins]\ndeadline_ms = \"soon\"\n".to_owned(),
            &["line 2", "a whole number from 1 to 1000"],
        ),
        ("[plugins]\non_failure = 1\n".to_owned(), &["line 2"]),
        ("classifier = 1\n".to_owned(), &["line 1"]),
        ("[plugins\n".to_owned(), &["line 1"]),
        (format!("{site}{site}"), &["site.wasm", "is named twice as a classifier"]),
        (
            format!("{site}sha256 = \"{pin}\"\n"),
            &["site.wasm", "has sha256 ", &pin, "restore the file", "sha256 = "],
        ),
        ("[[classifier]]\npath = \"gone.wasm\"\n".to_owned(), &["gone.wasm", "No such file"]),
        (format!("{site}allow = [\"everything\"]\n"), &["everything", "file-head"]),
    ] {
        fs::write(&config, &text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
        let stderr = refused(&mut monitor(&["--config", config.to_str().unwrap()]), 2, words);
        assert!(stderr.contains(dir.path().to_str().unwrap()), "{text}: {stderr}");
    }
}

/// Copies the program to a folder that every user can enter, because other users may not be able to enter the target
/// folder.
fn public_copy(dir: &Path) -> PathBuf {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = dir.join("crypto-tracer");
    fs::copy(program(), &copy).unwrap();
    copy
}

fn missing_privileges_are_refused() {
    let dir = temp_dir();
    let copy = public_copy(dir.path());
    let output = dir.path().join("events.json");
    let mut command = Command::new(&copy);
    command.args(["monitor", "--output"]).arg(&output).current_dir("/");
    if is_root() {
        command.uid(NOBODY_UID).gid(NOBODY_UID);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let stderr = refused(&mut command, 3, &["CAP_BPF", "CAP_PERFMON"]);
    assert!(
        stderr.contains("sudo ") || stderr.contains("setcap "),
        "no command as a remedy: {stderr}"
    );
    assert!(!output.exists(), "a file was created");
}
