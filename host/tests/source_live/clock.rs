//! Timestamps by the wall clock, also after it is set. The test sets it only with CRYPTO_TRACER_MAY_SET_CLOCK=1.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{routes, world};

crypto_tracer_tests::tests![timestamps_follow_changes_of_the_wall_clock];

const ROUTE: &str = "clock set while running";

fn wall_us() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

fn set_clock(seconds: i64) {
    let time = libc::timespec { tv_sec: wall_us() / 1_000_000 + seconds, tv_nsec: 0 };
    // SAFETY: the kernel reads one timespec.
    let result = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) };
    assert_eq!(result, 0, "clock_settime: {}", std::io::Error::last_os_error());
}

/// Starts the tracer and waits until it is ready. In a virtual machine the program has another path.
fn tracer(options: &[&str]) -> Child {
    let program = std::env::var_os("CRYPTO_TRACER_PROGRAM");
    let mut command =
        Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_crypto-tracer").into()));
    command.arg("files").args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Ok(probe) = std::env::var("CRYPTO_TRACER_PROBE") {
        command.args(["--probe", &probe]);
    }
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    while !line.contains("ready:") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "the tracer exited");
    }
    child.stderr = Some(errors.into_inner());
    child
}

/// Opens a file. Returns the wall clock before the open, in the event, and after the open, in microseconds.
fn timed_open(output: &mut impl BufRead, file: &Path) -> (i64, i64, i64) {
    let before = wall_us();
    fs::read(file).unwrap();
    let after = wall_us();
    // On a slow machine there may also be events about plugin timeouts.
    let event = loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the tracer exited");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["event_type"] == "file_open" {
            break event;
        }
    };
    assert_eq!(event["file"], file.to_str().unwrap(), "{event}");
    let time = event["timestamp"].as_str().unwrap();
    let time = chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp_micros();
    (before, time, after)
}

fn timestamps_follow_changes_of_the_wall_clock() {
    let interest = world::interest();
    let kinds = crypto_tracer_event::EventKinds::ALL;
    let world = world::start(&world::options(&interest, kinds));
    let (_keep, dir) = world::directory();
    let file = dir.join("x.pem");
    fs::write(&file, "").unwrap();
    let may_set = std::env::var_os("CRYPTO_TRACER_MAY_SET_CLOCK").is_some();
    let pid = std::process::id().to_string();
    let mut child = tracer(&["--no-redact", "--pid", &pid]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let steps: &[i64] = if may_set { &[0, 5000, -7000, 1] } else { &[0] };
    for &step in steps {
        if step != 0 {
            set_clock(step);
        }
        let (before, time, after) = timed_open(&mut output, &file);
        let expected = before - 1000..=after + 1000;
        assert!(expected.contains(&time), "after {step} s: {time} is not in {expected:?}");
    }
    // SAFETY: the signal goes to our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert!(child.wait().unwrap().success());
    drop(world);
    if may_set {
        routes::ok(ROUTE);
    } else {
        // The test with the unchanged clock has passed, so it does not count as ignored.
        routes::not_tried(ROUTE, "it would set this machine's clock");
    }
}
