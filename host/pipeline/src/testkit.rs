//! A pipeline without a kernel side, for tests and benchmarks only: it takes records as bytes and writes to a file.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is a failed test")]

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crypto_tracer_common::record::Header;
pub use crypto_tracer_common::record::kind;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{KernelEvent, RawRecord};
use crypto_tracer_output::{Direct, Format, Stream, Target};
use crypto_tracer_plugin::{Plugins, Setup};
use crypto_tracer_reader::{Found, HeadResponse, ProcessDetails, Wanted, WantedCgroup};
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::{Console, Verbosity};
use crypto_tracer_system::shutdown::Shutdown;
use zerocopy::{FromZeros, IntoBytes};

use crate::enrich::Enrich;
use crate::select::Select;
use crate::stats::Stats;
use crate::{HeadReader, Pipeline, PluginStages, ProcessInspector, Redaction, Scratch};

/// User id of the processes. Its home directory is redacted.
const UID: u32 = 1000;
/// Head of every file.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
/// Magic number of ext4: any file system that is not on another machine.
const EXT4: u32 = 0xef53;

/// A record as the kernel side writes it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// One of [`kind`].
    pub kind: u16,
    /// Process id.
    pub pid: u32,
    /// Start time of the process.
    pub start_ns: u64,
    /// Number of the program image.
    pub exec_id: u64,
    /// Absolute path of the file.
    pub path: &'a str,
    /// Arguments of an exec.
    pub arguments: &'a [&'a str],
}

impl Record<'_> {
    /// The record of an open by the process `pid`.
    pub fn open(pid: u32, path: &str) -> Record<'_> {
        let (kind, exec_id) = (kind::FILE_OPEN, 1);
        Record { kind, pid, start_ns: 1, exec_id, path, arguments: &[] }
    }

    /// Its bytes. `time`: the time of the event in nanoseconds.
    pub fn bytes(self, time: u64) -> Vec<u8> {
        let leaf_first = self.path.split('/').filter(|it| !it.is_empty()).rev();
        let path: Vec<u8> = leaf_first.flat_map(|it| [it.as_bytes(), b"\0"].concat()).collect();
        let arguments = self.arguments.iter().flat_map(|it| [it.as_bytes(), b"\0"].concat());
        let arguments: Vec<u8> = arguments.collect();
        let mut header = Header::new_zeroed();
        (header.kind, header.ts_ns) = (self.kind, 1_000_000_000 + time);
        (header.tgid, header.tid, header.ppid, header.uid) = (self.pid, self.pid, 1, UID);
        (header.start_ns, header.exec_id, header.cgroup_id) = (self.start_ns, self.exec_id, 77);
        header.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
        (header.dev, header.sb_magic) = (0x0080_0001, EXT4);
        // Each path is another file.
        let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        header.inode = self.path.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        (header.size, header.ctime_sec) = (PEM.len() as u64, 1);
        header.path_len = u16::try_from(path.len()).unwrap();
        header.args_len = u16::try_from(arguments.len()).unwrap();
        [header.as_bytes(), &path, &arguments].concat()
    }
}

/// A reader that finds a certificate in every file, and one control group.
#[derive(Debug)]
struct Certificates;

impl HeadReader for Certificates {
    fn read(&mut self, files: &[Wanted], _: Instant) -> Vec<Option<HeadResponse>> {
        let size = Some(PEM.len() as u64);
        let (stat, blocks) = (None, Vec::new());
        let answer =
            HeadResponse { head: Ok(PEM.to_vec()), size, found: Found::Same, stat, blocks };
        files.iter().map(|_| Some(answer.clone())).collect()
    }

    fn visible(&mut self, _: &Wanted, _: Instant) -> Option<HeadResponse> {
        None
    }
}

impl ProcessInspector for Certificates {
    fn cgroups(&mut self, wanted: &[WantedCgroup], _: Instant) -> Vec<(u64, Option<String>)> {
        wanted.iter().map(|wanted| (wanted.id, Some("/user.slice/a.scope".to_owned()))).collect()
    }

    fn all_pids(&mut self, _: Instant) -> Option<Vec<u32>> {
        None
    }

    fn inspect(
        &mut self,
        _: &[u32],
        _: Option<&Interest>,
        _: Instant,
    ) -> Option<Vec<ProcessDetails>> {
        None
    }
}

/// A pipeline whose output is a temporary file.
#[derive(Debug)]
pub struct TestRun {
    /// The pipeline.
    pub pipeline: Pipeline,
    batch: Vec<KernelEvent>,
    out: tempfile::NamedTempFile,
}

impl TestRun {
    /// A run with these plugins and filters that writes lines. `extended`: with the fields of `--extended`.
    pub fn start(setup: &Setup, select: Select, extended: bool) -> TestRun {
        let shutdown = Shutdown::default();
        let out = tempfile::NamedTempFile::new().unwrap();
        let target = Target::opened(out.reopen().unwrap().into(), out.path()).unwrap();
        let on_stall = Box::new(|_| panic!("a write stalls"));
        let direct = Direct { shutdown: shutdown.clone(), on_stall };
        let stream = Stream::start(target, Format::JsonStream, extended, Some(direct)).unwrap();
        let clock = Clock::system();
        let setup = Setup { clock: clock.clone(), ..setup.clone() };
        let pipeline = Pipeline {
            enrich: Enrich::new(clock.clone()),
            clock,
            select,
            observers: Vec::new(),
            stages: PluginStages::new(
                Box::new(Certificates),
                Plugins::load(&setup).unwrap(),
                Redaction { enabled: true, extended },
            ),
            baseline: None,
            output: Box::new(stream),
            stats: Stats::default(),
            shutdown,
            console: Console(Verbosity::Quiet),
            scratch: Scratch::default(),
        };
        TestRun { pipeline, batch: Vec::new(), out }
    }

    /// Passes a batch of records through all stages, as a drain of the ring does.
    pub fn batch(&mut self, records: &[Vec<u8>]) {
        for record in records {
            self.pipeline.decode(RawRecord(record), &mut self.batch);
        }
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut processed = pin!(self.pipeline.process(&mut self.batch));
            // Pending only if the machine delayed a write: then the writer's thread writes.
            while processed.as_mut().poll(&mut context).is_pending() {
                std::thread::yield_now();
            }
        }
        if let Some(mut flush) = self.pipeline.output.flush() {
            while flush.as_mut().poll(&mut context).is_pending() {
                std::thread::yield_now();
            }
        }
    }

    /// Ends the run. Returns what it printed.
    pub fn end(self) -> String {
        assert_eq!(self.pipeline.stats.lost(), 0, "{:?}", self.pipeline.stats);
        self.pipeline.output.finish(Instant::now() + Duration::from_secs(10));
        std::fs::read_to_string(self.out.path()).unwrap()
    }
}
