//! Invalid values of options: exit code 2, or 1 if the validity depends on the machine, and a message that names the
//! option. No run starts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crypto_tracer_tests::{invalid_values, output, program, refused_arguments};

crypto_tracer_tests::tests![
    invalid_numbers_and_words_are_refused,
    invalid_texts_and_files_are_refused,
    contradicting_and_repeated_options_are_refused,
    thread_ids_and_kernel_threads_are_refused_as_pid,
    closed_standard_streams_cause_no_panic,
];

fn assert_invalid_values_are_refused(command: &str, option: &str) {
    for value in &invalid_values() {
        refused_arguments(&[command.as_ref(), option.as_ref(), value], &[2], &[option]);
    }
}

fn invalid_numbers_and_words_are_refused() {
    for option in ["--duration", "--pid", "--format", "--color"] {
        assert_invalid_values_are_refused("monitor", option);
    }
    for (command, option) in [("profile", "--duration"), ("profile", "--pid"), ("snapshot", "-f")] {
        let option = if option == "-f" { "--format" } else { option };
        assert_invalid_values_are_refused(command, option);
    }
    for value in ["0", "+1", "1.5", "0x10", "4294967296", " 1"] {
        refused_arguments(
            &["files".as_ref(), "--pid".as_ref(), value.as_ref()],
            &[2],
            &["--pid", "1234"],
        );
    }
    for value in ["1d", "1.5", "s", "99999999999h", "1 m"] {
        refused_arguments(&["libs".as_ref(), "-d".as_ref(), value.as_ref()], &[2], &["--duration"]);
    }
}

fn invalid_texts_and_files_are_refused() {
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
        refused_arguments(&[command.as_ref(), option.as_ref(), "".as_ref()], &[2], &[option]);
    }
    let invalid = OsStr::from_bytes(b"\xff*.pem");
    refused_arguments(&["files".as_ref(), "--file".as_ref(), invalid], &[2], &["--file", "UTF-8"]);
    for kind in ["classifier", "redactor", "filter"] {
        let option = format!("--{kind}");
        for value in invalid_values() {
            let words: [&str; 1] = if value.is_empty() { [&option] } else { [kind] };
            refused_arguments(&["snapshot".as_ref(), option.as_ref(), &value], &[2], &words);
        }
    }
    for value in invalid_values() {
        refused_arguments(&["replay".as_ref(), &value], &[2], &[]);
        refused_arguments(&["completions".as_ref(), &value], &[2], &[]);
        refused_arguments(&["help".as_ref(), &value], &[2], &[]);
        refused_arguments(&[&value], &[2], &[]);
    }
    let long = OsString::from("x".repeat(100_000));
    for before in [&["snapshot", "--output"][..], &["replay"]] {
        let mut arguments: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
        arguments.push(&long);
        // The reason must stay visible after a very long name.
        refused_arguments(&arguments, &[1, 2], &["File name too long"]);
    }
}

fn contradicting_and_repeated_options_are_refused() {
    for (arguments, words) in [
        ("monitor --quiet --verbose", &["--quiet", "--verbose"][..]),
        ("monitor --follow-children", &["--pid"]),
        ("profile --follow-children --name x", &["--pid"]),
        ("profile", &["--pid", "--name"]),
        ("monitor --duration 1 --duration 2", &["--duration"]),
        ("monitor --format table --format json-array", &["--format"]),
        ("monitor --output a --output b", &["--output"]),
        ("snapshot --format table", &["--format", "table", "monitor"]),
        ("monitor --format summary", &["--format", "summary", "profile, snapshot"]),
        ("snapshot --duration 1", &["--duration", "monitor"]),
        ("profile --pid 1 --extended", &["--extended", "monitor"]),
        ("snapshot --pid 1", &["--pid", "profile"]),
        ("replay x --record y", &["--record", "monitor"]),
    ] {
        let arguments: Vec<&OsStr> = arguments.split(' ').map(OsStr::new).collect();
        refused_arguments(&arguments, &[2], words);
    }
}

/// Neither would ever have an event.
fn thread_ids_and_kernel_threads_are_refused_as_pid() {
    // The harness may run this test on the main thread, whose thread id is the process id.
    std::thread::spawn(check_thread_ids_and_kernel_threads).join().unwrap();
}

fn check_thread_ids_and_kernel_threads() {
    // SAFETY: the call accesses no memory.
    let thread = unsafe { libc::gettid() }.to_string();
    let process = format!("thread of process {}", std::process::id());
    for command in ["monitor", "profile"] {
        let arguments = [command, "--duration", "1", "--pid", &thread].map(OsStr::new);
        refused_arguments(&arguments, &[1], &["--pid", &process]);
    }
    // Kernel threads are not visible in a container.
    if std::fs::read("/proc/2/comm").is_ok_and(|name| name == b"kthreadd\n") {
        let arguments = ["files", "--duration", "1", "--pid", "2"].map(OsStr::new);
        refused_arguments(&arguments, &[1], &["--pid 2", "kernel thread"]);
    }
}

/// A closed standard output is a failure; a closed standard error is not.
fn closed_standard_streams_cause_no_panic() {
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
        let stderr = String::from_utf8_lossy(&closed.stderr);
        assert_eq!(closed.status.code(), Some(1), "{arguments}: {stderr}");
        assert!(stderr.contains("closed"), "{stderr}");
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
        let quiet = output(Command::new("sh").args(["-c", &script]).arg(program()));
        assert_eq!(quiet.status.code(), Some(code), "{arguments}");
    }
}
