//! The chain of classifiers, which determines the type of a file.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::bundled::{Bundled, CLASSIFIER};
use super::cache::{Cache, Key};
use super::contract::{Classify, Configured, Contract, Factory, RawVerdict};
use super::kind::GuestKind;
use super::scoped::{HeadSource, Scoped};
use super::slot::PluginSlot;
use super::state::State;
use super::validate::{check_word, labels};
use crypto_tracer_event::{
    FastHash, FileType, HeadOutcome, Label, OpenFlags, OpenedFile, PluginKind, Verdict, fast_hash,
    is_settled,
};
use crypto_tracer_system::clock::Clock;

/// Sets of the cache, of four entries each: 32 768 entries.
const SETS: usize = 8192;
/// Maximum bytes of labels in the cache.
const LABEL_BYTES: usize = 2 << 20;
/// Maximum number of verdicts on files that changed too recently to be cached.
const MAX_RECENT: usize = 64;
/// Maximum number of verdicts that are shared in a batch. Each may have labels of some kilobytes.
const MAX_BATCH: usize = 512;

pub(super) struct Classifier;

impl GuestKind for Classifier {
    const KIND: PluginKind = PluginKind::Classifier;
    const ACTION: &'static str = "next_classifier";
    const BUNDLED: Option<&'static Bundled> = Some(&CLASSIFIER);
    type Guest = dyn Classify;

    fn factory(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<dyn Classify>> {
        contract.classifier(pre)
    }

    fn configure(
        guest: &dyn Classify,
        store: &mut Store<State>,
        config: &str,
    ) -> Result<Configured> {
        guest.configure(store, config)
    }
}

/// All classifiers and their cached verdicts.
pub(super) struct Classifiers {
    pub(super) slots: Vec<PluginSlot<Classifier>>,
    verdicts: Cache<Arc<Verdict>>,
    /// Verdicts without labels. There are few, and many files share one.
    unlabelled: Vec<Arc<Verdict>>,
    /// The latest verdicts that are not cached, because the file may still change with the same ctime. They are used for
    /// the opens of another tracer's reader process, which come without a head just after a process has opened the file.
    recent: VecDeque<Recent>,
    /// Verdicts of this batch that are not cached: the classifiers are asked once, however often the file was opened.
    batch: HashMap<BatchKey, Verdict>,
    prediction: Prediction,
    clock: Clock,
}

impl Classifiers {
    /// `asks_reader`: whether a classifier can read heads. `cached`: whether verdicts are cached while the file is unchanged.
    pub(super) fn new(
        slots: Vec<PluginSlot<Classifier>>,
        asks_reader: bool,
        cached: bool,
        clock: Clock,
    ) -> Classifiers {
        Classifiers {
            slots,
            verdicts: if cached { Cache::new(SETS, LABEL_BYTES) } else { Cache::none() },
            unlabelled: Vec::new(),
            recent: VecDeque::new(),
            batch: HashMap::new(),
            prediction: Prediction {
                possible: asks_reader,
                seen: HashMap::with_hasher(fast_hash()),
            },
            clock,
        }
    }

    /// Begins a batch: numbers of heads are unique in a batch only.
    pub(super) fn start_batch(&mut self) {
        self.batch.clear();
    }

    /// Whether the classifiers are expected to read the head of the file.
    pub(super) fn wants_head(&self, file: &OpenedFile) -> bool {
        self.prediction.expects(file.path.file_name()) && !self.verdicts.peek(self.key(file))
    }

    pub(super) fn classify(
        &mut self,
        uid: u32,
        file: &OpenedFile,
        flags: u32,
        heads: &mut dyn HeadSource,
    ) -> Verdict {
        let is_empty = file.created || flags & OpenFlags::TRUNC != 0;
        let key = self.key(file);
        if !is_empty && let Some(verdict) = self.verdicts.get(key) {
            return Verdict::clone(verdict);
        }
        let in_batch = heads.number().map(|head| BatchKey { file: key, is_empty, uid, head });
        if let Some(verdict) = in_batch.as_ref().and_then(|in_batch| self.batch.get(in_batch)) {
            return verdict.clone();
        }
        let Answer { verdict, complete, head } = self.call(uid, file, heads);
        self.prediction.learn(file.path.file_name(), head.is_some());
        if head == Some(HeadOutcome::NotNeeded) {
            // A classifier requested the head: here `NotNeeded` means that another tracer's reader process opened the
            // file. A verdict without the head is valid for this open only.
            let known = self.recent.iter().find(|recent| recent.key == key);
            let known =
                known.map(|recent| Verdict { head: verdict.head, ..recent.verdict.clone() });
            return known.unwrap_or(verdict);
        }
        let head_is_final =
            matches!(verdict.head, HeadOutcome::NotNeeded | HeadOutcome::Read) && heads.holds();
        if complete && head_is_final && !is_empty {
            let now_ns = self.clock.file_time_ns();
            if is_settled(file.ctime_ns, now_ns) || self.is_settled_in_future(key, file, now_ns) {
                self.insert(key, &verdict);
            } else {
                self.insert_recent(key, &verdict, now_ns);
            }
        }
        if let Some(in_batch) = in_batch.filter(|_| self.batch.len() < MAX_BATCH) {
            self.batch.insert(in_batch, verdict.clone());
        }
        verdict
    }

    /// Whether a file with a change time in the future, for instance because the clock was set back, has not changed since
    /// the clock has moved: any later change gives it the time of that change.
    fn is_settled_in_future(&self, key: Key, file: &OpenedFile, now_ns: i128) -> bool {
        let first = self.recent.iter().find(|recent| recent.key == key);
        file.ctime_ns > now_ns && first.is_some_and(|first| is_settled(first.since_ns, now_ns))
    }

    /// Calls the classifiers in order, until one determines the type.
    fn call(&mut self, uid: u32, file: &OpenedFile, heads: &mut dyn HeadSource) -> Answer {
        let mut head_outcome = None;
        let mut verdict = Verdict {
            file_type: FileType::Unknown,
            labels: Vec::new(),
            classifier: None,
            head: HeadOutcome::NotNeeded,
            skipped: false,
        };
        let mut complete = true;
        let mut skipping = Vec::new();
        let in_scope = Scoped::File(file, RefCell::new(heads));
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let answer = slot.call(
                uid,
                &in_scope,
                |guest, store| guest.classify(store),
                |answer, state| {
                    let answer = answer.map(validated).transpose()?;
                    Ok((answer, state.head, state.skipped))
                },
            );
            let Some((answer, head, skipped)) = answer else {
                complete = false;
                continue;
            };
            head_outcome = head.or(head_outcome);
            verdict.head = head_outcome.unwrap_or_default();
            if skipped {
                skipping.push(at);
                continue;
            }
            let Some((file_type, labels)) = answer else { continue };
            // Label names are unique: the first plugin's label is kept.
            let known = verdict.labels.len();
            for label in labels {
                let names = verdict.labels.get(..known).unwrap_or_default();
                if names.iter().all(|known| known.name != label.name) {
                    verdict.labels.push(label);
                }
            }
            if let Some(file_type) = file_type {
                verdict.file_type = file_type;
                verdict.classifier = Some(slot.name.clone());
                break;
            }
        }
        verdict.skipped = verdict.classifier.is_none() && self.all_skip(file, &skipping);
        Answer { verdict, complete, head: head_outcome }
    }

    /// Whether every classifier whose interest has the file is among those that skip it, which are given by their positions.
    fn all_skip(&self, file: &OpenedFile, skipping: &[usize]) -> bool {
        let is_other = |(at, _): &(usize, &PluginSlot<Classifier>)| !skipping.contains(at);
        let mut others = self.slots.iter().enumerate().filter(is_other);
        let name = file.path.file_name();
        !skipping.is_empty() && !others.any(|(_, slot)| slot.interest.wants_file(name))
    }

    fn key(&self, file: &OpenedFile) -> Key {
        let path = &file.path;
        let path = (&path.bytes, path.unreachable, path.deleted, path.pseudo);
        self.verdicts.key((file.dev, file.inode, file.ctime_ns, file.size, path))
    }

    fn insert_recent(&mut self, key: Key, verdict: &Verdict, now_ns: i128) {
        let known = self.recent.iter().position(|recent| recent.key == key);
        let known = known.and_then(|index| self.recent.remove(index));
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        let since_ns = known.map_or(now_ns, |known| known.since_ns);
        self.recent.push_back(Recent { key, since_ns, verdict: verdict.clone() });
    }

    fn insert(&mut self, key: Key, verdict: &Verdict) {
        /// Maximum number of shared verdicts: usually one for each type and plugin.
        const MAX_UNLABELLED: usize = 256;
        if !verdict.labels.is_empty() {
            let label = |label: &Label| label.name.len() + label.value.len() + 64;
            let bytes = verdict.labels.iter().map(label).sum::<usize>() + 128;
            return self.verdicts.put(key, Arc::new(verdict.clone()), bytes);
        }
        let shared = self.unlabelled.iter().find(|known| ***known == *verdict).cloned();
        let shared = shared.unwrap_or_else(|| {
            let shared = Arc::new(verdict.clone());
            if self.unlabelled.len() < MAX_UNLABELLED {
                self.unlabelled.push(shared.clone());
            }
            shared
        });
        self.verdicts.put(key, shared, 0);
    }
}

/// A verdict on a file that changed recently.
struct Recent {
    key: Key,
    /// When the file was first seen with this change time, in nanoseconds since 1970.
    since_ns: i128,
    verdict: Verdict,
}

/// Opens of a batch for which the answers of the classifiers are equal. A classifier may back off for one user.
#[derive(PartialEq, Eq, Hash)]
struct BatchKey {
    file: Key,
    is_empty: bool,
    uid: u32,
    head: usize,
}

/// Answer of the chain.
struct Answer {
    verdict: Verdict,
    /// No call failed.
    complete: bool,
    /// Outcome of reading the head, if a classifier read it.
    head: Option<HeadOutcome>,
}

type Validated = (Option<FileType>, Vec<Label>);

fn validated(verdict: RawVerdict) -> std::result::Result<Validated, String> {
    if let Some(FileType::Other(text)) = &verdict.file_type {
        check_word(text)?;
    }
    Ok((verdict.file_type, labels(verdict.labels)?))
}

/// Whether classifiers have read the heads of files with this extension, or with this name if it has no extension.
struct Prediction {
    /// A classifier imports a function that reads heads or what comes with them.
    possible: bool,
    /// Users choose the names, but the fast hash has a random seed, and with at most [`Prediction::MAX`] entries even
    /// collisions of all of them cost little.
    seen: HashMap<Box<[u8]>, bool, FastHash>,
}

impl Prediction {
    /// Maximum number of extensions and names: more than the kernel's tables hold.
    const MAX: usize = 512;

    fn expects(&self, name: &[u8]) -> bool {
        self.possible && self.seen.get(extension(name)).copied().unwrap_or(true)
    }

    /// A head that was read once is expected to be read again.
    fn learn(&mut self, name: &[u8], read: bool) {
        if !self.possible {
            return;
        }
        if let Some(known) = self.seen.get_mut(extension(name)) {
            *known |= read;
        } else if self.seen.len() < Self::MAX {
            self.seen.insert(extension(name).into(), read);
        }
    }
}

fn extension(name: &[u8]) -> &[u8] {
    let dot = name.iter().rposition(|&byte| byte == b'.').unwrap_or(0);
    name.get(dot..).unwrap_or_default()
}
