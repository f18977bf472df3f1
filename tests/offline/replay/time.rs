//! In a replay it is as late as the recording says: how often a plugin may fail, and how much it may say, is the same in
//! each replay, however fast the machine is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crypto_tracer_tests::{Event, output, program, trusted_dir, workspace};

crypto_tracer_tests::tests![
    a_plugin_that_fails_rests_by_the_recordings_time,
    a_plugin_that_talks_may_do_so_by_the_recordings_time,
];

const MS: i64 = 1_000_000;

/// As in Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// The bodies of a recording's frames.
fn frames(recording: &[u8]) -> Vec<Vec<u8>> {
    let (_, mut left) = recording.split_at(12);
    let mut frames = Vec::new();
    while let Some((len, behind)) = left.split_first_chunk() {
        let (body, behind) = behind.split_at(4).1.split_at(u32::from_le_bytes(*len) as usize);
        frames.push(body.to_vec());
        left = behind;
    }
    frames
}

/// A frame of records with another time: what turns its clock into wall clock, in nanoseconds, stands behind its kind.
fn later(records: &[u8], by_ns: i64) -> Vec<u8> {
    let (kind, rest) = records.split_first().unwrap();
    assert_eq!(*kind, 1, "these are records");
    let end = rest.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let (offset, rest) = rest.split_at(end + 1);
    let zigzag = offset.iter().rev().fold(0_u64, |all, byte| all << 7 | u64::from(byte & 0x7f));
    let offset = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    let later = offset + by_ns;
    let mut left = (later << 1 ^ later >> 63).cast_unsigned();
    let mut frame = vec![1];
    while left >= 0x80 {
        frame.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    frame.push(left.to_le_bytes()[0]);
    frame.extend(rest);
    frame
}

/// The two events of `small.rec` that the default options show, so many times over, with so much time between.
fn again_and_again(to: &Path, rounds: i64, apart_ns: i64) {
    let small = fs::read(workspace().join("tests/fixtures/recordings/small.rec")).unwrap();
    let mut bytes = small.get(..12).unwrap().to_vec();
    let [start, records, end] = frames(&small).try_into().unwrap();
    let rounds = (0..rounds).map(|round| later(&records, round * apart_ns));
    for frame in [start].into_iter().chain(rounds).chain([end]) {
        bytes.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
        bytes.extend(crc32(&frame).to_le_bytes());
        bytes.extend(frame);
    }
    fs::write(to, bytes).unwrap();
}

/// Replays it through a filter that misbehaves in this way for each event: the stream, and standard error.
fn replayed(rounds: i64, apart_ns: i64, way: &str) -> (String, String) {
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
    again_and_again(&path("again.rec"), rounds, apart_ns);
    let mut replay = Command::new(program());
    replay.arg("replay").arg(path("again.rec")).arg("--config").arg(path("config.toml"));
    let Output { status, stdout, stderr } = output(&mut replay);
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{said}");
    (String::from_utf8(stdout).unwrap(), said)
}

/// How often it failed like this, and when that was told first.
fn failed(stream: &str, cause: &str) -> (i64, String) {
    let told: Vec<Event> = stream.lines().map(Event::of).collect();
    let told = told.iter().filter(|event| event.kind() == "plugin_failed");
    let told: Vec<_> = told.filter(|event| event.text("cause") == cause).collect();
    let count = |event: &&Event| event.number("count").unwrap();
    (told.iter().map(count).sum(), told.first().unwrap().text("timestamp").to_owned())
}

fn a_plugin_that_fails_rests_by_the_recordings_time() {
    for (way, cause) in [("panic", "panic"), ("spin", "deadline")] {
        let (stream, said) = replayed(14, 1000 * MS, way);
        // Two calls a second. The fifth failure is in the third second, and one of rest follows; then two, then four.
        assert_eq!(failed(&stream, cause).0, 17, "{said}");
        assert_eq!(failed(&stream, "resting").0, 11, "{said}");
        assert_eq!(failed(&stream, cause).1, "2026-11-24T01:30:47.645719Z");
        assert_eq!(failed(&stream, "resting").1, "2026-11-24T01:30:49.645719Z");
        assert_eq!(replayed(14, 1000 * MS, way).0, stream, "it says the same again");
        // Not by how long it took on the wall: that is over earlier.
        let told = said.matches("ran for more than 20ms of processor time").count();
        assert_eq!(told > 0, way == "spin", "{said}");
        assert_eq!(said.matches("ran for more than").count(), told, "{said}");
    }
}

fn a_plugin_that_talks_may_do_so_by_the_recordings_time() {
    // Forty calls a second, for three seconds.
    let (_, said) = replayed(60, 50 * MS, "log");
    let lines = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines(": hello"), 30, "{said}");
    assert_eq!(lines(": logs more than 10 lines in a second"), 3, "{said}");
}
