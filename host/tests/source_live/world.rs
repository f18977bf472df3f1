//! What the tests share: a source, its records, and a place for files.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crypto_tracer_capture::{BlindSpot, CaptureOptions, Error, EventKinds, Source};
use crypto_tracer_common::record::{Header, flag};
use crypto_tracer_event::interest::Interest;
use zerocopy::FromBytes;

/// A record, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) header: Header,
    pub(crate) path: Vec<u8>,
    pub(crate) args: Vec<u8>,
    /// As it came out of the ring.
    pub(crate) raw: Vec<u8>,
}

impl Record {
    fn of(bytes: &[u8]) -> Record {
        let (header, rest) = Header::read_from_prefix(bytes).expect("a whole header");
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

/// Leaf first and NUL after each, to a path as people write it.
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

pub(crate) struct World {
    pub(crate) source: Source,
    seen: Vec<Record>,
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
        follow_children: false,
        comm: None,
        ring_bytes: 8 << 20,
        probe: std::env::var("CRYPTO_TRACER_PROBE").ok(),
        own: Vec::new(),
    }
}

/// A running source. Skips the test where it is not permitted.
pub(crate) fn start(options: &CaptureOptions<'_>) -> World {
    match Source::start(options) {
        Ok(source) => World { source, seen: Vec::new() },
        Err(error @ (Error::Privileges { .. } | Error::Kernel { .. })) => {
            crypto_tracer_tests::skip(error)
        }
        Err(error) => panic!("BPF is permitted here: {error}"),
    }
}

impl World {
    /// What `doctor` says of this route, where the attached probe for opens cannot see it.
    pub(crate) fn unseen(&self, route: &str) -> Option<BlindSpot> {
        let mut all = self.source.attached().iter().flat_map(|probe| &probe.cannot_see);
        all.find(|unseen| unseen.route == route).cloned()
    }

    /// All records so far that `wanted` takes, waiting until there are `count` of them, and a moment
    /// longer, so that one too many is seen too.
    pub(crate) fn records(
        &mut self,
        count: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Vec<Record> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let seen = &mut self.seen;
            self.source.drain(usize::MAX, &mut |record| seen.push(Record::of(record.0)));
            let found = self.seen.iter().filter(|record| wanted(record)).count();
            if found >= count || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(5));
        let seen = &mut self.seen;
        self.source.drain(usize::MAX, &mut |record| seen.push(Record::of(record.0)));
        self.seen.iter().filter(|record| wanted(record)).cloned().collect()
    }

    /// Takes in what the ring holds; how many records there were so far.
    pub(crate) fn drain(&mut self) -> usize {
        let seen = &mut self.seen;
        self.source.drain(usize::MAX, &mut |record| seen.push(Record::of(record.0)));
        seen.len()
    }

    pub(crate) fn forget(&mut self) {
        self.records(0, |_| true);
        self.seen.clear();
    }
}

/// An empty directory on a file system that can do everything, by its real path.
pub(crate) fn directory() -> (tempfile::TempDir, PathBuf) {
    let made = tempfile::tempdir().unwrap();
    let path = made.path().canonicalize().unwrap();
    (made, path)
}
