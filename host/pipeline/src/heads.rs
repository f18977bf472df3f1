//! Stage `read heads`: the heads of one drain are requested together, before classification.

mod event_head;

pub(super) use event_head::EventHead;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{EnrichedEvent, EnrichedWhat, OpenedFile, ProcessFacts};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_reader::{
    Currency, Fingerprint, HeadRequest, HeadResponse, LibraryQuery, MaybeReader, ProcessDetails,
    ReaderClient, ReaderEvent, StaleQuery, Wanted, WantedCgroup, may_be_readers_open,
};
use crypto_tracer_system::fs_magic;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::usage::ResourceUsage;

/// Time limit for all heads of one drain together.
pub(super) const PREFETCH_TIMEOUT: Duration = Duration::from_millis(50);
/// The same while the ring is more than half full: it must be drained before events are lost. The reader answers the users
/// who request little first.
pub(super) const PREFETCH_TIMEOUT_FULL: Duration = Duration::from_millis(30);

/// Reads the heads of files.
pub trait HeadReader: std::fmt::Debug {
    /// Reads the heads of these files, in order. `None`: there was no answer before `until`.
    fn read(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadResponse>>;

    /// Reads all of a file that plugins may see. `None`: there was no answer before `until`.
    fn visible(&mut self, file: &Wanted, until: Instant) -> Option<HeadResponse>;

    /// Returns whether [`HeadReader::read_opened`] must be called.
    fn wants_opened(&self) -> bool {
        false
    }

    /// Reads the heads of these opened files, whether a classifier requests them or not.
    fn read_opened(&mut self, files: &[Wanted], until: Instant) {
        let _ = (files, until);
    }

    /// Called when a classifier requested the head of this file and there was no answer.
    fn on_cache_miss(&mut self, file: &HeadRequest) {
        let _ = file;
    }
}

/// Looks up processes in `/proc` and in the cgroup file system.
pub trait ProcessInspector {
    /// Returns the paths of cgroups by id, those for which there was an answer before `until`. `None`: the cgroup was not
    /// found.
    fn cgroups(&mut self, wanted: &[WantedCgroup], until: Instant) -> Vec<(u64, Option<String>)>;

    /// Returns the ids of all processes. `None`: there was no answer before `until`.
    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>>;

    /// Returns details of these processes; without an interest, only their identity. Ended processes are omitted. `None`:
    /// there was no answer for some of them before `until`.
    fn inspect(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        until: Instant,
    ) -> Option<Vec<ProcessDetails>>;
}

/// The interface of the pipeline to the reader process, or to a recording in its place.
pub trait Reader: HeadReader + ProcessInspector {}

impl<R: HeadReader + ProcessInspector> Reader for R {}

/// The reader process of a live run. Copies share one client.
#[derive(Clone, Debug)]
pub struct LiveReader {
    client: Rc<RefCell<ReaderClient>>,
    shutdown: Shutdown,
}

impl LiveReader {
    /// `shutdown` interrupts the waiting for an answer.
    pub fn new(client: ReaderClient, shutdown: Shutdown) -> LiveReader {
        LiveReader { client: Rc::new(RefCell::new(client)), shutdown }
    }

    /// From now on, a new reader process gets no request before [`LiveReader::take_event`] has reported it, so that it can
    /// be excluded from the trace first.
    pub fn hold_requests_until_event_taken(&self) {
        self.client.borrow_mut().hold_requests_until_event_taken();
    }

    /// Returns the pids of the reader process and its helpers.
    pub fn pids(&self) -> Vec<u32> {
        self.client.borrow().pids()
    }

    /// Returns the next event of the reader process.
    pub fn take_event(&self) -> Option<ReaderEvent> {
        self.client.borrow_mut().take_event()
    }

    /// Returns hashes of the contents of these opened files, in order. `None`: the content changed after the open, cannot be
    /// read, or there was no answer before `until`.
    pub(super) fn fingerprints(
        &self,
        files: &[Wanted],
        until: Instant,
    ) -> Vec<Option<Fingerprint>> {
        self.client.borrow_mut().fingerprints(files, until, &self.shutdown)
    }

    /// Compares used files with those that have their paths now, in order. Gives up when one answer takes longer than
    /// `patience`, and at `until`. A shutdown request does not interrupt it.
    pub(super) fn stale(
        &self,
        queries: &[StaleQuery],
        patience: Duration,
        until: Instant,
    ) -> Vec<Option<Currency>> {
        self.client.borrow_mut().stale(queries, patience, until)
    }

    /// Returns the versions of libraries, in order. `None`: unknown, or there was no answer before `until`.
    pub(super) fn versions(
        &self,
        libraries: &[LibraryQuery],
        until: Instant,
    ) -> Vec<Option<String>> {
        // At the end of a run, a shutdown was requested.
        self.client.borrow_mut().versions(libraries, until, &Shutdown::default())
    }

    /// Returns the resources that the reader process has used. `None`: there was no answer before `until`.
    pub fn usage(&self, until: Instant) -> Option<ResourceUsage> {
        self.client.borrow_mut().usage(until)
    }
}

impl HeadReader for LiveReader {
    fn read(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadResponse>> {
        self.client.borrow_mut().heads(files, until, &self.shutdown)
    }

    fn visible(&mut self, file: &Wanted, until: Instant) -> Option<HeadResponse> {
        self.client.borrow_mut().visible(file, until, &self.shutdown)
    }
}

impl ProcessInspector for LiveReader {
    fn cgroups(&mut self, wanted: &[WantedCgroup], until: Instant) -> Vec<(u64, Option<String>)> {
        self.client.borrow_mut().cgroups(wanted, until, &self.shutdown)
    }

    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>> {
        self.client.borrow_mut().all_pids(until, &self.shutdown)
    }

    fn inspect(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        until: Instant,
    ) -> Option<Vec<ProcessDetails>> {
        self.client.borrow_mut().inspect(pids, interest, until, &self.shutdown)
    }
}

/// The events of a drain, each with its head.
#[derive(Debug)]
pub(super) struct Prefetched {
    pub(super) events: Vec<EventWithHead>,
    /// Deadline for heads that were not requested in advance.
    pub(super) until: Instant,
}

/// An event and the head of its file.
#[derive(Debug)]
pub(super) struct EventWithHead {
    pub(super) event: EnrichedEvent,
    pub(super) prefetch: Prefetch,
}

/// State of a head before classification.
#[derive(Debug)]
pub(super) enum Prefetch {
    /// No classifier was expected to read it.
    NotRequested,
    /// It was requested. `None`: there was no answer in time.
    Requested(Option<Rc<HeadResponse>>, RequestNumber),
}

/// Number of a request in its drain. Events with the same number have the same answer.
type RequestNumber = usize;

impl Prefetched {
    /// Requests at once all heads that classifiers are expected to read. Moves the events to `with_heads`, which is empty.
    pub(super) fn request(
        reader: &mut dyn HeadReader,
        plugins: &Plugins,
        events: &mut Vec<EnrichedEvent>,
        mut with_heads: Vec<EventWithHead>,
        timeout: Duration,
    ) -> Prefetched {
        let mut requests = Requests::default();
        let blocks = plugins.reads_blocks();
        with_heads.extend(events.drain(..).map(|event| {
            let request = match &event.what {
                EnrichedWhat::FileOpen { file, .. } if plugins.wants_head(file) => {
                    request_of(&event)
                }
                _ => None,
            };
            let prefetch = request.map_or(Prefetch::NotRequested, |request| {
                Prefetch::Requested(None, requests.add(Wanted { blocks, ..request }))
            });
            EventWithHead { event, prefetch }
        }));
        // The time for large drains up to here is not that of the reader.
        let until = Instant::now() + timeout;
        if !requests.files.is_empty() {
            let answers = reader.read(&requests.files, until);
            let answers: Vec<Option<Rc<HeadResponse>>> =
                answers.into_iter().map(|answer| answer.map(Rc::new)).collect();
            for event in &mut with_heads {
                if let Prefetch::Requested(answer, number) = &mut event.prefetch {
                    *answer = answers.get(*number).cloned().flatten();
                }
            }
        }
        if reader.wants_opened() {
            let opened = with_heads.iter().filter_map(|event| request_of(&event.event));
            reader.read_opened(&opened.collect::<Vec<_>>(), until);
        }
        Prefetched { events: with_heads, until }
    }
}

/// The requests of a drain, one for each version of a file and user.
#[derive(Debug, Default)]
struct Requests {
    files: Vec<Wanted>,
    numbers: HashMap<FileOfUser, RequestNumber>,
}

/// What makes the answers for two opens equal. A user's answer is not used for another user, who may see the file in another
/// way.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FileOfUser {
    file: HeadRequest,
    size: u64,
    uid: u32,
    maybe_reader: Option<MaybeReader>,
}

impl Requests {
    /// Adds a request unless there is an equal one. Returns its number.
    fn add(&mut self, wanted: Wanted) -> RequestNumber {
        let mut file = wanted.file.clone();
        // Only its own descriptors refer to a file without a name.
        if !file.nameless {
            file.pid = 0;
        }
        // All requests of a drain agree on whether blocks are requested.
        let Wanted { size, uid, maybe_reader, .. } = wanted;
        *self.numbers.entry(FileOfUser { file, size, uid, maybe_reader }).or_insert_with(|| {
            self.files.push(wanted);
            self.files.len() - 1
        })
    }
}

/// Returns the request for the head of an opened file. `None`: the event has no file whose head may be read.
fn request_of(event: &EnrichedEvent) -> Option<Wanted> {
    match &event.what {
        EnrichedWhat::FileOpen { file, flags } => {
            may_be_read(file).then(|| wanted(&event.process, file, *flags))
        }
        _ => None,
    }
}

fn may_be_read(file: &OpenedFile) -> bool {
    !file.created && !is_remote(file)
}

pub(super) fn is_remote(file: &OpenedFile) -> bool {
    file.foreign_user_ns || fs_magic::is_remote(file.sb_magic)
}

/// Asks for what the process opened.
pub(super) fn wanted(process: &ProcessFacts, file: &OpenedFile, flags: u32) -> Wanted {
    let key = process.key;
    let maybe_reader =
        may_be_readers_open(flags).then_some(MaybeReader { pid: key.tgid, start_ns: key.start_ns });
    let request = HeadRequest {
        pid: key.tgid,
        nameless: file.path.deleted || file.path.unreachable || file.path.pseudo,
        mount_ns: process.mount_ns,
        root: process.root,
        path: file.path.bytes.clone(),
        dev: file.dev,
        inode: file.inode,
        ctime_ns: file.ctime_ns,
        sb_magic: file.sb_magic,
    };
    Wanted { file: request, uid: process.uid, size: file.size, maybe_reader, blocks: false }
}
