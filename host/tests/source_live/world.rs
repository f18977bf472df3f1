//! Shared fixtures: a running source, its records, and a temporary directory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crypto_tracer_capture::{BlindSpot, CaptureOptions, DrainLimit, Error, Source};
use crypto_tracer_common::record::{Header, flag};
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::interest::Interest;
use zerocopy::FromBytes;

/// A parsed record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) header: Header,
    pub(crate) path: Vec<u8>,
    pub(crate) args: Vec<u8>,
    /// The bytes from the ring.
    pub(crate) raw: Vec<u8>,
}

impl Record {
    fn parse(bytes: &[u8]) -> Record {
        let (header, rest) = Header::read_from_prefix(bytes).expect("a complete header");
        let (path, rest) = rest.split_at(header.path_len.into());
        let args = rest[..header.args_len.into()].to_vec();
        Record { header, path: joined(path, header.flags), args, raw: bytes.to_vec() }
    }

    pub(crate) fn comm(&self) -> &[u8] {
        self.header.comm.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// Converts the kernel side's form of a path (leaf first, NUL after each component) to the usual one.
fn joined(raw: &[u8], flags: u16) -> Vec<u8> {
    let mut path = Vec::new();
    if let Some(raw) = raw.strip_suffix(b"\0") {
        for part in raw.rsplit(|&byte| byte == 0) {
            path.push(b'/');
            path.extend(part);
        }
    }
    if path.is_empty() && flags & flag::PATH_TRUNCATED == 0 {
        path.push(b'/');
    }
    path
}

/// No limit.
const ALL: DrainLimit = DrainLimit { records: usize::MAX, bytes: usize::MAX };

pub(crate) struct World {
    pub(crate) source: Source,
    received: Vec<Record>,
}

pub(crate) fn interest() -> Interest {
    let mut interest = Interest::default();
    for suffix in [".pem", ".crt", ".key", ".truststore.bin"] {
        interest.add_suffix(suffix).unwrap();
    }
    for name in ["id_rsa", "k", "an-exact-name-of-31-bytes-12345"] {
        interest.add_name(name).unwrap();
    }
    for prefix in ["key_", "fifteen-bytes-x"] {
        interest.add_prefix(prefix).unwrap();
    }
    for library in ["libssl", "libcrypto", "libaws-lc"] {
        interest.add_library(library).unwrap();
    }
    interest
}

pub(crate) fn options(interest: &Interest, kinds: EventKinds) -> CaptureOptions<'_> {
    CaptureOptions {
        interest,
        kinds,
        pid: None,
        pid_started: None,
        limit_floods: false,
        follow_children: false,
        comm: None,
        ring_bytes: 8 << 20,
        probe: std::env::var("CRYPTO_TRACER_PROBE").ok(),
        excluded_pids: Vec::new(),
    }
}

/// Starts a source. Skips the test if BPF is not permitted.
pub(crate) fn start(options: &CaptureOptions<'_>) -> World {
    match Source::start(options) {
        Ok(source) => World { source, received: Vec::new() },
        Err(error @ (Error::Privileges { .. } | Error::Kernel { .. })) => {
            crypto_tracer_tests::skip(error)
        }
        Err(error) => panic!("BPF is permitted here: {error}"),
    }
}

impl World {
    /// Returns the blind spot of the attached probes for this route, as `doctor` reports it.
    pub(crate) fn blind_spot(&self, route: &str) -> Option<BlindSpot> {
        let mut all = self.source.attached().iter().flat_map(|probe| &probe.cannot_see);
        all.find(|blind_spot| blind_spot.route == route).cloned()
    }

    /// Waits until `count` received records match `wanted`, and 5 ms longer to detect surplus records. Returns all
    /// matching records so far.
    pub(crate) fn records(
        &mut self,
        count: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Vec<Record> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let received = &mut self.received;
            self.source.drain(ALL, &mut |record| received.push(Record::parse(record.0)));
            let found = self.received.iter().filter(|record| wanted(record)).count();
            if found >= count || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(5));
        let received = &mut self.received;
        self.source.drain(ALL, &mut |record| received.push(Record::parse(record.0)));
        self.received.iter().filter(|record| wanted(record)).cloned().collect()
    }

    /// Drains the ring. Returns the number of records received so far.
    pub(crate) fn drain(&mut self) -> usize {
        let received = &mut self.received;
        self.source.drain(ALL, &mut |record| received.push(Record::parse(record.0)));
        received.len()
    }

    pub(crate) fn forget(&mut self) {
        self.records(0, |_| true);
        self.received.clear();
    }
}

/// Creates a temporary directory. Returns its guard and its canonical path.
pub(crate) fn directory() -> (tempfile::TempDir, PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let path = guard.path().canonicalize().unwrap();
    (guard, path)
}
