//! The wall clock, also when somebody sets it. Only where that does no harm: CRYPTO_TRACER_MAY_SET_CLOCK=1.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{routes, world};

crypto_tracer_tests::tests![timestamps_are_the_wall_clocks_also_after_it_was_set];

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

/// The program, which a virtual machine has elsewhere.
fn tracer(options: &[&str]) -> Child {
    let program = std::env::var_os("CRYPTO_TRACER_PROGRAM");
    let mut command =
        Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_crypto-tracer").into()));
    command.arg("files").args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Ok(probe) = std::env::var("CRYPTO_TRACER_PROBE") {
        command.args(["--probe", &probe]);
    }
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("ready:") {
        said.clear();
        assert_ne!(errors.read_line(&mut said).unwrap(), 0, "the tracer ended");
    }
    child.stderr = Some(errors.into_inner());
    child
}

/// What the tracer says of an open, and the clock before and behind it.
fn opened(output: &mut impl BufRead, file: &Path) -> (i64, i64, i64) {
    let before = wall_us();
    fs::read(file).unwrap();
    let after = wall_us();
    // A slow machine may tell of a plugin that took too long, too.
    let event = loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the tracer ended");
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

fn timestamps_are_the_wall_clocks_also_after_it_was_set() {
    let interest = world::interest();
    let kinds = crypto_tracer_capture::EventKinds::ALL;
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
        let (before, time, after) = opened(&mut output, &file);
        let right = before - 1000..=after + 1000;
        assert!(right.contains(&time), "after {step} s: {time} is not in {right:?}");
    }
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert!(child.wait().unwrap().success());
    drop(world);
    if may_set {
        routes::ok(ROUTE);
    } else {
        // The clock as it is was tried, so this is no skipped test.
        routes::not_tried(ROUTE, "it would set this machine's clock");
    }
}
