//! A replay uses the recording's clock. The backoff and the log limit of a plugin give the same result in every replay,
//! whatever the speed of the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crypto_tracer_tests::{Event, output, program, trusted_dir, workspace};

crypto_tracer_tests::tests![
    plugin_backoff_uses_the_recordings_clock,
    log_limit_uses_the_recordings_clock,
];

const MS: i64 = 1_000_000;

/// CRC-32 as in Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// Returns the bodies of a recording's frames.
fn frames(recording: &[u8]) -> Vec<Vec<u8>> {
    let (_, mut rest) = recording.split_at(12);
    let mut frames = Vec::new();
    while let Some((len, after_len)) = rest.split_first_chunk() {
        let (body, next) = after_len.split_at(4).1.split_at(u32::from_le_bytes(*len) as usize);
        frames.push(body.to_vec());
        rest = next;
    }
    frames
}

/// Returns a frame of records that are later by this time. The offset from the kernel's clock to the wall clock, in
/// nanoseconds, follows the frame's kind.
fn shift(records: &[u8], by_ns: i64) -> Vec<u8> {
    let (kind, rest) = records.split_first().unwrap();
    assert_eq!(*kind, 1, "not a frame of records");
    let end = rest.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let (offset, rest) = rest.split_at(end + 1);
    let zigzag = offset.iter().rev().fold(0_u64, |all, byte| all << 7 | u64::from(byte & 0x7f));
    let offset = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    let shifted = offset + by_ns;
    let mut bits = (shifted << 1 ^ shifted >> 63).cast_unsigned();
    let mut frame = vec![1];
    while bits >= 0x80 {
        frame.push(bits.to_le_bytes()[0] | 0x80);
        bits >>= 7;
    }
    frame.push(bits.to_le_bytes()[0]);
    frame.extend(rest);
    frame
}

/// Writes a recording that repeats `small.rec` at this interval. The default options show two events per round.
fn write_repeated(to: &Path, rounds: i64, apart_ns: i64) {
    let small = fs::read(workspace().join("tests/fixtures/recordings/small.rec")).unwrap();
    let mut bytes = small.get(..12).unwrap().to_vec();
    let [start, records, end] = frames(&small).try_into().unwrap();
    let rounds = (0..rounds).map(|round| shift(&records, round * apart_ns));
    for frame in [start].into_iter().chain(rounds).chain([end]) {
        bytes.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
        bytes.extend(crc32(&frame).to_le_bytes());
        bytes.extend(frame);
    }
    fs::write(to, bytes).unwrap();
}

/// Replays the repeated recording with a filter that misbehaves in this way, and returns the stream and standard error.
fn replay_with_filter(rounds: i64, apart_ns: i64, way: &str) -> (String, String) {
    let dir = trusted_dir();
    let path = |name: &str| dir.path().join(name);
    let hostile = path("hostile.wasm");
    fs::copy(workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm"), &hostile).unwrap();
    let config = format!(
        "[plugins]\nwall_ms = 20\n[[filter]]\npath = {hostile:?}\nallow = [\"file-head\"]\nconfig.way = \"{way}\"\n"
    );
    fs::write(path("config.toml"), config).unwrap();
    for name in ["hostile.wasm", "config.toml"] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    write_repeated(&path("repeated.rec"), rounds, apart_ns);
    let mut replay = Command::new(program());
    replay.arg("replay").arg(path("repeated.rec")).arg("--config").arg(path("config.toml"));
    let Output { status, stdout, stderr } = output(&mut replay);
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{stderr}");
    (String::from_utf8(stdout).unwrap(), stderr)
}

/// Returns the number of failures with this cause, and the time of their first report.
fn failures(stream: &str, cause: &str) -> (i64, String) {
    let events: Vec<Event> = stream.lines().map(Event::of).collect();
    let failed = events.iter().filter(|event| event.kind() == "plugin_failed");
    let failed: Vec<_> = failed.filter(|event| event.text("cause") == cause).collect();
    let count = |event: &&Event| event.number("count").unwrap();
    (failed.iter().map(count).sum(), failed.first().unwrap().text("timestamp").to_owned())
}

fn plugin_backoff_uses_the_recordings_clock() {
    for (way, cause) in [("panic", "panic"), ("spin", "deadline")] {
        let (stream, stderr) = replay_with_filter(14, 1000 * MS, way);
        // Two calls per second. After the fifth failure, in the third second, a backoff of one second follows, then of
        // two and four seconds.
        assert_eq!(failures(&stream, cause).0, 17, "{stderr}");
        assert_eq!(failures(&stream, "resting").0, 11, "{stderr}");
        assert_eq!(failures(&stream, cause).1, "2026-11-24T01:30:47.645719Z");
        assert_eq!(failures(&stream, "resting").1, "2026-11-24T01:30:49.645719Z");
        assert_eq!(replay_with_filter(14, 1000 * MS, way).0, stream, "a second replay differs");
        // The message is about processor time; the wall clock limit, which is shorter, does not apply.
        let by_deadline = stderr.matches("ran for more than 20ms of processor time").count();
        assert_eq!(by_deadline > 0, way == "spin", "{stderr}");
        assert_eq!(stderr.matches("ran for more than").count(), by_deadline, "{stderr}");
    }
}

fn log_limit_uses_the_recordings_clock() {
    // Forty calls per second for three seconds.
    let (_, stderr) = replay_with_filter(60, 50 * MS, "log");
    let lines = |what: &str| stderr.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines(": hello"), 30, "{stderr}");
    assert_eq!(lines(": logs more than 10 lines in a second"), 3, "{stderr}");
}
