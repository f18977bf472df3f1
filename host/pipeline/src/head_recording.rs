//! The beginnings of files in recordings: asked for while one is made, answered when it is replayed.
//!
//! A recording has the beginning of every file that was opened, not only of those that its run's classifiers looked
//! into: tomorrow's look elsewhere. Each is in it once, for as long as a replay remembers it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::rc::Rc;
use std::time::Instant;

use super::{HeadReader, ProcessInspector, Reader};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::is_settled;
use crypto_tracer_reader::{Found, HeadRefusal, HeadRequest, HeadResponse, ProcessDetails, Wanted};
use crypto_tracer_system::clock::Clock;

/// A question and what came back.
pub type HeadExchange = (HeadRequest, Option<HeadResponse>);

/// Bytes of heads that a replay remembers.
const MOST_REMEMBERED: usize = 64 << 20;
/// Bytes of heads that a recording counts on: less, so that no file is left out that a replay has forgotten.
const MOST_COUNTED_ON: usize = MOST_REMEMBERED / 8 * 7;
/// Bytes of answers before their records: those of one frame of each kind fit. More would be a recording that was made
/// up.
const MOST_NOW: usize = 128 << 20;
/// Files that a recording counts on: as many as there are verdicts that are remembered.
const MOST_FILES: usize = 32 << 10;
/// What a remembered file takes beside its beginning and its path.
const ENTRY: usize = 256;
/// Files that are asked for at once because they were opened.
const PART: usize = 64;
/// Bytes of answers of one batch that are asked for because files were opened: the rest waits for another open.
const MOST_OPENED: usize = 16 << 20;

/// Keeps what was asked, and the beginning of whatever else was opened, for a recording.
#[derive(Debug)]
pub struct RecordingHeads {
    inner: Box<dyn Reader>,
    clock: Clock,
    kept: Rc<RefCell<HeadLog>>,
    /// Files whose answers are in the recording, and whether they hold until the ctime changes.
    known: Remembered<u64, bool>,
    hash: RandomState,
}

/// Questions and answers between two batches.
#[derive(Debug, Default)]
pub struct HeadLog {
    /// Heads.
    pub heads: Vec<HeadExchange>,
    /// Heads that no classifier asked for.
    pub others: Vec<HeadExchange>,
    /// Paths of cgroups.
    pub cgroups: Vec<(u64, Option<String>)>,
}

impl HeadLog {
    /// What a replay needs. Many may ask for one file in a batch: where all got the same beginning, one answer is
    /// enough, since a replay remembers it for whoever asks.
    pub(super) fn needed(mut self) -> HeadLog {
        let mut same = self.same();
        let mut is_needed = |(file, _): &HeadExchange| match same.get_mut(&which(file)) {
            Some(is_there) => !std::mem::replace(is_there, true),
            None => true,
        };
        self.heads.retain(&mut is_needed);
        self.others.retain(is_needed);
        self
    }

    /// The files that have one beginning for all who asked; none of them is there yet.
    fn same(&self) -> HashMap<WhichFile, bool> {
        let mut answers = HashMap::new();
        for (file, answer) in self.heads.iter().chain(&self.others) {
            let read = answer.as_ref().filter(|answer| answer.head.is_ok() && holds(answer));
            let (_, first) = answers.entry(which(file)).or_insert((size(file, read), read));
            *first = first.filter(|first| read == Some(*first));
        }
        let bytes: usize = answers.values().map(|(size, _)| size).sum();
        if bytes > MOST_COUNTED_ON {
            // A replay would have forgotten the first of them when the last asks.
            return HashMap::new();
        }
        let same = answers.into_iter().filter(|(_, (_, first))| first.is_some());
        same.map(|(file, _)| (file, false)).collect()
    }
}

impl RecordingHeads {
    /// Records what `inner` answers.
    pub fn new(inner: Box<dyn Reader>, clock: Clock) -> RecordingHeads {
        let known = Remembered::new(MOST_COUNTED_ON, MOST_FILES);
        RecordingHeads { inner, clock, kept: Rc::default(), known, hash: RandomState::new() }
    }

    /// What was asked since somebody took it.
    pub fn kept(&self) -> Rc<RefCell<HeadLog>> {
        self.kept.clone()
    }

    fn note(&mut self, file: &HeadRequest, answer: Option<&HeadResponse>) {
        let Some(answer) = answer.filter(|answer| holds(answer)) else { return };
        let settled = is_settled(file.ctime_ns, self.clock.file_time_ns());
        let key = self.hash.hash_one(which(file));
        if answer.head.is_ok() || !self.known.has(&key) {
            self.known.insert(key, settled, size(file, Some(answer)));
        }
    }
}

impl HeadReader for RecordingHeads {
    fn read(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadResponse>> {
        let answers = self.inner.read(files, until);
        files
            .iter()
            .zip(&answers)
            .for_each(|(wanted, answer)| self.note(&wanted.file, answer.as_ref()));
        let asked = files.iter().map(|wanted| wanted.file.clone()).zip(answers.iter().cloned());
        self.kept.borrow_mut().heads.extend(asked);
        answers
    }

    fn notes_opened(&self) -> bool {
        true
    }

    fn note_opened(&mut self, files: &[Wanted], until: Instant) {
        // A classifier has just asked for these: one look is enough, however young the file is.
        let kept = self.kept.borrow();
        let read = kept
            .heads
            .iter()
            .filter(|(_, answer)| answer.as_ref().is_some_and(|answer| answer.head.is_ok()));
        let mut now: HashSet<u64> = read.map(|(file, _)| self.hash.hash_one(which(file))).collect();
        drop(kept);
        let unknown = files.iter().filter(|wanted| {
            let key = self.hash.hash_one(which(&wanted.file));
            self.known.get(&key) != Some(&true) && now.insert(key)
        });
        let unknown: Vec<Wanted> = unknown.cloned().collect();
        let mut bytes = 0;
        for part in unknown.chunks(PART) {
            if bytes >= MOST_OPENED {
                break;
            }
            let answers = self.inner.read(part, until);
            for (Wanted { file, .. }, answer) in part.iter().zip(&answers) {
                self.note(file, answer.as_ref());
                bytes += size(file, answer.as_ref());
            }
            let asked = part.iter().map(|wanted| wanted.file.clone()).zip(answers);
            self.kept.borrow_mut().others.extend(asked);
        }
    }
}

impl ProcessInspector for RecordingHeads {
    fn cgroups(&mut self, wanted: &[(u64, u32)], until: Instant) -> Vec<Option<String>> {
        let paths = self.inner.cgroups(wanted, until);
        let asked = wanted.iter().map(|(id, _)| *id).zip(paths.iter().cloned());
        self.kept.borrow_mut().cgroups.extend(asked);
        paths
    }

    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>> {
        self.inner.all_pids(until)
    }

    /// Not recorded: no stage of a replay asks for it.
    fn inspect(
        &mut self,
        pids: &[u32],
        interest: Option<&Interest>,
        until: Instant,
    ) -> Option<Vec<ProcessDetails>> {
        self.inner.inspect(pids, interest, until)
    }
}

/// The heads of a recording.
#[derive(Clone, Debug, Default)]
pub struct RecordedHeads(Rc<RefCell<Recorded>>);

#[derive(Debug)]
struct Recorded {
    /// What was asked in this batch, in the order of the asking.
    now: HashMap<HeadRequest, VecDeque<Option<HeadResponse>>>,
    /// What that takes.
    now_bytes: usize,
    /// What else was opened in this batch.
    others: HashMap<HeadRequest, Option<HeadResponse>>,
    /// The last answer for each file: today's plugins may forget a verdict that was remembered then.
    before: Remembered<WhichFile, HeadResponse>,
    missing: MissingHeads,
}

/// Questions that a recording has no answer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingHeads {
    /// How many.
    pub count: u64,
    /// The path of the first one's file.
    pub first: Vec<u8>,
}

/// A file as it was: whoever opens it, its beginning is the same.
type WhichFile = (Vec<u8>, u32, u64, i128);

impl RecordedHeads {
    /// Takes the answers for the records that follow.
    pub fn add(&self, asked: Vec<HeadExchange>) {
        let mut known = self.0.borrow_mut();
        for (question, answer) in asked {
            known.remember(&question, answer.as_ref());
            if known.fits(&question, answer.as_ref()) {
                known.now.entry(question).or_default().push_back(answer);
            }
        }
    }

    /// Takes what else was opened with the records that follow.
    pub fn add_others(&self, asked: Vec<HeadExchange>) {
        let mut known = self.0.borrow_mut();
        for (question, answer) in asked {
            known.remember(&question, answer.as_ref());
            if known.fits(&question, answer.as_ref()) {
                known.others.insert(question, answer);
            }
        }
    }

    /// The records of these answers are through.
    pub fn batch_ends(&self) {
        let mut known = self.0.borrow_mut();
        known.now.clear();
        known.others.clear();
        known.now_bytes = 0;
    }

    /// What classifiers asked for in vain.
    pub fn missing(&self) -> MissingHeads {
        self.0.borrow().missing.clone()
    }
}

impl Default for Recorded {
    fn default() -> Recorded {
        Recorded {
            now: HashMap::new(),
            now_bytes: 0,
            others: HashMap::new(),
            before: Remembered::new(MOST_REMEMBERED, usize::MAX),
            missing: MissingHeads::default(),
        }
    }
}

impl Recorded {
    fn answer(&mut self, file: &HeadRequest) -> Option<HeadResponse> {
        if let Some(answers) = self.now.get_mut(file) {
            // Asked more often than then: the last answer holds.
            return if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
                .flatten();
        }
        let before = || self.before.get(&which(file)).cloned();
        self.others.get(file).cloned().unwrap_or_else(before)
    }

    /// Counts an answer for this batch; whether there is room for it.
    fn fits(&mut self, file: &HeadRequest, answer: Option<&HeadResponse>) -> bool {
        self.now_bytes += size(file, answer);
        self.now_bytes <= MOST_NOW
    }

    fn remember(&mut self, file: &HeadRequest, answer: Option<&HeadResponse>) {
        let Some(answer) = answer.filter(|answer| holds(answer)) else { return };
        let key = which(file);
        if answer.head.is_ok() || !self.before.has(&key) {
            self.before.insert(key, answer.clone(), size(file, Some(answer)));
        }
    }
}

impl HeadReader for RecordedHeads {
    fn read(&mut self, files: &[Wanted], _until: Instant) -> Vec<Option<HeadResponse>> {
        let mut known = self.0.borrow_mut();
        files.iter().map(|wanted| known.answer(&wanted.file)).collect()
    }

    fn on_cache_miss(&mut self, file: &HeadRequest) {
        let mut known = self.0.borrow_mut();
        // An answer that came too late for the classifiers of the recorded run is not missing from the recording.
        if known.now.contains_key(file) {
            return;
        }
        if known.missing.count == 0 {
            known.missing.first.clone_from(&file.path);
        }
        known.missing.count += 1;
    }
}

impl ProcessInspector for RecordedHeads {
    /// A recording has the paths in a frame before the records that need them.
    fn cgroups(&mut self, wanted: &[(u64, u32)], _until: Instant) -> Vec<Option<String>> {
        vec![None; wanted.len()]
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

/// Answers by file, bounded; the first one that came goes first.
#[derive(Debug)]
struct Remembered<K, V> {
    answers: HashMap<K, (V, usize)>,
    order: VecDeque<K>,
    bytes: usize,
    most_bytes: usize,
    most: usize,
}

impl<K: Clone + Eq + Hash, V> Remembered<K, V> {
    fn new(most_bytes: usize, most: usize) -> Self {
        Remembered { answers: HashMap::new(), order: VecDeque::new(), bytes: 0, most_bytes, most }
    }

    fn has(&self, key: &K) -> bool {
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
        while self.bytes > self.most_bytes || self.order.len() > self.most {
            let Some(first) = self.order.pop_front() else { break };
            self.bytes -= self.answers.remove(&first).map_or(0, |(_, bytes)| bytes);
        }
    }
}

/// Whether an answer is one for the file, and not only for this moment or this process.
fn holds(answer: &HeadResponse) -> bool {
    let passing = matches!(answer.head, Err(HeadRefusal::Gone | HeadRefusal::OtherTracer));
    answer.found == Found::Same && !passing
}

fn which(file: &HeadRequest) -> WhichFile {
    (file.path.clone(), file.dev, file.inode, file.ctime_ns)
}

/// What it takes to remember an answer.
fn size(file: &HeadRequest, answer: Option<&HeadResponse>) -> usize {
    let head = answer.and_then(|answer| answer.head.as_ref().ok()).map_or(0, Vec::len);
    head + 2 * file.path.len() + ENTRY
}

#[cfg(test)]
mod tests;
