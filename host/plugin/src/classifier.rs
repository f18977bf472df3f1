//! The chain of classifiers: what is this file.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
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
    FileType, HeadOutcome, Label, OpenFlags, OpenedFile, PluginKind, Verdict, is_settled,
};

/// Sets of four verdicts: 32 768 in all.
const SETS: usize = 8192;
/// Bytes of labels that are remembered.
const LABEL_BYTES: usize = 2 << 20;
/// Verdicts on files that have changed too recently to remember them.
const MOST_RECENT: usize = 64;

pub(super) struct Classifier;

impl GuestKind for Classifier {
    const KIND: PluginKind = PluginKind::Classifier;
    const ACTION: &'static str = "next_classifier";
    const BUNDLED: Option<&'static Bundled> = Some(&CLASSIFIER);
    type Guest = dyn Classify;

    fn maker(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<dyn Classify>> {
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

/// All classifiers and their answers.
pub(super) struct Classifiers {
    pub(super) slots: Vec<PluginSlot<Classifier>>,
    verdicts: Cache<Arc<Verdict>>,
    /// Verdicts without labels: there are few, and many files share one.
    plain: Vec<Arc<Verdict>>,
    /// The last verdicts that are not remembered, as the file may change unseen. They hold for an open that brings no
    /// head with it: what another tracer's reader opens, a process has just opened.
    recent: VecDeque<(Key, Verdict)>,
    prediction: Prediction,
    /// Wall clock of a replay, in nanoseconds; None: the machine's.
    pub(super) now_ns: Option<i128>,
}

impl Classifiers {
    /// `remember`: whether a verdict holds for as long as the file is unchanged.
    pub(super) fn new(
        slots: Vec<PluginSlot<Classifier>>,
        may_ask_for_heads: bool,
        remember: bool,
    ) -> Classifiers {
        Classifiers {
            slots,
            verdicts: if remember { Cache::new(SETS, LABEL_BYTES) } else { Cache::none() },
            plain: Vec::new(),
            recent: VecDeque::new(),
            prediction: Prediction { possible: may_ask_for_heads, seen: HashMap::new() },
            now_ns: None,
        }
    }

    /// Whether the classifiers will likely want to see the file's beginning.
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
        let emptied = file.created || flags & OpenFlags::TRUNC != 0;
        let key = self.key(file);
        if !emptied && let Some(verdict) = self.verdicts.get(key) {
            return Verdict::clone(verdict);
        }
        let Asked { verdict, sure, head } = self.ask(uid, file, heads);
        self.prediction.learn(file.path.file_name(), head.is_some());
        if head == Some(HeadOutcome::NotNeeded) {
            // Another tracer's reader opened it. What is said without the head holds for this open alone.
            let known = self.recent.iter().find(|(known, _)| *known == key);
            let known = known.map(|(_, known)| Verdict { head: verdict.head, ..known.clone() });
            return known.unwrap_or(verdict);
        }
        let came =
            matches!(verdict.head, HeadOutcome::NotNeeded | HeadOutcome::Read) && heads.holds();
        if sure && came && !emptied {
            if is_settled(file.ctime_ns, self.now_ns.unwrap_or_else(wall_ns)) {
                self.remember(key, &verdict);
            } else {
                self.remember_for_now(key, &verdict);
            }
        }
        verdict
    }

    /// Asks one after the other, until one knows the type.
    fn ask(&mut self, uid: u32, file: &OpenedFile, heads: &mut dyn HeadSource) -> Asked {
        let mut asked_for_head = None;
        let mut verdict = Verdict {
            file_type: FileType::Unknown,
            labels: Vec::new(),
            classifier: None,
            head: HeadOutcome::NotNeeded,
        };
        let mut sure = true;
        let in_scope = Scoped::File(file, RefCell::new(heads));
        for slot in &mut self.slots {
            let answer = slot.call(
                uid,
                &in_scope,
                |guest, store| guest.classify(store),
                |answer, state| Ok((answer.map(judged).transpose()?, state.head)),
            );
            let Some((answer, head)) = answer else {
                sure = false;
                continue;
            };
            asked_for_head = head.or(asked_for_head);
            verdict.head = asked_for_head.unwrap_or_default();
            let Some((file_type, labels)) = answer else { continue };
            // An object has each name once: the first plugin's word stays.
            let known = verdict.labels.len();
            for label in labels {
                let names = verdict.labels.get(..known).unwrap_or_default();
                if names.iter().all(|there| there.name != label.name) {
                    verdict.labels.push(label);
                }
            }
            if let Some(file_type) = file_type {
                verdict.file_type = file_type;
                verdict.classifier = Some(slot.name.clone());
                break;
            }
        }
        Asked { verdict, sure, head: asked_for_head }
    }

    fn key(&self, file: &OpenedFile) -> Key {
        let path = &file.path;
        let place = (&path.bytes, path.unreachable, path.deleted, path.pseudo);
        self.verdicts.key((file.dev, file.inode, file.ctime_ns, file.size, place))
    }

    fn remember_for_now(&mut self, key: Key, verdict: &Verdict) {
        self.recent.retain(|(known, _)| *known != key);
        if self.recent.len() >= MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((key, verdict.clone()));
    }

    fn remember(&mut self, key: Key, verdict: &Verdict) {
        /// Kinds of verdicts without labels: one for each type and plugin, as a rule.
        const MOST_PLAIN: usize = 256;
        if !verdict.labels.is_empty() {
            let label = |label: &Label| label.name.len() + label.value.len() + 64;
            let bytes = verdict.labels.iter().map(label).sum::<usize>() + 128;
            return self.verdicts.put(key, Arc::new(verdict.clone()), bytes);
        }
        let shared = self.plain.iter().find(|plain| ***plain == *verdict).cloned();
        let shared = shared.unwrap_or_else(|| {
            let shared = Arc::new(verdict.clone());
            if self.plain.len() < MOST_PLAIN {
                self.plain.push(shared.clone());
            }
            shared
        });
        self.verdicts.put(key, shared, 0);
    }
}

/// What the classifiers said.
struct Asked {
    verdict: Verdict,
    /// Every classifier that was asked answered.
    sure: bool,
    /// What became of the head, if one asked for it.
    head: Option<HeadOutcome>,
}

type Judged = (Option<FileType>, Vec<Label>);

fn judged(judgement: RawVerdict) -> std::result::Result<Judged, String> {
    if let Some(FileType::Other(text)) = &judgement.file_type {
        check_word(text)?;
    }
    Ok((judgement.file_type, labels(judgement.labels)?))
}

fn wall_ns() -> i128 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// Which files' beginnings were asked for, by the ending of the name, or the whole name where it has none.
struct Prediction {
    /// A classifier imports the question and may ask it.
    possible: bool,
    seen: HashMap<Box<[u8]>, bool>,
}

impl Prediction {
    /// Endings and names that are remembered: more than the kernel's tables hold.
    const MOST: usize = 512;

    fn expects(&self, name: &[u8]) -> bool {
        self.possible && self.seen.get(ending(name)).copied().unwrap_or(true)
    }

    /// What was asked for once is expected from then on.
    fn learn(&mut self, name: &[u8], asked: bool) {
        if !self.possible {
            return;
        }
        if let Some(known) = self.seen.get_mut(ending(name)) {
            *known |= asked;
        } else if self.seen.len() < Self::MOST {
            self.seen.insert(ending(name).into(), asked);
        }
    }
}

fn ending(name: &[u8]) -> &[u8] {
    let dot = name.iter().rposition(|&byte| byte == b'.').unwrap_or(0);
    name.get(dot..).unwrap_or_default()
}
