//! The beginnings of files: those of one drain are asked for together, before the classifiers look.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::event::{EnrichedEvent, EnrichedWhat, HeadOutcome, OpenedFile, ProcessFacts};
use crate::interest::Interest;
use crate::plugin::Plugins;
use crate::reader::{HeadAnswer, HeadQuestion, LookedAt, News, Reader, Refusal, Wanted};
use crate::stats::Usage;
use crate::stop::Stop;

/// How long the heads of one drain are waited for, all together.
pub(super) const WAIT: Duration = Duration::from_millis(50);

/// File systems that are never touched: somebody else decides when, and whether, they answer.
const REMOTE: [u32; 16] = [
    0x6573_5546, // FUSE
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS (OpenAFS)
    0x6b41_4653, // AFS (kAFS)
    0x7375_7245, // Coda
    0x0102_1997, // 9P
    0x0bd0_0bd0, // Lustre
    0x1980_0202, // MQUEUE, no files
    0x0187,      // autofs
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0x2003_0528, // OrangeFS
];

/// Who reads files and `/proc`.
pub trait AskHeads: std::fmt::Debug {
    /// Answers in order, not later than `until`; None is one that did not come.
    fn ask(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadAnswer>>;

    /// Paths of cgroups in order, not later than `until`; each id comes with a process that was in it. None: it is not to be
    /// found. Fewer than were asked for: the others were not answered.
    fn cgroups(&mut self, wanted: &[(u64, u32)], until: Instant) -> Vec<Option<String>>;

    /// All process ids there are. None: they did not come by `until`.
    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>>;

    /// Looks into these processes; without an interest only at who they are. None: not all came by `until`.
    fn look(&mut self, pids: &[u32], interest: Option<&Interest>, until: Instant) -> Looked;

    /// What became of the reader since the last time, if anything. A new one is asked nothing until it was told here.
    fn news(&mut self) -> Option<News> {
        None
    }

    /// What the reader has used, if there is one that says so by `until`.
    fn usage(&mut self, until: Instant) -> Option<Usage> {
        let _ = until;
        None
    }
}

/// Those processes that are there; None: not all came in time.
pub type Looked = Option<Vec<LookedAt>>;

/// The reader of a live run.
#[derive(Debug)]
pub struct ReaderHeads {
    /// The process.
    pub reader: Reader,
    /// Ends the waiting.
    pub stop: Stop,
}

impl AskHeads for ReaderHeads {
    fn ask(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadAnswer>> {
        self.reader.heads(files, until, &self.stop)
    }

    fn cgroups(&mut self, wanted: &[(u64, u32)], until: Instant) -> Vec<Option<String>> {
        self.reader.cgroups(wanted, until, &self.stop)
    }

    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>> {
        self.reader.all_pids(until, &self.stop)
    }

    fn look(&mut self, pids: &[u32], interest: Option<&Interest>, until: Instant) -> Looked {
        self.reader.look(pids, interest, until, &self.stop)
    }

    fn news(&mut self) -> Option<News> {
        self.reader.news()
    }

    fn usage(&mut self, until: Instant) -> Option<Usage> {
        self.reader.usage(until)
    }
}

/// A question and what came back.
pub type Asked = (HeadQuestion, Option<HeadAnswer>);

/// Keeps what was asked, for a recording.
#[derive(Debug)]
pub struct KeptHeads {
    /// Who reads files.
    pub inner: Box<dyn AskHeads>,
    /// What was asked since somebody took it.
    pub kept: Rc<RefCell<Kept>>,
}

/// Questions and answers between two batches.
#[derive(Debug, Default)]
pub struct Kept {
    /// Heads.
    pub heads: Vec<Asked>,
    /// Paths of cgroups.
    pub cgroups: Vec<(u64, Option<String>)>,
}

impl AskHeads for KeptHeads {
    fn ask(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadAnswer>> {
        let answers = self.inner.ask(files, until);
        let asked = files.iter().map(|wanted| wanted.file.clone()).zip(answers.iter().cloned());
        self.kept.borrow_mut().heads.extend(asked);
        answers
    }

    fn cgroups(&mut self, wanted: &[(u64, u32)], until: Instant) -> Vec<Option<String>> {
        let paths = self.inner.cgroups(wanted, until);
        let asked = wanted.iter().map(|(id, _)| *id).zip(paths.iter().cloned());
        self.kept.borrow_mut().cgroups.extend(asked);
        paths
    }

    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>> {
        self.inner.all_pids(until)
    }

    /// Not kept: a recording is for streams.
    fn look(&mut self, pids: &[u32], interest: Option<&Interest>, until: Instant) -> Looked {
        self.inner.look(pids, interest, until)
    }

    fn news(&mut self) -> Option<News> {
        self.inner.news()
    }

    fn usage(&mut self, until: Instant) -> Option<Usage> {
        self.inner.usage(until)
    }
}

/// The heads of a recording.
#[derive(Clone, Debug, Default)]
pub struct RecordedHeads(Rc<RefCell<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    /// What was asked in this batch, in the order of the asking.
    now: HashMap<HeadQuestion, VecDeque<Option<HeadAnswer>>>,
    /// What that takes.
    now_bytes: usize,
    /// The last answer for each file: today's plugins may forget a verdict that was remembered then.
    before: HashMap<WhichFile, HeadAnswer>,
    /// The same files, as they came: the first goes first.
    order: VecDeque<WhichFile>,
    bytes: usize,
}

/// A file as it was: whoever opens it, its beginning is the same.
type WhichFile = (Vec<u8>, u32, u64, i128);

/// Bytes of heads that a replay remembers.
const MOST_REMEMBERED: usize = 64 << 20;
/// Bytes of answers before their records: those of one frame fit. More would be a recording that was made up.
const MOST_NOW: usize = 128 << 20;

impl RecordedHeads {
    /// Takes the answers for the records that follow.
    pub fn add(&self, asked: Vec<Asked>) {
        let mut known = self.0.borrow_mut();
        for (question, answer) in asked {
            if let Some(answer) = answer.as_ref().filter(|answer| answer.head.is_ok()) {
                known.remember(&question, answer);
            }
            known.now_bytes += takes(&question.path, answer.as_ref());
            if known.now_bytes <= MOST_NOW {
                known.now.entry(question).or_default().push_back(answer);
            }
        }
    }

    /// The records of these answers are through.
    pub fn batch_ends(&self) {
        let mut known = self.0.borrow_mut();
        known.now.clear();
        known.now_bytes = 0;
    }
}

impl Recorded {
    fn answer(&mut self, file: &HeadQuestion) -> Option<HeadAnswer> {
        if let Some(answers) = self.now.get_mut(file) {
            // Asked more often than then: the last answer holds.
            return if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
                .flatten();
        }
        self.before.get(&which(file)).cloned()
    }

    fn remember(&mut self, file: &HeadQuestion, answer: &HeadAnswer) {
        let file = which(file);
        self.bytes += takes(&file.0, Some(answer));
        match self.before.insert(file.clone(), answer.clone()) {
            Some(old) => self.bytes -= takes(&file.0, Some(&old)),
            None => self.order.push_back(file),
        }
        while self.bytes > MOST_REMEMBERED {
            let Some(first) = self.order.pop_front() else { break };
            let gone = self.before.remove(&first);
            self.bytes -= gone.map_or(0, |gone| takes(&first.0, Some(&gone)));
        }
    }
}

/// Bytes that an answer takes, about: the path is in two places.
fn takes(path: &[u8], answer: Option<&HeadAnswer>) -> usize {
    let head = answer.and_then(|answer| answer.head.as_ref().ok()).map_or(0, Vec::len);
    head + 2 * path.len() + 256
}

fn which(file: &HeadQuestion) -> WhichFile {
    (file.path.clone(), file.dev, file.inode, file.ctime_ns)
}

impl AskHeads for RecordedHeads {
    fn ask(&mut self, files: &[Wanted], _until: Instant) -> Vec<Option<HeadAnswer>> {
        let mut known = self.0.borrow_mut();
        files.iter().map(|wanted| known.answer(&wanted.file)).collect()
    }

    /// The recording says them before the records are processed.
    fn cgroups(&mut self, wanted: &[(u64, u32)], _until: Instant) -> Vec<Option<String>> {
        vec![None; wanted.len()]
    }

    /// Nobody is there any more.
    fn all_pids(&mut self, _: Instant) -> Option<Vec<u32>> {
        None
    }

    fn look(&mut self, _: &[u32], _: Option<&Interest>, _: Instant) -> Looked {
        None
    }
}

/// The heads of one drain.
#[derive(Debug)]
pub(super) struct Heads<'a> {
    from: &'a mut dyn AskHeads,
    until: Instant,
    /// What came back, by the event's place in the drain.
    fetched: HashMap<usize, Option<HeadAnswer>>,
}

impl<'a> Heads<'a> {
    /// Asks for all heads that the classifiers will likely want.
    pub(super) fn fetch(
        from: &'a mut dyn AskHeads,
        plugins: &Plugins,
        events: &[EnrichedEvent],
    ) -> Heads<'a> {
        let until = Instant::now() + WAIT;
        let wanted = events.iter().enumerate().filter_map(|(at, event)| match &event.what {
            EnrichedWhat::FileOpen { file, .. } => {
                let wanted = plugins.wants_head(file) && !is_remote(file);
                wanted.then(|| (at, question(&event.process, file)))
            }
            _ => None,
        });
        let (places, questions): (Vec<usize>, Vec<Wanted>) = wanted.unzip();
        let answers = if questions.is_empty() { Vec::new() } else { from.ask(&questions, until) };
        Heads { from, until, fetched: places.into_iter().zip(answers).collect() }
    }

    /// The head of the event at this place.
    pub(super) fn of<'b>(
        &'b mut self,
        at: usize,
        process: &'b ProcessFacts,
        file: &'b OpenedFile,
    ) -> HeadOf<'a, 'b> {
        HeadOf { heads: self, at, process, file }
    }
}

/// The head of one file, for the classifiers.
#[derive(Debug)]
pub(super) struct HeadOf<'a, 'b> {
    heads: &'b mut Heads<'a>,
    at: usize,
    process: &'b ProcessFacts,
    file: &'b OpenedFile,
}

impl crate::plugin::Heads for HeadOf<'_, '_> {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        if is_remote(self.file) {
            return (&[], HeadOutcome::Remote);
        }
        match self.answer().map(|answer| &answer.head) {
            Some(Ok(head)) => (head, HeadOutcome::Read),
            Some(Err(Refusal::Gone)) => (&[], HeadOutcome::Gone),
            Some(Err(Refusal::Denied)) => (&[], HeadOutcome::Denied),
            None => (&[], HeadOutcome::Late),
        }
    }

    fn size(&mut self) -> Option<u64> {
        if is_remote(self.file) { None } else { self.answer()?.size }
    }
}

impl HeadOf<'_, '_> {
    fn answer(&mut self) -> Option<&HeadAnswer> {
        let Heads { from, until, fetched } = self.heads;
        let answer = fetched.entry(self.at).or_insert_with(|| {
            // Nobody expected this plugin to ask.
            from.ask(&[question(self.process, self.file)], *until).pop().flatten()
        });
        answer.as_ref()
    }
}

fn is_remote(file: &OpenedFile) -> bool {
    file.foreign_user_ns || REMOTE.contains(&file.sb_magic)
}

fn question(process: &ProcessFacts, file: &OpenedFile) -> Wanted {
    let question = HeadQuestion {
        pid: process.key.tgid,
        nameless: file.path.deleted || file.path.unreachable || file.path.pseudo,
        mount_ns: process.mount_ns,
        root: process.root,
        path: file.path.bytes.clone(),
        dev: file.dev,
        inode: file.inode,
        ctime_ns: file.ctime_ns,
        sb_magic: file.sb_magic,
    };
    Wanted { file: question, uid: process.uid, size: file.size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pid: u32, path: &str) -> HeadQuestion {
        HeadQuestion {
            pid,
            nameless: false,
            mount_ns: 1,
            root: (1, 2),
            path: path.into(),
            dev: 3,
            inode: 4,
            ctime_ns: 5,
            sb_magic: 6,
        }
    }

    fn answer(head: &[u8]) -> Option<HeadAnswer> {
        Some(HeadAnswer { size: Some(head.len() as u64), head: Ok(head.to_vec()) })
    }

    fn ask(heads: &RecordedHeads, file: &HeadQuestion) -> Option<HeadAnswer> {
        let now = Instant::now();
        let wanted = Wanted { file: file.clone(), uid: 0, size: 0 };
        heads.clone().ask(&[wanted], now).pop().flatten()
    }

    #[test]
    fn answers_come_in_the_order_of_then() {
        let heads = RecordedHeads::default();
        let asked = file(1, "/a.pem");
        heads.add(vec![(asked.clone(), answer(b"1")), (asked.clone(), answer(b"2"))]);
        let told: Vec<_> = (0..3).map(|_| ask(&heads, &asked)).collect();
        assert_eq!(told, [answer(b"1"), answer(b"2"), answer(b"2")]);
    }

    #[test]
    fn what_was_remembered_then_is_known_whoever_opens_it() {
        let heads = RecordedHeads::default();
        heads.add(vec![(file(1, "/a.pem"), answer(b"1")), (file(1, "/gone.pem"), None)]);
        heads.batch_ends();
        assert_eq!(ask(&heads, &file(2, "/a.pem")), answer(b"1"));
        assert_eq!(ask(&heads, &file(1, "/gone.pem")), None);
        let changed = HeadQuestion { ctime_ns: 6, ..file(1, "/a.pem") };
        assert_eq!(ask(&heads, &changed), None);
        // What did not come then does not come now.
        heads.add(vec![(file(3, "/a.pem"), None)]);
        assert_eq!(ask(&heads, &file(3, "/a.pem")), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let heads = RecordedHeads::default();
        let many = MOST_REMEMBERED / (64 << 10) + 10;
        for at in 0..many {
            heads.add(vec![(file(1, &format!("/{at}")), answer(&[0; 64 << 10]))]);
            heads.batch_ends();
        }
        assert!(heads.0.borrow().bytes <= MOST_REMEMBERED);
        assert_eq!(heads.0.borrow().order.len(), heads.0.borrow().before.len());
        assert_eq!(ask(&heads, &file(1, "/0")), None);
        assert!(ask(&heads, &file(1, &format!("/{}", many - 1))).is_some());
    }
}
