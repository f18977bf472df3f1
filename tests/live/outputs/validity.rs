//! The output is valid in every format, however a run ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use crypto_tracer_tests::{
    Material, Tracer, needs_bpf, output, program, run, temp_dir, until, workspace,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    output_is_valid_after_signals_and_duration,
    output_without_events_is_valid,
    unwritten_events_are_counted,
    file_at_its_size_limit_stays_valid,
    file_on_a_full_disk_stays_valid,
    closed_pipe_is_success,
    signal_ends_a_run_that_waits_for_a_fifo_reader,
    fifos_and_links_are_written_in_place,
];

const FORMATS: [&str; 4] = ["json-stream", "json-array", "json-pretty", "table"];

/// Checks that the text is complete and has at least this number of events.
fn assert_valid(format: &str, text: &str, least: usize) {
    let count = match format {
        "json-stream" => {
            assert!(text.is_empty() || text.ends_with('\n'), "{text}");
            let values = text.lines().map(serde_json::from_str::<Value>);
            values.collect::<Result<Vec<_>, _>>().unwrap().len()
        }
        "table" => {
            assert!(text.is_empty() || text.ends_with('\n'), "{text}");
            text.lines().skip(1).count()
        }
        _ => {
            assert!(text.ends_with("]\n"), "{format}: {text}");
            serde_json::from_str::<Vec<Value>>(text).unwrap().len()
        }
    };
    assert!(count >= least, "{format}: {text}");
}

/// A tracer with a format, and a thread that reads its output from a pipe.
struct Running {
    child: Child,
    printed: JoinHandle<String>,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(format: &str, options: &[&str]) -> Running {
        let mut command = Command::new(program());
        command.args(["files", "--format", format]).args(options).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let printed = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready: ") {
            line.clear();
            assert!(
                stderr.read_line(&mut line).unwrap() > 0,
                "{format}: the tracer ended before it was ready"
            );
        }
        Running { child, printed, stderr }
    }

    fn end(mut self) -> String {
        let status = until("the end", || self.child.try_wait().unwrap());
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        assert_eq!(status.code(), Some(0), "{stderr}");
        self.printed.join().unwrap()
    }
}

fn output_is_valid_after_signals_and_duration() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("some.key");
    fs::write(&key, &Material::get().key).unwrap();
    let glob = format!("{}/*", dir.path().display());
    for signal in [Some(libc::SIGINT), Some(libc::SIGTERM), None] {
        let duration = if signal.is_some() { "0" } else { "3" };
        let file = |format: &str| dir.path().join(format!("{format}.{signal:?}"));
        let start = |(format, to_file): (&'static str, bool)| {
            let path = file(format);
            let to = ["--output", path.to_str().unwrap()];
            let mut options = vec!["--file", &glob, "--duration", duration];
            options.extend(to.iter().filter(|_| to_file));
            let running = Running::start(format, &options);
            run(Command::new("cat").arg(&key));
            (format, to_file, running)
        };
        let pipes = FORMATS.map(|format| (format, false));
        let files = [("json-array", true), ("json-pretty", true)];
        let running: Vec<_> = pipes.into_iter().chain(files).map(start).collect();
        for (format, to_file, running) in running {
            if to_file {
                // The array is valid after every flush, not only at the end.
                until("a valid array during the run", || {
                    let text = fs::read_to_string(file(format)).ok()?;
                    serde_json::from_str::<Vec<Value>>(&text).ok().filter(|list| !list.is_empty())
                });
            }
            if let Some(signal) = signal {
                // SAFETY: the call accesses no memory, and the child was not waited for.
                unsafe { libc::kill(i32::try_from(running.child.id()).unwrap(), signal) };
            }
            let printed = running.end();
            let text = if to_file { fs::read_to_string(file(format)).unwrap() } else { printed };
            assert_valid(format, &text, 1);
        }
    }
}

fn replay(format: &str, to: &Path) -> Command {
    let mut command = Command::new(program());
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    command.arg("replay").arg(recording).args(["-q", "--format", format, "--output"]).arg(to);
    command
}

fn output_without_events_is_valid() {
    let dir = temp_dir();
    for format in FORMATS {
        let to = dir.path().join(format);
        let ended = output(replay(format, &to).args(["--file", "/nowhere/*.pem"]));
        assert_eq!(ended.status.code(), Some(0));
        assert_valid(format, &fs::read_to_string(&to).unwrap(), 0);
    }
}

/// On a full device the run ends with exit code 1, and reports how many events were not written.
fn unwritten_events_are_counted() {
    for format in FORMATS {
        let ended = output(&mut replay(format, Path::new("/dev/full")));
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        let count =
            stderr.split(' ').zip(stderr.split(' ').skip(1)).find(|(_, next)| *next == "events");
        let count: u64 = count.unwrap().0.parse().unwrap();
        assert!(count > 0 && stderr.contains("/dev/full"), "{stderr}");
        assert!(stderr.contains("events were not written"), "{stderr}");
    }
    let script = "exec \"$0\" replay -q \"$1\" >/dev/full";
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    let ended = output(Command::new("sh").args(["-c", script]).arg(program()).arg(recording));
    assert_eq!(ended.status.code(), Some(1));
}

/// At the file size limit of the process, the file ends with the last complete event, and the run with exit code 1.
fn file_at_its_size_limit_stays_valid() {
    needs_bpf!();
    let dir = temp_dir();
    let (key, to) = (dir.path().join("some.key"), dir.path().join("limited.json"));
    fs::write(&key, &Material::get().key).unwrap();
    let mut command = Command::new(program());
    command.args(["monitor", "--output"]).arg(&to);
    let tracer = Tracer::start_unread(command);
    let limit = libc::rlimit { rlim_cur: 700, rlim_max: 700 };
    let pid = i32::try_from(tracer.pid()).unwrap();
    // SAFETY: the new limit is valid for the call, and the old one is not requested.
    let set = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    (0..20).for_each(|_| _ = run(Command::new("cat").arg(&key)));
    let ended = tracer.wait(Duration::from_secs(20));
    let stderr = ended.said.join("\n");
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("File too large") && stderr.contains("not written"), "{stderr}");
    let text = fs::read_to_string(&to).unwrap();
    assert!(text.len() <= 700, "{}", text.len());
    assert_valid("json-stream", &text, 1);
}

/// On a full disk, the file ends with the last complete event.
fn file_on_a_full_disk_stays_valid() {
    needs_bpf!();
    let dir = temp_dir();
    let to = dir.path().join("full");
    // A private file system of one page. The program runs twice, so that an append does not fit either.
    let script = "mount -t tmpfs -o size=4k none \"$1\" && shift && \"$0\" \"$@\"; \
        \"$0\" \"$@\"; code=$?; cat \"$to\"; exit $code";
    for format in FORMATS {
        let whole = replay(format, &to);
        let mut limited = Command::new("unshare");
        limited.args(["--mount", "sh", "-c", script]).arg(whole.get_program()).arg(dir.path());
        let ended = output(limited.args(whole.get_args()).env("to", &to));
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{format}: {stderr}");
        assert!(stderr.contains("events were not written"), "{stderr}");
        let text = String::from_utf8(ended.stdout).unwrap();
        assert!(!text.is_empty() && text.len() <= 4096, "{}", text.len());
        assert_valid(format, &text, 1);
    }
}

/// A reader that closes the pipe causes no failure, in any format.
fn closed_pipe_is_success() {
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    for format in FORMATS {
        let script = "{ \"$0\" replay -q \"$1\" -f \"$2\"; echo $? >&2; } | true";
        let mut piped = Command::new("sh");
        piped.args(["-c", script]).arg(program()).arg(&recording).arg(format);
        let stderr = output(&mut piped).stderr;
        assert_eq!(String::from_utf8_lossy(&stderr), "0\n", "{format}");
    }
}

/// No process opens the FIFO for reading, and a signal still ends the run.
fn signal_ends_a_run_that_waits_for_a_fifo_reader() {
    let dir = temp_dir();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut snapshot = Command::new(program());
    snapshot.args(["snapshot", "-q", "--output"]).arg(&fifo);
    for mut command in [replay("json-stream", &fifo), replay("json-array", &fifo), snapshot] {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        // The program handles signals from then on.
        until("the thread that handles signals", || {
            let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
            tasks.find_map(|task| {
                let name = fs::read_to_string(task.path().join("comm")).ok()?;
                (name == "signals\n").then_some(())
            })
        });
        // SAFETY: the call accesses no memory, and the child was not waited for.
        unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGTERM) };
        let status = until("the end", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
    }
}

/// A symbolic link stays a link, and its target is written.
fn fifos_and_links_are_written_in_place() {
    let dir = temp_dir();
    let (file, link, fifo) =
        (dir.path().join("file"), dir.path().join("link"), dir.path().join("fifo"));
    fs::write(&file, "before\n").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(output(&mut replay("json-stream", &link)).status.code(), Some(0));
    let text = fs::read_to_string(&file).unwrap();
    assert!(link.is_symlink() && text.starts_with("before\n{"), "the text is not appended");
    assert_eq!(output(&mut replay("json-array", &link)).status.code(), Some(0));
    assert!(link.is_symlink());
    assert_valid("json-array", &fs::read_to_string(&file).unwrap(), 1);
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let path = fifo.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(path).unwrap());
    assert_eq!(output(&mut replay("json-array", &fifo)).status.code(), Some(0));
    assert_valid("json-array", &reader.join().unwrap(), 1);
    let link = dir.path().join("new-link");
    std::os::unix::fs::symlink(dir.path().join("new"), &link).unwrap();
    assert_eq!(output(&mut replay("json-stream", &link)).status.code(), Some(0));
    let mode = std::os::unix::fs::PermissionsExt::mode;
    assert_eq!(mode(&fs::metadata(&link).unwrap().permissions()) & 0o777, 0o600);
}
