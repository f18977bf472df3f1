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
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{command:?}: {stderr}");
    assert!(stdout.is_empty(), "{command:?} printed {}", String::from_utf8_lossy(&stdout));
    for word in words {
        assert!(stderr.contains(word), "{command:?} lacks {word:?}: {stderr}");
    }
    let lines = stderr.lines().count();
    assert!((1..=2).contains(&lines), "{lines} lines: {stderr}");
    assert!(stderr.starts_with("crypto-tracer: "), "{stderr}");
    stderr
}

/// Runs the program in an empty folder with arguments that it must refuse, and returns its message.
///
/// # Panics
///
/// If the program does not refuse them, if the message is too long or lacks one of the words, or if the program creates
/// a file.
pub fn refused_arguments(arguments: &[&OsStr], codes: &[i32], words: &[&str]) -> String {
    let dir = temp_dir();
    let mut command = Command::new(program());
    command.args(arguments).current_dir(dir.path()).env_remove("XDG_CONFIG_HOME");
    let ended = output(&mut command);
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    let lengths: Vec<_> = arguments.iter().map(|argument| argument.len()).collect();
    assert!(ended.status.code().is_some_and(|code| codes.contains(&code)), "{lengths:?}: {stderr}");
    assert!(ended.stdout.is_empty() && stderr.len() <= MOST_MESSAGE_BYTES, "{lengths:?}: {stderr}");
    assert!(stderr.lines().count() <= 2 && stderr.starts_with("crypto-tracer: "), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{lengths:?} lacks {word}: {stderr}");
    }
    assert!(!stderr.contains(['\u{1b}', '\u{7}']), "{stderr:?}");
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("the folder is readable").count(),
        0,
        "something was written"
    );
    stderr
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
