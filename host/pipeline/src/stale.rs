//! Finds libraries and files that a living process uses, but whose path is another file by now.
//!
//! During the run, the tracker notes what each process used last. When a document is made, the reader process compares
//! that with the file system.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::{LinkedHashMap, LruCache};

use super::LiveReader;
use super::heads::{is_remote, wanted};
use crypto_tracer_event::{
    EnrichedEvent, EnrichedWhat, KernelEvent, KernelPath, KernelWhat, OpenedFile, PathIdentity,
    PathState, ProcessFacts, ProcessKey, RedactedEvent, RedactedWhat, Timestamp,
};
use crypto_tracer_output::document::{Stale, StaleReason, Time};
use crypto_tracer_reader::{
    Currency, Fingerprint, LibraryQuery, ProcessDetails, StaleQuery, UsedFile, Wanted,
};

/// Maximum number of tracked uses. If there are more, those of the process that was quiet for longest become `unknown`.
const MAX_TRACKED: usize = 65_536;
/// Maximum number of contents of files whose fingerprint is known.
const MAX_FINGERPRINTS: usize = 16_384;
/// Maximum number of libraries whose version is looked up.
const MAX_LIBRARIES: usize = 4096;
/// Maximum number of files of one batch whose fingerprint is requested.
const MAX_REQUESTED: usize = 256;
/// Time limit for the fingerprints of one batch.
const FINGERPRINT_TIMEOUT: Duration = Duration::from_millis(50);
/// Time limit for one comparison, so that a blocked file system does not delay the end of a run.
const COMPARISON_TIMEOUT: Duration = Duration::from_millis(80);
/// Time limit for finding out what is stale at the end of a run.
pub(super) const STALE_TIMEOUT: Duration = Duration::from_secs(1);
/// Resolution of start times in `/proc`.
const TICK_NS: u64 = 10_000_000;
/// Nanoseconds of a microsecond.
const MICROSECOND_NS: i128 = 1000;

/// What each living process used last. `K` identifies the use in a document; there are boundedly many.
#[derive(Debug)]
pub struct StaleTracker<K> {
    /// `None` in a replay: the file system is not that of the recorded run.
    reader: Option<LiveReader>,
    /// Living processes by pid, in the order of their last use.
    processes: LinkedHashMap<u32, TrackedProcess<K>>,
    /// Number of tracked uses of all processes.
    count: usize,
    /// Contents that were opened, and their fingerprints if they could be read.
    fingerprints: LruCache<Arc<UsedFile>, Option<Fingerprint>>,
    /// Contents of this batch whose fingerprint is not known.
    new: Vec<(Arc<UsedFile>, Wanted)>,
    /// Libraries that were seen.
    libraries: LruCache<Arc<UsedFile>, ()>,
    /// Those whose version was not looked up.
    new_libraries: Vec<(Key<K>, LibraryQuery)>,
    /// The uses of this batch: their process may have ended by its end, with children that go on.
    batch: HashMap<(u32, PathIdentity), Key<K>>,
    is_batch_over: bool,
    /// Uses that are not tracked any more, because there were too many.
    dropped: HashSet<K>,
}

/// What the document calls a use; `None` until the event has passed all stages. A forked process shares it.
type Key<K> = Rc<RefCell<Option<K>>>;

#[derive(Debug)]
struct TrackedProcess<K> {
    start_ns: u64,
    uid: u32,
    /// A forked process shares them until it uses something itself.
    uses: Rc<LinkedHashMap<PathIdentity, Tracked<K>>>,
}

#[derive(Clone, Debug)]
struct Tracked<K> {
    file: Arc<UsedFile>,
    /// The process may have changed the content itself.
    writes: bool,
    /// Whether the path can be looked at.
    has_path: bool,
    key: Key<K>,
}

impl<K: Copy + Eq + std::hash::Hash> StaleTracker<K> {
    /// `reader`: `None` in a replay.
    pub fn new(reader: Option<LiveReader>) -> StaleTracker<K> {
        StaleTracker {
            reader,
            processes: LinkedHashMap::new(),
            count: 0,
            fingerprints: LruCache::new(MAX_FINGERPRINTS),
            new: Vec::new(),
            libraries: LruCache::new(MAX_LIBRARIES),
            new_libraries: Vec::new(),
            batch: HashMap::new(),
            is_batch_over: false,
            dropped: HashSet::new(),
        }
    }

    /// Notes a load or an open of a process, as the last use of its path.
    pub(super) fn add_event(&mut self, event: &EnrichedEvent) {
        if std::mem::take(&mut self.is_batch_over) {
            self.batch.clear();
        }
        let (file, flags) = match &event.what {
            EnrichedWhat::FileOpen { file, flags } => (file, Some(*flags)),
            EnrichedWhat::LibLoad { file, .. } => (file, None),
            _ => return,
        };
        let process = &event.process;
        let (pid, start_ns) = (process.key.tgid, process.key.start_ns);
        let path = PathIdentity::of(&file.path);
        // A write-only open uses no content, and a file that was deleted before has no path.
        let is_write_only = flags.is_some_and(|flags| flags & 3 == 1);
        if is_write_only || file.path.deleted || file.path.pseudo {
            self.remove(pid, start_ns, path);
            return;
        }
        let used = Arc::new(used_file(process, file, flags.is_none()));
        let writes = flags.is_some_and(|flags| flags & 3 != 0);
        let has_path = has_path(file);
        if let Some(flags) = flags.filter(|_| has_path && !writes && self.reader.is_some()) {
            self.request_fingerprint(&used, wanted(process, file, flags));
        }
        let key = Key::default();
        self.batch.insert((pid, path), key.clone());
        if used.library {
            self.note_library(pid, process.uid, &used, &key);
        }
        let tracked = Tracked { file: used, writes, has_path, key };
        self.insert((pid, start_ns, process.uid), path, tracked);
    }

    /// Notes the libraries that a process has mapped. Its open files were opened before the run.
    pub fn add_existing(&mut self, process: &ProcessDetails) {
        for library in &process.libraries {
            let path = KernelPath { bytes: library.path.clone(), ..KernelPath::default() };
            let (dev, inode) = (library.dev, library.inode);
            let used = UsedFile {
                path: library.path.clone(),
                dev,
                inode,
                library: true,
                ..UsedFile::default()
            };
            let tracked = Tracked {
                file: Arc::new(used),
                writes: false,
                has_path: library.path.starts_with(b"/"),
                key: Key::default(),
            };
            self.note_library(process.pid, process.uid, &tracked.file, &tracked.key);
            let owner = (process.pid, process.start_ns, process.uid);
            self.insert(owner, PathIdentity::of(&path), tracked);
        }
    }

    /// Notes what the document calls the use.
    pub fn set_key(&mut self, pid: u32, start_ns: u64, path: PathIdentity, key: K) {
        if let Some(of_batch) = self.batch.get(&(pid, path)) {
            *of_batch.borrow_mut() = Some(key);
        } else if let Some(process) = self.processes.get(&pid).filter(|it| it.is(start_ns))
            && let Some(tracked) = process.uses.get(&path)
        {
            *tracked.key.borrow_mut() = Some(key);
        }
    }

    /// Follows the begin and the end of processes.
    pub(super) fn follow(&mut self, event: &KernelEvent) {
        let ProcessKey { tgid, start_ns } = event.process;
        match event.what {
            KernelWhat::Fork => self.fork(event.ppid, event.process, event.uid),
            // The program that an exec replaces uses nothing any more.
            KernelWhat::Exit { .. } | KernelWhat::Exec { .. } => self.end_process(tgid, start_ns),
            KernelWhat::FileOpen { .. } | KernelWhat::LibLoad { .. } => {}
        }
    }

    /// Notes a new process: it has what its parent has in memory.
    fn fork(&mut self, parent: u32, child: ProcessKey, uid: u32) {
        let Some(parent) = self.processes.get(&parent) else { return };
        let (start_ns, uses) = (child.start_ns, parent.uses.clone());
        self.forget(child.tgid);
        self.count += uses.len();
        self.processes.insert(child.tgid, TrackedProcess { start_ns, uid, uses });
        self.make_room();
    }

    /// Forgets a process that has ended, or that runs another program now.
    fn end_process(&mut self, pid: u32, start_ns: u64) {
        if self.processes.get(&pid).is_some_and(|process| process.is(start_ns)) {
            self.forget(pid);
        }
    }

    fn forget(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            self.count -= process.uses.len();
        }
    }

    fn remove(&mut self, pid: u32, start_ns: u64, path: PathIdentity) {
        let process = self.processes.get_mut(&pid).filter(|process| process.is(start_ns));
        if let Some(process) = process.filter(|process| process.uses.contains_key(&path)) {
            Rc::make_mut(&mut process.uses).remove(&path);
            self.count -= 1;
        }
    }

    fn insert(
        &mut self,
        (pid, start_ns, uid): (u32, u64, u32),
        path: PathIdentity,
        tracked: Tracked<K>,
    ) {
        if self.processes.get(&pid).is_some_and(|process| !process.is(start_ns)) {
            // Its end is among the lost events.
            self.forget(pid);
        }
        let new = || TrackedProcess { start_ns, uid, uses: Rc::new(LinkedHashMap::new()) };
        self.processes.to_back(&pid);
        let process = self.processes.entry(pid).or_insert_with(new);
        let before = Rc::make_mut(&mut process.uses).insert(path, tracked);
        self.count += usize::from(before.is_none());
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.count > MAX_TRACKED {
            let Some((_, oldest)) = self.processes.pop_front() else { break };
            self.count -= oldest.uses.len();
            self.dropped.extend(oldest.uses.values().filter_map(|tracked| *tracked.key.borrow()));
        }
    }

    fn request_fingerprint(&mut self, used: &Arc<UsedFile>, wanted: Wanted) {
        let is_new = self.fingerprints.get(used).is_none();
        if is_new && self.new.len() < MAX_REQUESTED {
            // Until the answer comes, and so that the batch requests it once.
            self.fingerprints.insert(used.clone(), None);
            self.new.push((used.clone(), wanted));
        }
    }

    /// Reads the fingerprints of the batch's new contents together.
    pub(super) fn end_batch(&mut self) {
        self.is_batch_over = true;
        let new = std::mem::take(&mut self.new);
        let Some(reader) = self.reader.as_ref().filter(|_| !new.is_empty()) else { return };
        let (files, wanted): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let found = reader.fingerprints(&wanted, Instant::now() + FINGERPRINT_TIMEOUT);
        for (file, fingerprint) in files.into_iter().zip(found) {
            self.fingerprints.insert(file, fingerprint);
        }
    }

    /// Compares every tracked use with the file system, for at most `timeout`. A use of several processes is what the worst
    /// of them is.
    pub fn look(&self, timeout: Duration) -> HashMap<K, Stale> {
        let mut found = HashMap::new();
        let (mut keys, mut queries) = (Vec::new(), Vec::new());
        for (pid, process, tracked) in self.uses() {
            let Some(key) = *tracked.key.borrow() else { continue };
            if !tracked.has_path || self.reader.is_none() {
                add(&mut found, key, UNKNOWN);
                continue;
            }
            let fingerprint = self.fingerprints.peek(&tracked.file).copied().flatten();
            keys.push(key);
            queries.push(StaleQuery {
                pid,
                start_ns: process.start_ns,
                uid: process.uid,
                file: UsedFile::clone(&tracked.file),
                writes: tracked.writes,
                fingerprint,
            });
        }
        if let Some(reader) = &self.reader {
            let until = Instant::now() + timeout;
            let answers = reader.stale(&queries, COMPARISON_TIMEOUT, until);
            for (key, answer) in keys.into_iter().zip(answers) {
                if let Some(stale) = stale(answer.unwrap_or(Currency::Unknown)) {
                    add(&mut found, key, stale);
                }
            }
        }
        for &key in &self.dropped {
            add(&mut found, key, UNKNOWN);
        }
        found
    }

    /// Returns a query for the version of each library that is new since the last call.
    pub(super) fn take_libraries(&mut self) -> Vec<(K, LibraryQuery)> {
        let new = std::mem::take(&mut self.new_libraries);
        new.into_iter().filter_map(|(key, query)| Some(((*key.borrow())?, query))).collect()
    }

    /// Notes a library whose version is not known. Its process may end before the version is looked up.
    fn note_library(&mut self, pid: u32, uid: u32, file: &Arc<UsedFile>, key: &Key<K>) {
        let is_new = self.libraries.insert(file.clone(), ()).is_none();
        if is_new && self.new_libraries.len() < MAX_LIBRARIES {
            let query = LibraryQuery { pid, uid, file: UsedFile::clone(file) };
            self.new_libraries.push((key.clone(), query));
        }
    }

    fn uses(&self) -> impl Iterator<Item = (u32, &TrackedProcess<K>, &Tracked<K>)> {
        let uses = |(&pid, process): (&u32, _)| {
            let process: &TrackedProcess<K> = process;
            process.uses.values().map(move |tracked| (pid, process, tracked))
        };
        self.processes.iter().flat_map(uses)
    }
}

impl<K> TrackedProcess<K> {
    /// Whether the process has this start time, which may be rounded.
    fn is(&self, start_ns: u64) -> bool {
        self.start_ns / TICK_NS == start_ns / TICK_NS
    }
}

impl StaleTracker<PathIdentity> {
    /// [`StaleTracker::set_key`] for a document in which every path is listed once.
    pub(super) fn set_own_key(&mut self, event: &RedactedEvent) {
        if let RedactedWhat::LibLoad { file, .. } | RedactedWhat::FileOpen { file, .. } =
            event.what()
        {
            let process = event.process();
            self.set_key(process.pid, process.start_ns, file.identity, file.identity);
        }
    }
}

const UNKNOWN: Stale = Stale { since: None, reason: StaleReason::Unknown };

fn stale(currency: Currency) -> Option<Stale> {
    let time =
        |ns: i128| i64::try_from(ns.div_euclid(MICROSECOND_NS)).ok().map(|us| Time(Timestamp(us)));
    match currency {
        Currency::Current | Currency::Ended => None,
        Currency::Replaced { since_ns } => {
            Some(Stale { since: time(since_ns), reason: StaleReason::Replaced })
        }
        Currency::Deleted => Some(Stale { since: None, reason: StaleReason::Deleted }),
        Currency::Modified { since_ns } => {
            Some(Stale { since: time(since_ns), reason: StaleReason::Modified })
        }
        Currency::Unknown => Some(UNKNOWN),
    }
}

/// Adds the answer for one process. What is certain counts more than what is unknown, then the earliest.
fn add<K: Eq + std::hash::Hash>(found: &mut HashMap<K, Stale>, key: K, stale: Stale) {
    let rank = |stale: &Stale| (stale.reason == StaleReason::Unknown, stale.since, stale.reason);
    let known = found.entry(key).or_insert(stale);
    if rank(&stale) < rank(known) {
        *known = stale;
    }
}

/// Whether the path leads to the file from the process's root, on a local file system.
fn has_path(file: &OpenedFile) -> bool {
    file.path.state == PathState::Complete && !file.path.unreachable && !is_remote(file)
}

fn used_file(process: &ProcessFacts, file: &OpenedFile, library: bool) -> UsedFile {
    UsedFile {
        mount_ns: process.mount_ns,
        root: process.root,
        path: file.path.bytes.clone(),
        dev: file.dev,
        inode: file.inode,
        size: file.size,
        ctime_ns: file.ctime_ns,
        sb_magic: file.sb_magic,
        library,
    }
}
