//! Options with values that mean nothing: exit code 2, or 1 where only the machine knows, and a message that names the
//! option. Nothing is traced for it.
#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, Stdio};

use crypto_tracer_tests::{actor, needs_bpf, output, program, temp_dir};

/// Longest message in bytes that still is one: two lines of a wide terminal, or a few of a narrow one.
const MOST_SAID: usize = 1200;

fn refused(arguments: &[&OsStr], codes: &[i32], words: &[&str]) -> String {
    let dir = temp_dir();
    let mut command = Command::new(program());
    command.args(arguments).current_dir(dir.path()).env_remove("XDG_CONFIG_HOME");
    let ended = output(&mut command);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let short: Vec<_> = arguments.iter().map(|argument| argument.len()).collect();
    assert!(ended.status.code().is_some_and(|code| codes.contains(&code)), "{short:?}: {said}");
    assert!(ended.stdout.is_empty() && said.len() <= MOST_SAID, "{short:?}: {said}");
    assert!(said.lines().count() <= 2 && said.starts_with("crypto-tracer: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{short:?} does not name {word}: {said}");
    }
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was written");
    said
}

/// Nothing, too much, below zero, no number, no UTF-8, orders to the terminal.
fn odd_values() -> [OsString; 6] {
    [
        "".into(),
        "x".repeat(100_000).into(),
        "-1".into(),
        "x".into(),
        OsString::from_vec(b"\xff\xfe".to_vec()),
        "\u{1b}[2J\u{7}".into(),
    ]
}

fn each_value_is_refused(command: &str, option: &str, but: &[&str]) {
    for value in odd_values().iter().filter(|value| but.iter().all(|but| value != but)) {
        refused(&[command.as_ref(), option.as_ref(), value], &[2], &[option]);
    }
}

#[test]
fn values_of_options_that_take_numbers_and_words() {
    for option in ["--duration", "--pid", "--format", "--color"] {
        each_value_is_refused("monitor", option, &[]);
    }
    for (command, option) in [("profile", "--duration"), ("profile", "--pid"), ("snapshot", "-f")] {
        let option = if option == "-f" { "--format" } else { option };
        each_value_is_refused(command, option, &[]);
    }
    for value in ["0", "+1", "1.5", "0x10", "4294967296", " 1"] {
        refused(&["files".as_ref(), "--pid".as_ref(), value.as_ref()], &[2], &["--pid", "1234"]);
    }
    for value in ["1d", "1.5", "s", "99999999999h", "1 m"] {
        refused(&["libs".as_ref(), "-d".as_ref(), value.as_ref()], &[2], &["--duration"]);
    }
}

#[test]
fn values_of_options_that_take_texts_and_files() {
    for (command, option) in [
        ("monitor", "--name"),
        ("libs", "--library"),
        ("files", "--file"),
        ("monitor", "--output"),
        ("monitor", "--record"),
        ("snapshot", "--output"),
        ("replay", "--config"),
        ("monitor", "--probe"),
    ] {
        refused(&[command.as_ref(), option.as_ref(), "".as_ref()], &[2], &[option]);
    }
    let odd = OsStr::from_bytes(b"\xff*.pem");
    refused(&["files".as_ref(), "--file".as_ref(), odd], &[2], &["--file", "UTF-8"]);
    for kind in ["classifier", "redactor", "filter"] {
        let option = format!("--{kind}");
        for value in odd_values() {
            let words: [&str; 1] = if value.is_empty() { [&option] } else { [kind] };
            refused(&["snapshot".as_ref(), option.as_ref(), &value], &[2], &words);
        }
    }
    for value in odd_values() {
        refused(&["replay".as_ref(), &value], &[2], &[]);
        refused(&["completions".as_ref(), &value], &[2], &[]);
        refused(&["help".as_ref(), &value], &[2], &[]);
        refused(&[&value], &[2], &[]);
    }
    let long = OsString::from("x".repeat(100_000));
    for before in [&["snapshot", "--output"][..], &["replay"]] {
        let mut arguments: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
        arguments.push(&long);
        // Behind a name that fills the screen the reason must not be lost.
        refused(&arguments, &[1, 2], &["File name too long"]);
    }
}

/// Only a kernel side that could start says which probes there are.
#[test]
fn probes_that_are_none() {
    needs_bpf!();
    for value in odd_values().iter().filter(|value| !value.is_empty()) {
        let mut arguments = ["monitor", "--duration", "1", "--probe"].map(OsStr::new).to_vec();
        arguments.push(value);
        refused(&arguments, &[2], &["--probe"]);
    }
}

#[test]
fn options_that_contradict_each_other_or_come_twice() {
    for (arguments, words) in [
        ("monitor --quiet --verbose", &["--quiet", "--verbose"][..]),
        ("monitor --follow-children", &["--pid"]),
        ("profile --follow-children --name x", &["--pid"]),
        ("profile", &["--pid", "--name"]),
        ("monitor --duration 1 --duration 2", &["--duration"]),
        ("monitor --format table --format json-array", &["--format"]),
        ("monitor --output a --output b", &["--output"]),
        ("snapshot --format table", &["--format", "table", "monitor"]),
        ("monitor --format summary", &["--format", "summary", "profile, snapshot and doctor"]),
        ("snapshot --duration 1", &["--duration", "monitor"]),
        ("profile --pid 1 --extended", &["--extended", "monitor"]),
        ("snapshot --pid 1", &["--pid", "profile"]),
        ("replay x --record y", &["--record", "monitor"]),
    ] {
        let arguments: Vec<&OsStr> = arguments.split(' ').map(OsStr::new).collect();
        refused(&arguments, &[2], words);
    }
}

/// Nothing would ever be seen of either.
#[test]
fn threads_and_the_kernels_own_are_no_processes_to_watch() {
    // SAFETY: no memory is involved.
    let thread = unsafe { libc::gettid() }.to_string();
    let process = format!("thread of process {}", std::process::id());
    for command in ["monitor", "profile"] {
        let arguments = [command, "--duration", "1", "--pid", &thread].map(OsStr::new);
        refused(&arguments, &[1], &["--pid", &process]);
    }
    // In a container there is none to be seen.
    if std::fs::read("/proc/2/comm").is_ok_and(|name| name == b"kthreadd\n") {
        let arguments = ["files", "--duration", "1", "--pid", "2"].map(OsStr::new);
        refused(&arguments, &[1], &["--pid 2", "kernel's own"]);
    }
}

#[test]
fn a_process_that_ends_at_once() {
    needs_bpf!();
    // There when it is asked for, and gone before the first look: whatever comes first is told.
    for _ in 0..3 {
        let ended = actor!["threads", "1"];
        let pid = ended.pid().to_string();
        let mut command = Command::new(program());
        command.args(["profile", "--quiet", "--duration", "5", "--pid", &pid]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        ended.end();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => assert!(output.stdout.starts_with(b"{"), "{said}"),
            code => {
                assert_eq!(code, Some(1), "{said}");
                assert!(said.contains(&format!("--pid {pid}")), "{said}");
            }
        }
    }
}

/// Nothing to print to, or nobody to tell: neither is a panic, and only the first is a failure.
#[test]
fn standard_streams_that_are_closed() {
    for arguments in [
        "--help",
        "monitor --help",
        "help",
        "help profile",
        "--version",
        "completions bash",
        "plugin list",
    ] {
        let script = format!("exec \"$0\" {arguments} >&-");
        let closed = output(Command::new("sh").args(["-c", &script]).arg(program()));
        let said = String::from_utf8_lossy(&closed.stderr);
        assert_eq!(closed.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.contains("closed"), "{said}");
        let script = format!("exec \"$0\" {arguments} >/dev/full");
        let full = output(Command::new("sh").args(["-c", &script]).arg(program()));
        assert_eq!(full.status.code(), Some(1), "{arguments}");
        let script = format!("exec \"$0\" {arguments} 2>&-");
        let quiet = output(Command::new("sh").args(["-c", &script]).arg(program()));
        assert_eq!(quiet.status.code(), Some(0), "{arguments}");
        assert!(!quiet.stdout.is_empty());
    }
    for (arguments, code) in [("snapshot -v", 0), ("monitor --bogus", 2), ("replay nowhere", 2)] {
        let script = format!("exec \"$0\" {arguments} 2>&-");
        let unheard = output(Command::new("sh").args(["-c", &script]).arg(program()));
        assert_eq!(unheard.status.code(), Some(code), "{arguments}");
    }
}
