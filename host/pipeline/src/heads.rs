//! The beginnings of files: those of one drain are asked for together, before the classifiers look.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{EnrichedEvent, EnrichedWhat, HeadOutcome, OpenedFile, ProcessFacts};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_reader::{
    Found, HeadRefusal, HeadRequest, HeadResponse, MaybeReader, ProcessDetails, ReaderClient,
    ReaderEvent, Wanted, may_be_readers_open,
};
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::usage::ResourceUsage;

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
pub trait HeadReader: std::fmt::Debug {
    /// Answers in order, not later than `until`; None is one that did not come.
    fn ask(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadResponse>>;

    /// Paths of cgroups in order, not later than `until`; each id comes with a process that was in it. None: it is not to be
    /// found. Fewer than were asked for: the others were not answered.
    fn cgroups(&mut self, wanted: &[(u64, u32)], until: Instant) -> Vec<Option<String>>;

    /// All process ids there are. None: they did not come by `until`.
    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>>;

    /// Looks into these processes; without an interest only at who they are. None: not all came by `until`.
    fn look(&mut self, pids: &[u32], interest: Option<&Interest>, until: Instant) -> Inspected;

    /// Whether somebody wants to be told of [`HeadReader::opened`] files.
    fn keeps_all(&self) -> bool {
        false
    }

    /// Files that were opened, whether a classifier wants to see their beginnings or not.
    fn opened(&mut self, files: &[Wanted], until: Instant) {
        let _ = (files, until);
    }

    /// A classifier looked for this file's beginning, and no answer was there.
    fn on_cache_miss(&mut self, file: &HeadRequest) {
        let _ = file;
    }

    /// What became of the reader since the last time, if anything. A new one is asked nothing until it was told here.
    fn news(&mut self) -> Option<ReaderEvent> {
        None
    }

    /// What the reader has used, if there is one that says so by `until`.
    fn usage(&mut self, until: Instant) -> Option<ResourceUsage> {
        let _ = until;
        None
    }
}

/// Those processes that are there; None: not all came in time.
pub type Inspected = Option<Vec<ProcessDetails>>;

/// The reader of a live run.
#[derive(Debug)]
pub struct ReaderHeads {
    /// The process.
    pub reader: ReaderClient,
    /// Ends the waiting.
    pub shutdown: Shutdown,
}

impl HeadReader for ReaderHeads {
    fn ask(&mut self, files: &[Wanted], until: Instant) -> Vec<Option<HeadResponse>> {
        self.reader.heads(files, until, &self.shutdown)
    }

    fn cgroups(&mut self, wanted: &[(u64, u32)], until: Instant) -> Vec<Option<String>> {
        self.reader.cgroups(wanted, until, &self.shutdown)
    }

    fn all_pids(&mut self, until: Instant) -> Option<Vec<u32>> {
        self.reader.all_pids(until, &self.shutdown)
    }

    fn look(&mut self, pids: &[u32], interest: Option<&Interest>, until: Instant) -> Inspected {
        self.reader.look(pids, interest, until, &self.shutdown)
    }

    fn news(&mut self) -> Option<ReaderEvent> {
        self.reader.news()
    }

    fn usage(&mut self, until: Instant) -> Option<ResourceUsage> {
        self.reader.usage(until)
    }
}

/// The heads of one drain.
#[derive(Debug)]
pub(super) struct BatchHeads<'a> {
    from: &'a mut dyn HeadReader,
    until: Instant,
    /// What came back, by the event's place in the drain.
    fetched: HashMap<usize, Option<HeadResponse>>,
}

impl<'a> BatchHeads<'a> {
    /// Asks for all heads that the classifiers will likely want.
    pub(super) fn fetch(
        from: &'a mut dyn HeadReader,
        plugins: &Plugins,
        events: &[EnrichedEvent],
    ) -> BatchHeads<'a> {
        let until = Instant::now() + WAIT;
        let wanted = events.iter().enumerate().filter_map(|(at, event)| match &event.what {
            EnrichedWhat::FileOpen { file, flags } => {
                let wanted = plugins.wants_head(file) && may_be_read(file);
                wanted.then(|| (at, question(&event.process, file, *flags)))
            }
            _ => None,
        });
        let (places, questions): (Vec<usize>, Vec<Wanted>) = wanted.unzip();
        let answers = if questions.is_empty() { Vec::new() } else { from.ask(&questions, until) };
        if from.keeps_all() {
            from.opened(&opened(events), until);
        }
        BatchHeads { from, until, fetched: places.into_iter().zip(answers).collect() }
    }

    /// The head of the event at this place.
    pub(super) fn of<'b>(
        &'b mut self,
        at: usize,
        process: &'b ProcessFacts,
        file: &'b OpenedFile,
        flags: u32,
    ) -> EventHead<'a, 'b> {
        EventHead { heads: self, at, process, file, flags, missed: false }
    }
}

/// The head of one file, for the classifiers.
#[derive(Debug)]
pub(super) struct EventHead<'a, 'b> {
    heads: &'b mut BatchHeads<'a>,
    at: usize,
    process: &'b ProcessFacts,
    file: &'b OpenedFile,
    flags: u32,
    /// There is no answer, which was told.
    missed: bool,
}

impl crypto_tracer_plugin::HeadSource for EventHead<'_, '_> {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        // What is written to a new file would be seen or not, by chance.
        if self.file.created {
            return (&[], HeadOutcome::Created);
        }
        if is_remote(self.file) {
            return (&[], HeadOutcome::Remote);
        }
        let Some(HeadResponse { head, found, .. }) = self.answer() else {
            return (&[], HeadOutcome::Late);
        };
        match (head, found) {
            (Ok(head), Found::Same | Found::Changed) => (head, HeadOutcome::Read),
            (Ok(head), Found::Replaced) => (head, HeadOutcome::Replaced),
            (Err(HeadRefusal::Gone), _) => (&[], HeadOutcome::Gone),
            (Err(HeadRefusal::Denied), _) => (&[], HeadOutcome::Denied),
            (Err(HeadRefusal::OtherTracer), _) => (&[], HeadOutcome::NotNeeded),
        }
    }

    fn size(&mut self) -> Option<u64> {
        if self.file.created {
            return Some(0);
        }
        if is_remote(self.file) {
            return None;
        }
        let answer = self.answer()?;
        // The file was not looked at: its size is the kernel's, at the open.
        let not_looked_at = answer.head == Err(HeadRefusal::OtherTracer);
        let size = answer.size;
        if not_looked_at { Some(self.file.size) } else { size }
    }

    fn holds(&self) -> bool {
        let answer = self.heads.fetched.get(&self.at).and_then(Option::as_ref);
        answer.is_none_or(|answer| answer.found == Found::Same)
    }
}

impl EventHead<'_, '_> {
    fn answer(&mut self) -> Option<&HeadResponse> {
        let BatchHeads { from, until, fetched } = self.heads;
        let answer = fetched.entry(self.at).or_insert_with(|| {
            // Nobody expected this plugin to ask.
            from.ask(&[question(self.process, self.file, self.flags)], *until).pop().flatten()
        });
        if answer.is_none() && !std::mem::replace(&mut self.missed, true) {
            from.on_cache_miss(&question(self.process, self.file, self.flags).file);
        }
        answer.as_ref()
    }
}

/// All files of these events whose beginnings may be looked at.
fn opened(events: &[EnrichedEvent]) -> Vec<Wanted> {
    let files = events.iter().filter_map(|event| match &event.what {
        EnrichedWhat::FileOpen { file, flags } => {
            may_be_read(file).then(|| question(&event.process, file, *flags))
        }
        _ => None,
    });
    files.collect()
}

fn may_be_read(file: &OpenedFile) -> bool {
    !file.created && !is_remote(file)
}

fn is_remote(file: &OpenedFile) -> bool {
    file.foreign_user_ns || REMOTE.contains(&file.sb_magic)
}

fn question(process: &ProcessFacts, file: &OpenedFile, flags: u32) -> Wanted {
    let key = process.key;
    let maybe_reader =
        may_be_readers_open(flags).then_some(MaybeReader { pid: key.tgid, start_ns: key.start_ns });
    let question = HeadRequest {
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
    Wanted { file: question, uid: process.uid, size: file.size, maybe_reader }
}
