//! Malicious recordings, and outputs that would overwrite the recording.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crypto_tracer_tests::{output, program, temp_dir, until, workspace};

crypto_tracer_tests::tests![
    oversized_list_in_a_frame_is_damage,
    longest_list_that_a_run_writes_is_accepted,
    many_frames_take_no_more_memory_than_one,
    texts_of_a_recording_are_escaped,
    recording_is_read_from_a_pipe,
    silent_pipe_delays_no_signal_and_no_duration,
    output_to_the_recording_is_refused,
    output_and_record_of_one_name_are_refused,
];

/// Maximum memory of a replay in MiB. A run with the bundled plugins takes about 50; a frame of 16 MiB and its decoded
/// content are added.
const MAX_MIB: u64 = 160;

/// Magic and version of a recording.
const HEADER: &[u8] = b"CTREC\r\n\x1a\x03\0\0\0";
/// A frame with the setup of the run: only empty texts and lists.
const START: [u8; 8] = [0; 8];
const END: [u8; 1] = [5];

/// CRC-32 as in Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|byte| (0..8).fold(byte, |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1))))
        .collect();
    !bytes.iter().fold(!0, |crc, &byte| {
        let at = usize::try_from((crc ^ u32::from(byte)) & 0xff).unwrap();
        (crc >> 8) ^ table.get(at).unwrap()
    })
}

fn recording(dir: &Path, frames: &[&[u8]]) -> PathBuf {
    let mut bytes = HEADER.to_vec();
    for body in frames {
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(crc32(body).to_le_bytes());
        bytes.extend(*body);
    }
    let path = dir.join("hostile.rec");
    fs::write(&path, bytes).unwrap();
    path
}

/// Returns `before` followed by a list of `count` elements, each of this number of zero bytes.
fn list(before: &[u8], count: usize, zeros: usize) -> Vec<u8> {
    let mut body = before.to_vec();
    let mut rest = count;
    while rest >= 0x80 {
        body.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    body.push(u8::try_from(rest).unwrap());
    body.resize(body.len() + count * zeros, 0);
    body
}

fn replay(recording: &Path) -> (Option<i32>, String) {
    // A shell starts the program: the kernel adds the memory that a process had before `execve` to the program's peak.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" replay \"$1\"; exit $?"]).arg(program()).arg(recording);
    let Output { status, stderr, .. } = output(&mut shell);
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Returns the peak memory in the last line.
fn peak_mib(stderr: &str) -> u64 {
    let before = stderr.rsplit_once(" MiB").unwrap().0;
    before.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn oversized_list_in_a_frame_is_damage() {
    let dir = temp_dir();
    let million = 1_000_000;
    for (what, body) in [
        ("records", list(&[1, 0], 16 * million, 1)),
        ("heads", list(&[2], 1_500_000, 11)),
        ("cgroups", list(&[3], 8 * million, 2)),
        ("losses", list(&[4, 0], 5 * million, 3)),
        ("other heads", list(&[6], 1_500_000, 11)),
        ("what is captured", list(&[7], 16 * million, 1)),
    ] {
        let (code, stderr) = replay(&recording(dir.path(), &[&START, &body, &END]));
        assert_eq!(code, Some(1), "{what}: {stderr}");
        assert!(stderr.contains("is damaged at byte 28"), "{what}: {stderr}");
        assert!(peak_mib(&stderr) < MAX_MIB, "{what}: {stderr}");
    }
    // The first frame is read before the run starts, so there is no summary.
    for (what, before, zeros) in [("processes", &[0; 7][..], 6), ("options", &[0; 6], 1)] {
        let body = list(before, 2 * million, zeros);
        let (code, stderr) = replay(&recording(dir.path(), &[&body, &END]));
        assert_eq!(code, Some(1), "{what}: {stderr}");
        assert!(stderr.contains("is damaged at byte 12"), "{what}: {stderr}");
    }
}

fn longest_list_that_a_run_writes_is_accepted() {
    let dir = temp_dir();
    let most = 1 << 16;
    let body = list(&[1, 0], most, 1);
    let (code, stderr) = replay(&recording(dir.path(), &[&START, &body, &body, &END]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(&format!("{0} lost (malformed_record {0})", 2 * most)), "{stderr}");
    assert!(peak_mib(&stderr) < MAX_MIB, "{stderr}");
}

/// The content of many small frames does not accumulate.
fn many_frames_take_no_more_memory_than_one() {
    let dir = temp_dir();
    let loss = |n: usize| {
        let cause = format!("c{n}");
        let mut body = vec![4, 0, 1, u8::try_from(cause.len()).unwrap()];
        body.extend(cause.bytes());
        body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]);
        body
    };
    // Each has a path of 64 KiB, and no records follow.
    let head = |n: usize| {
        let mut body = vec![2, 1, 0, 0, 0, 0, 0];
        body.extend(list(&[], 1 << 16, 1));
        let inode = u8::try_from(n % 128).unwrap();
        body.extend([0, inode, u8::try_from(n / 128).unwrap(), 0, 0]);
        body
    };
    let frames: Vec<Vec<u8>> = (0..20_000).map(loss).chain((0..2500).map(head)).collect();
    let mut bodies: Vec<&[u8]> = vec![&START];
    bodies.extend(frames.iter().map(Vec::as_slice));
    bodies.push(&END);
    let (code, stderr) = replay(&recording(dir.path(), &bodies));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(&format!("{} lost (", u64::MAX)), "{stderr}");
    assert!(stderr.len() < 10_000, "{}", stderr.len());
    assert!(peak_mib(&stderr) < MAX_MIB, "{stderr}");
}

fn texts_of_a_recording_are_escaped() {
    let dir = temp_dir();
    let body = b"\x04\0\x01\x05\x1b[2Jx\x07\x01";
    let (code, stderr) = replay(&recording(dir.path(), &[&START, body, &END]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("7 lost (unknown 7)") && !stderr.contains('\u{1b}'), "{stderr}");
}

fn every_event() -> PathBuf {
    workspace().join("tests/fixtures/recordings/every-event.rec")
}

fn recording_is_read_from_a_pipe() {
    let file = output(Command::new(program()).args(["replay", "-q"]).arg(every_event()));
    assert!(!file.stdout.is_empty());
    let dir = temp_dir();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for script in
        ["cat \"$1\" | \"$0\" replay -q /dev/stdin", "cat \"$1\" >\"$2\" & \"$0\" replay -q \"$2\""]
    {
        let mut piped = Command::new("sh");
        piped.args(["-c", script]).arg(program()).arg(every_event()).arg(&fifo);
        let Output { status, stdout, stderr } = output(&mut piped);
        assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
        assert_eq!(stdout, file.stdout, "{script}");
    }
}

fn exit_code(mut child: Child) -> Option<i32> {
    until("the end", || child.try_wait().unwrap()).code()
}

/// The pipe is silent before the first writer, or in the middle of a frame.
fn silent_pipe_delays_no_signal_and_no_duration() {
    let dir = temp_dir();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let whole = fs::read(every_event()).unwrap();
    for start in [&b""[..], whole.get(..5).unwrap(), whole.get(..whole.len() / 2).unwrap()] {
        for signal in [Some(libc::SIGTERM), None] {
            let mut command = Command::new(program());
            command.args(["replay", "--duration", if signal.is_some() { "0" } else { "1" }]);
            let child = command.arg(&fifo).stdout(Stdio::null()).stderr(Stdio::null());
            let child = child.spawn().unwrap();
            let pid = child.id();
            let writer = (!start.is_empty()).then(|| {
                let mut options = fs::OpenOptions::new();
                options.write(true).custom_flags(libc::O_NONBLOCK);
                let mut writer = until("a reader", || options.open(&fifo).ok());
                writer.write_all(start).unwrap();
                writer
            });
            if let Some(signal) = signal {
                until("the program to open the FIFO", || {
                    let mut open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
                    open.find(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == fifo)).map(drop)
                });
                // SAFETY: the call accesses no memory, and the child was not waited for.
                unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) };
            }
            assert_eq!(exit_code(child), Some(0), "{} bytes, {signal:?}", start.len());
            drop(writer);
        }
    }
}

fn output_to_the_recording_is_refused() {
    let dir = temp_dir();
    let [record, hard, soft] = ["a.rec", "hard", "soft"].map(|name| dir.path().join(name));
    let bytes = fs::read(every_event()).unwrap();
    fs::write(&record, &bytes).unwrap();
    fs::hard_link(&record, &hard).unwrap();
    std::os::unix::fs::symlink(&record, &soft).unwrap();
    for output_file in [&record, &hard, &soft] {
        for format in ["json-stream", "json-array"] {
            let mut command = Command::new(program());
            command.arg("replay").arg(&record).args(["-f", format, "-o"]).arg(output_file);
            let Output { status, stderr, .. } = output(&mut command);
            let stderr = String::from_utf8(stderr).unwrap();
            assert_eq!(status.code(), Some(2), "{stderr}");
            assert!(stderr.contains("--output is the recording itself"), "{stderr}");
        }
    }
    let script = "\"$0\" replay \"$1\" >>\"$1\"";
    let Output { status, stderr, .. } =
        output(Command::new("sh").args(["-c", script]).arg(program()).arg(&record));
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("standard output is the recording itself"), "{stderr}");
    assert_eq!(fs::read(&record).unwrap(), bytes);
}

fn output_and_record_of_one_name_are_refused() {
    let dir = temp_dir();
    let [new, link, existing] = ["new", "link", "existing"].map(|name| dir.path().join(name));
    std::os::unix::fs::symlink(&new, &link).unwrap();
    fs::write(&existing, "kept").unwrap();
    let monitor = |to: &Path, record: &Path| {
        let mut command = Command::new(program());
        command.args(["monitor", "-o"]).arg(to).arg("--record").arg(record);
        let Output { status, stderr, .. } = output(&mut command);
        (status.code(), String::from_utf8(stderr).unwrap())
    };
    for to in [&new, &link] {
        let (code, stderr) = monitor(to, &new);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("--output and --record are the same file"), "{stderr}");
    }
    // An existing file is not overwritten by `--record`, and no output file remains.
    let (code, stderr) = monitor(&new, &existing);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("--record") && stderr.contains("File exists"), "{stderr}");
    assert!(!new.exists());
    assert_eq!(fs::read(&existing).unwrap(), b"kept");
}
