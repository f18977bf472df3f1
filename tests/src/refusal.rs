//! What the program says when it refuses to run.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Output};

use crate::material::temp_dir;
use crate::program::{output, program};

/// Longest message in bytes that still is one: two lines of a wide terminal, or a few of a narrow one.
const MOST_SAID: usize = 1200;

/// Runs a program that refuses to run, and returns its one or two lines on standard error.
///
/// # Panics
///
/// When it does not refuse, or does not name each of the words.
pub fn refused(command: &mut Command, code: i32, words: &[&str]) -> String {
    let Output { status, stdout, stderr } = output(command);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{command:?}: {said}");
    assert!(stdout.is_empty(), "{command:?} printed {}", String::from_utf8_lossy(&stdout));
    for word in words {
        assert!(said.contains(word), "{command:?} does not name {word:?}: {said}");
    }
    let lines = said.lines().count();
    assert!((1..=2).contains(&lines), "{lines} lines: {said}");
    assert!(said.starts_with("crypto-tracer: "), "{said}");
    said
}

/// Runs the program in an empty folder, and returns what it said when it refused its arguments.
///
/// # Panics
///
/// When it did not, says too much or nothing of the words, or leaves something behind.
pub fn refused_arguments(arguments: &[&OsStr], codes: &[i32], words: &[&str]) -> String {
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
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("it is ours").count(),
        0,
        "something was written"
    );
    said
}

/// Nothing, too much, below zero, no number, no UTF-8, orders to the terminal.
pub fn odd_values() -> [OsString; 6] {
    [
        "".into(),
        "x".repeat(100_000).into(),
        "-1".into(),
        "x".into(),
        OsString::from_vec(b"\xff\xfe".to_vec()),
        "\u{1b}[2J\u{7}".into(),
    ]
}
