//! Output on a terminal: the table, its colours, the progress bar.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crypto_tracer_tests::{Pty, actor, needs_bpf, program, temp_dir, until, workspace};

crypto_tracer_tests::tests![
    table_fits_the_terminal,
    colours_follow_terminal_option_and_no_color,
    table_in_a_file_is_appended_without_colours,
    profile_shows_a_progress_bar,
    hangup_of_the_terminal_ends_a_run,
];

/// Replays every event type as a table, on a terminal with this number of columns.
fn table(columns: u16, options: &[&str], no_color: Option<&str>) -> String {
    let terminal = Pty::new(columns);
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    let mut command = Command::new(program());
    command.arg("replay").arg(recording).args(["--quiet", "--format", "table"]).args(options);
    command.env_remove("NO_COLOR").stdin(Stdio::null()).stdout(terminal.stream());
    command.envs(no_color.map(|value| ("NO_COLOR", value)));
    let (code, shown) = terminal.start(command).end();
    assert_eq!(code, Some(0), "{shown}");
    shown.replace("\r\n", "\n")
}

/// Removes the sequences that set a colour.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (sequence, rest) = part.split_once('m').unwrap();
        assert!(sequence.bytes().all(|byte| byte.is_ascii_digit()), "{part:?}");
        plain.push_str(rest);
    }
    plain
}

fn table_fits_the_terminal() {
    let whole = without_colours(&table(10_000, &[], None));
    for columns in [80, 40, 1] {
        let text = without_colours(&table(columns, &[], None));
        assert_eq!(text.lines().count(), whole.lines().count());
        for (line, whole) in text.lines().zip(whole.lines()) {
            let width = line.chars().count();
            assert!(width <= columns.into(), "{width} columns: {line}");
            // The kept parts of the line occur in the whole line, in order.
            let mut at = 0;
            for kept in line.split('…') {
                at += whole[at..].find(kept).unwrap_or_else(|| unreachable!("{line}")) + kept.len();
            }
            // Two spaces separate the path from labels.
            let tail = |line: &str| line.rsplit('/').next().unwrap().to_owned();
            let name = |line: &str| tail(line).split("  ").next().unwrap().to_owned();
            if columns == 80 && whole.contains(" open ") {
                assert_eq!(name(line), name(whole), "the file name is not kept");
            }
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        assert!(text.contains('…'), "no value is truncated at {columns} columns");
    }
}

fn colours_follow_terminal_option_and_no_color() {
    let colored = |options: &[&str], no_color| table(120, options, no_color).contains('\u{1b}');
    assert!(colored(&[], None) && colored(&["--color", "always"], Some("1")));
    assert!(colored(&[], Some("")), "an empty NO_COLOR has no effect");
    assert!(!colored(&[], Some("1")) && !colored(&["--color", "never"], None));
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    let mut piped = Command::new(program());
    piped.arg("replay").arg(recording).args(["-q", "-f", "table"]).env_remove("NO_COLOR");
    let piped = crypto_tracer_tests::output(&mut piped).stdout;
    assert!(!piped.contains(&0x1b), "colours on a pipe");
}

fn table_in_a_file_is_appended_without_colours() {
    let dir = temp_dir();
    let file = dir.path().join("table.txt");
    fs::write(&file, "from before\n").unwrap();
    for run in 1..=2 {
        let shown = table(40, &["--output", file.to_str().unwrap()], None);
        assert_eq!(shown, "", "output on the terminal");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("from before\nTIME ") && text.ends_with('\n'), "{text}");
        assert_eq!(text.lines().filter(|line| line.ends_with(" WHAT DETAILS")).count(), run);
        assert!(!text.contains(['\u{1b}', '…']), "colours or truncated values in a file: {text}");
    }
}

/// Profiles an idle process with standard error on a terminal. Returns the terminal's output and the document.
fn profile(columns: u16, options: &[&str]) -> (String, String) {
    let terminal = Pty::new(columns);
    let quiet = actor!["threads", "1"];
    let mut command = Command::new(program());
    command.args(["profile", "--duration", "1", "--pid", &quiet.pid().to_string()]).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(terminal.stream());
    let mut running = terminal.start(command);
    let mut stdout = running.child.stdout.take().unwrap();
    let document = std::io::read_to_string(&mut stdout).unwrap();
    let (code, shown) = running.end();
    assert_eq!(code, Some(0), "{shown}");
    (shown, document)
}

fn profile_shows_a_progress_bar() {
    needs_bpf!();
    for columns in [80, 1] {
        let (shown, document) = profile(columns, &[]);
        assert!(document.starts_with("{\n") && document.ends_with("}\n"), "{document}");
        let last = shown.trim_end().lines().last().unwrap();
        assert!(last.contains(" shown, "), "the summary was overwritten: {shown:?}");
        if columns > 1 {
            assert!(shown.contains("/1 s, 0 events") && shown.contains('['), "{shown:?}");
        }
    }
    let (shown, _) = profile(80, &["--quiet"]);
    assert_eq!(shown, "");
}

/// SIGHUP of the controlling terminal ends a run like SIGTERM.
fn hangup_of_the_terminal_ends_a_run() {
    needs_bpf!();
    let terminal = Pty::new(80);
    let mut command = Command::new(program());
    command.args(["monitor", "-f", "table", "-F", "/nowhere/*.pem"]);
    command.stdin(terminal.stream()).stdout(terminal.stream()).stderr(Stdio::piped());
    let own = || {
        // SAFETY: both are only system calls, which are allowed between fork and exec.
        unsafe {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
        }
        Ok(())
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(own) };
    let mut running = terminal.start(command);
    let stderr = running.child.stderr.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
    until("the tracer to be ready", || {
        lines.next().unwrap().unwrap().contains("ready: ").then_some(())
    });
    let pid = i32::try_from(running.child.id()).unwrap();
    // SAFETY: the call accesses no memory, and the child was not waited for.
    unsafe { libc::kill(pid, libc::SIGHUP) };
    assert_eq!(running.end().0, Some(0));
}
