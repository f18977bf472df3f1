//! Messages of the program when it refuses to run.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Output};

use crate::material::temp_dir;
use crate::program::{output, program};

/// Maximum length of a message in bytes: two lines of a wide terminal, or a few lines of a narrow one.
const MOST_MESSAGE_BYTES: usize = 1200;

/// Runs a command that must refuse to run, and returns its one or two lines on standard error.
///
/// # Panics
///
/// If the command does not refuse with this exit code, or if its message lacks one of the words.
pub fn refused(command: &mut Command, code: i32, words: &[&str]) -> String {
    let Output { status, stdout, stderr } = output(command);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{command:?}: {said}");
    assert!(stdout.is_empty(), "{command:?} printed {}", String::from_utf8_lossy(&stdout));
    for word in words {
        assert!(said.contains(word), "{command:?} lacks {word:?}: {said}");
    }
    let lines = said.lines().count();
    assert!((1..=2).contains(&lines), "{lines} lines: {said}");
    assert!(said.starts_with("crypto-tracer: "), "{said}");
    said
}

/// Runs the program in an empty folder with arguments that it must refuse, and returns its message.
///
/// # Panics
///
/// If the program does not refuse them, if the message is too long or lacks one of the words, or if the program creates a
/// file.
pub fn refused_arguments(arguments: &[&OsStr], codes: &[i32], words: &[&str]) -> String {
    let dir = temp_dir();
    let mut command = Command::new(program());
    command.args(arguments).current_dir(dir.path()).env_remove("XDG_CONFIG_HOME");
    let ended = output(&mut command);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let lengths: Vec<_> = arguments.iter().map(|argument| argument.len()).collect();
    assert!(ended.status.code().is_some_and(|code| codes.contains(&code)), "{lengths:?}: {said}");
    assert!(ended.stdout.is_empty() && said.len() <= MOST_MESSAGE_BYTES, "{lengths:?}: {said}");
    assert!(said.lines().count() <= 2 && said.starts_with("crypto-tracer: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{lengths:?} lacks {word}: {said}");
    }
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("the folder is readable").count(),
        0,
        "something was written"
    );
    said
}

/// Invalid values: empty, very long, negative, not a number, not UTF-8, terminal escapes.
pub fn invalid_values() -> [OsString; 6] {
    [
        "".into(),
        "x".repeat(100_000).into(),
        "-1".into(),
        "x".into(),
        OsString::from_vec(b"\xff\xfe".to_vec()),
        "\u{1b}[2J\u{7}".into(),
    ]
}
