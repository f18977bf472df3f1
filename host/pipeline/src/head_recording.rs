//! Heads of files in recordings: requested while recording, returned in a replay.
//!
//! A recording also has the heads that no classifier requested, up to a limit per batch, because the classifiers of a
//! replay may request them. A head is recorded once, as long as a replay has it in its cache.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::rc::Rc;
use std::time::Instant;

use super::{HeadReader, ProcessInspector, Reader};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{PemBlock, is_settled};
use crypto_tracer_reader::{
    Found, HeadRefusal, HeadRequest, HeadResponse, ProcessDetails, Wanted, WantedCgroup,
};
use crypto_tracer_system::clock::Clock;

/// A request and its answer.
type HeadExchange = (HeadRequest, Option<HeadResponse>);

/// Capacity of a replay's cache in bytes.
const REPLAY_CACHE_BYTES: usize = 64 << 20;
/// Bytes of heads that a recording assumes to be in a replay's cache: less than its capacity, so that a recording omits no
/// head that a replay has evicted.
const ASSUMED_CACHE_BYTES: usize = REPLAY_CACHE_BYTES / 8 * 7;
/// Maximum size of the answers of one batch in a replay, in bytes: one frame of each kind fits. Only a forged recording
/// has more.
const MAX_BATCH_BYTES: usize = 128 << 20;
/// Maximum number of files that a recording assumes to be in a replay's cache: the capacity of the verdict cache.
const MAX_FILES: usize = 32 << 10;
/// Size of a cache entry in bytes, without head and path.
const ENTRY: usize = 256;
/// Number of opened files whose heads are requested together.
const CHUNK: usize = 64;
/// Limit in bytes for heads in one batch that no classifier requested. The remaining files are read at a later open.
const MAX_OPENED_BYTES: usize = 16 << 20;

/// Records the answers of a reader, and reads the heads of all other opened files for the recording.
#[derive(Debug)]
pub struct RecordingHeads {
    inner: Box<dyn Reader>,
    clock: Clock,
    log: Rc<RefCell<HeadLog>>,
    /// Files whose answers are in the recording, and whether an answer is valid until the ctime changes.
    recorded: HeadCache<u64, bool>,
    hash: RandomState,
}

/// Requests and answers of one batch.
#[derive(Debug, Default)]
pub struct HeadLog {
    /// Heads that classifiers requested.
    pub(crate) heads: Vec<HeadExchange>,
    /// Heads that no classifier requested.
    pub(crate) others: Vec<HeadExchange>,
    /// Paths of cgroups.
    pub(crate) cgroups: Vec<(u64, Option<String>)>,
}

impl HeadLog {
    /// Returns the answers that a replay needs. If all requests for a file in a batch had the same head, one answer is
    /// enough, because a replay caches it.
    pub(super) fn deduplicated(mut self) -> HeadLog {
        let mut same = self.files_with_one_head();
        let mut is_needed = |(file, _): &HeadExchange| match same.get_mut(&file_version(file)) {
            Some(is_recorded) => !std::mem::replace(is_recorded, true),
            None => true,
        };
        self.heads.retain(&mut is_needed);
        self.others.retain(is_needed);
        self
    }

    /// Returns the files with the same head in all answers, each with `false`: it is not recorded yet.
    fn files_with_one_head(&self) -> HashMap<FileVersion, bool> {
        let mut answers = HashMap::new();
        for (file, answer) in self.heads.iter().chain(&self.others) {
            let read = answer.as_ref().filter(|answer| answer.head.is_ok() && is_cacheable(answer));
            let (_, first) = answers.entry(file_version(file)).or_insert((size(file, read), read));
            *first = first.filter(|first| read == Some(*first));
        }
        let bytes: usize = answers.values().map(|(size, _)| size).sum();
        if bytes > ASSUMED_CACHE_BYTES {
            // A replay would evict the first of them before the last request.
            return HashMap::new();
        }
        let same = answers.into_iter().filter(|(_, (_, first))| first.is_some());
        same.map(|(file, _)| (file, false)).collect()
    }
}

impl RecordingHeads {
    /// Records the answers of `inner`.
    pub fn new(inner: Box<dyn Reader>, clock: Clock) -> RecordingHeads {
        let recorded = HeadCache::new(ASSUMED_CACHE_BYTES, MAX_FILES);
        RecordingHeads { inner, clock, log: Rc::default(), recorded, hash: RandomState::new() }
    }

    /// Returns the shared log of requests and answers. The recorder takes its content.
    pub fn log(&self) -> Rc<RefCell<HeadLog>> {
        self.log.clone()
    }

    fn note_recorded(&mut self, file: &HeadRequest, answer: Option<&HeadResponse>) {
        let Some(answer) = answer.filter(|answer| is_cacheable(answer)) else { return };
        let settled = is_settled(file.ctime_ns, self.clock.file_time_ns());
        let key = self.hash.hash_one(file_version(file));
        if answer.head.is_ok() || !self.recorded.contains(&key) {
            self.recorded.insert(key, settled, size(file, Some(answer)));
        }
    }
}

impl HeadReader for RecordingHeads {
    fn read(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadResponse>> {
        let answers = self.inner.read(&with_blocks(files), until);
        files
            .iter()
            .zip(&answers)
            .for_each(|(wanted, answer)| self.note_recorded(&wanted.file, answer.as_ref()));
        let exchanges = files.iter().map(|wanted| wanted.file.clone()).zip(answers.iter().cloned());
        self.log.borrow_mut().heads.extend(exchanges);
        answers
    }

    fn visible(&mut self, file: &Wanted, until: Instant) -> Option<HeadResponse> {
        self.inner.visible(file, until)
    }

    fn wants_opened(&self) -> bool {
        true
    }

    fn read_opened(&mut self, files: &[Wanted], until: Instant) {
        // Heads that a classifier has requested in this batch are not read again, even if the file is not settled.
        let log = self.log.borrow();
        let read = log
            .heads
            .iter()
            .filter(|(_, answer)| answer.as_ref().is_some_and(|answer| answer.head.is_ok()));
        let mut in_batch: HashSet<u64> =
            read.map(|(file, _)| self.hash.hash_one(file_version(file))).collect();
        drop(log);
        let missing = files.iter().filter(|wanted| {
            let key = self.hash.hash_one(file_version(&wanted.file));
            self.recorded.get(&key) != Some(&true) && in_batch.insert(key)
        });
        let missing: Vec<Wanted> = missing.cloned().collect();
        let mut bytes = 0;
        for chunk in missing.chunks(CHUNK) {
            if bytes >= MAX_OPENED_BYTES {
                break;
            }
            let answers = self.inner.read(&with_blocks(chunk), until);
            for (Wanted { file, .. }, answer) in chunk.iter().zip(&answers) {
                self.note_recorded(file, answer.as_ref());
                bytes += size(file, answer.as_ref());
            }
            let exchanges = chunk.iter().map(|wanted| wanted.file.clone()).zip(answers);
            self.log.borrow_mut().others.extend(exchanges);
        }
    }
}

/// The requests of a recording: the plugins of a replay may ask for the PEM blocks.
fn with_blocks(files: &[Wanted]) -> Vec<Wanted> {
    files.iter().map(|wanted| Wanted { blocks: true, ..wanted.clone() }).collect()
}

impl ProcessInspector for RecordingHeads {
    fn cgroups(&mut self, wanted: &[WantedCgroup], until: Instant) -> Vec<(u64, Option<String>)> {
        let paths = self.inner.cgroups(wanted, until);
        self.log.borrow_mut().cgroups.extend(paths.iter().cloned());
        paths
    }

    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>> {
        self.inner.all_pids(until)
    }

    /// Not recorded: no stage of a replay inspects processes.
    fn inspect(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        until: Instant,
    ) -> Option<Vec<ProcessDetails>> {
        self.inner.inspect(pids, interest, until)
    }
}

/// The heads of a recording, for its replay. Copies share them.
#[derive(Clone, Debug, Default)]
pub struct RecordedHeads(Rc<RefCell<Recorded>>);

#[derive(Debug)]
struct Recorded {
    /// Requests of classifiers in this batch, with their answers in order.
    requested: HashMap<HeadRequest, VecDeque<Option<HeadResponse>>>,
    /// Size of this batch's answers in bytes.
    batch_bytes: usize,
    /// Heads in this batch that no classifier requested.
    others: HashMap<HeadRequest, Option<HeadResponse>>,
    /// The last answer for each file: the current plugins may request it again where the recorded run had a cached verdict.
    cache: HeadCache<FileVersion, HeadResponse>,
    missing: MissingHeads,
}

/// Requests without an answer in the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingHeads {
    /// Number of requests.
    pub count: u64,
    /// Path of the file of the first request.
    pub first: Vec<u8>,
}

/// Path, device, inode number and change time. Files with the same values have the same head.
type FileVersion = (Vec<u8>, u32, u64, i128);

impl RecordedHeads {
    /// Adds the answers to classifiers for the records that follow.
    pub(crate) fn add(&self, exchanges: Vec<HeadExchange>) {
        let mut recorded = self.0.borrow_mut();
        for (request, answer) in exchanges {
            recorded.cache(&request, answer.as_ref());
            if recorded.fits(&request, answer.as_ref()) {
                recorded.requested.entry(request).or_default().push_back(answer);
            }
        }
    }

    /// Adds the heads that no classifier requested, for the records that follow.
    pub(crate) fn add_others(&self, exchanges: Vec<HeadExchange>) {
        let mut recorded = self.0.borrow_mut();
        for (request, answer) in exchanges {
            recorded.cache(&request, answer.as_ref());
            if recorded.fits(&request, answer.as_ref()) {
                recorded.others.insert(request, answer);
            }
        }
    }

    /// Ends a batch: its records were replayed.
    pub(crate) fn end_batch(&self) {
        let mut recorded = self.0.borrow_mut();
        recorded.requested.clear();
        recorded.others.clear();
        recorded.batch_bytes = 0;
    }

    /// Returns the requests without an answer.
    pub fn missing(&self) -> MissingHeads {
        self.0.borrow().missing.clone()
    }
}

impl Default for Recorded {
    fn default() -> Recorded {
        Recorded {
            requested: HashMap::new(),
            batch_bytes: 0,
            others: HashMap::new(),
            cache: HeadCache::new(REPLAY_CACHE_BYTES, usize::MAX),
            missing: MissingHeads::default(),
        }
    }
}

impl Recorded {
    fn answer(&mut self, file: &HeadRequest) -> Option<HeadResponse> {
        if let Some(answers) = self.requested.get_mut(file) {
            // The last answer is repeated, if there are more requests than in the recorded run.
            return if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
                .flatten();
        }
        let cached = || self.cache.get(&file_version(file)).cloned();
        self.others.get(file).cloned().unwrap_or_else(cached)
    }

    /// Counts the size of an answer. Returns whether the batch's limit allows it.
    fn fits(&mut self, file: &HeadRequest, answer: Option<&HeadResponse>) -> bool {
        self.batch_bytes += size(file, answer);
        self.batch_bytes <= MAX_BATCH_BYTES
    }

    fn cache(&mut self, file: &HeadRequest, answer: Option<&HeadResponse>) {
        let Some(answer) = answer.filter(|answer| is_cacheable(answer)) else { return };
        let key = file_version(file);
        if answer.head.is_ok() || !self.cache.contains(&key) {
            self.cache.insert(key, answer.clone(), size(file, Some(answer)));
        }
    }
}

impl HeadReader for RecordedHeads {
    fn read(&mut self, files: &[Wanted], _until: Instant) -> Vec<Option<HeadResponse>> {
        let mut recorded = self.0.borrow_mut();
        files.iter().map(|wanted| recorded.answer(&wanted.file)).collect()
    }

    /// The head, which is all that a recording has of a file.
    fn visible(&mut self, file: &Wanted, _until: Instant) -> Option<HeadResponse> {
        self.0.borrow_mut().answer(&file.file)
    }

    fn on_cache_miss(&mut self, file: &HeadRequest) {
        let mut recorded = self.0.borrow_mut();
        // If the answer was late in the recorded run too, it is not missing from the recording.
        if recorded.requested.contains_key(file) {
            return;
        }
        if recorded.missing.count == 0 {
            recorded.missing.first.clone_from(&file.path);
        }
        recorded.missing.count += 1;
    }
}

impl ProcessInspector for RecordedHeads {
    /// A frame before the records contains the paths.
    fn cgroups(&mut self, wanted: &[WantedCgroup], _until: Instant) -> Vec<(u64, Option<String>)> {
        wanted.iter().map(|wanted| (wanted.id, None)).collect()
    }

    fn all_pids(&mut self, _until: Instant) -> Option<Vec<u32>> {
        None
    }

    fn inspect(
        &mut self,
        _pids: &[u32],
        _interest: Option<&Interest>,
        _until: Instant,
    ) -> Option<Vec<ProcessDetails>> {
        None
    }
}

/// A bounded cache of answers by file. Evicts the oldest entry first.
#[derive(Debug)]
struct HeadCache<K, V> {
    answers: HashMap<K, (V, usize)>,
    order: VecDeque<K>,
    bytes: usize,
    max_bytes: usize,
    max_entries: usize,
}

impl<K: Clone + Eq + Hash, V> HeadCache<K, V> {
    fn new(max_bytes: usize, max_entries: usize) -> Self {
        let (answers, order) = (HashMap::new(), VecDeque::new());
        HeadCache { answers, order, bytes: 0, max_bytes, max_entries }
    }

    fn contains(&self, key: &K) -> bool {
        self.answers.contains_key(key)
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.answers.get(key).map(|(value, _)| value)
    }

    fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.bytes += bytes;
        match self.answers.insert(key.clone(), (value, bytes)) {
            Some((_, old)) => self.bytes -= old,
            None => self.order.push_back(key),
        }
        while self.bytes > self.max_bytes || self.order.len() > self.max_entries {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.answers.remove(&oldest).map_or(0, |(_, bytes)| bytes);
        }
    }
}

/// Returns whether an answer is valid for every open of the file, not only for this process or this moment.
fn is_cacheable(answer: &HeadResponse) -> bool {
    let is_temporary = matches!(answer.head, Err(HeadRefusal::Gone | HeadRefusal::OtherTracer));
    answer.found == Found::Same && !is_temporary
}

fn file_version(file: &HeadRequest) -> FileVersion {
    (file.path.clone(), file.dev, file.inode, file.ctime_ns)
}

/// Returns the size of a cached answer in bytes.
fn size(file: &HeadRequest, answer: Option<&HeadResponse>) -> usize {
    let head = answer.and_then(|answer| answer.head.as_ref().ok()).map_or(0, Vec::len);
    let blocks = answer.into_iter().flat_map(|answer| &answer.blocks);
    let blocks: usize = blocks.map(|block| size_of::<PemBlock>() + block.label.len()).sum();
    head + blocks + 2 * file.path.len() + ENTRY
}

#[cfg(test)]
mod tests;
