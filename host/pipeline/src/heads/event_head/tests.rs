use super::*;
use crypto_tracer_event::testkit;

/// Change time of the file at the open.
const CHANGED_NS: i128 = 5000;
const NFS: u32 = 0x6969;

/// Answers each request with this, and counts the requests.
#[derive(Debug)]
struct Answers(Option<HeadResponse>, usize);

impl HeadReader for Answers {
    fn read(&mut self, files: &[Wanted], _: Instant) -> Vec<Option<HeadResponse>> {
        self.1 += files.len();
        vec![self.0.clone(); files.len()]
    }

    fn visible(&mut self, _: &Wanted, _: Instant) -> Option<HeadResponse> {
        self.0.clone()
    }
}

fn answer(changed_ns: i128) -> HeadResponse {
    let stat = Some(FileStat { mode: 0o100_640, changed_ns, ..FileStat::default() });
    HeadResponse {
        head: Ok(b"x".to_vec()),
        size: Some(1),
        found: Found::Same,
        stat,
        blocks: Vec::new(),
    }
}

fn opened() -> OpenedFile {
    OpenedFile { ctime_ns: CHANGED_NS, size: 1, ..testkit::file("/a.pem") }
}

/// The mode, the outcome, whether the results hold, and the number of requests.
fn stat(
    answer: Option<HeadResponse>,
    file: &OpenedFile,
) -> (Option<u32>, HeadOutcome, bool, usize) {
    let mut reader = Answers(answer, 0);
    let process = ProcessFacts::default();
    let from = (&mut reader as &mut dyn HeadReader, Instant::now());
    let mut head = EventHead::new(from, Prefetch::NotRequested, &process, file, 0, false);
    let (first, outcome) = head.stat();
    assert_eq!(head.stat(), (first, outcome), "the same for the whole event");
    let holds = head.holds();
    (first.map(|stat| stat.mode), outcome, holds, reader.1)
}

#[test]
fn metadata_comes_with_the_head() {
    let (mode, outcome, holds, requests) = stat(Some(answer(CHANGED_NS)), &opened());
    assert_eq!((mode, outcome, holds, requests), (Some(0o100_640), HeadOutcome::Read, true, 1));
    let late = stat(None, &opened());
    assert_eq!((late.0, late.1), (None, HeadOutcome::Late));
    let gone = stat(Some(HeadResponse::refused(HeadRefusal::Gone)), &opened());
    assert_eq!((gone.0, gone.1), (None, HeadOutcome::Gone));
    // The content is denied, but the metadata is not.
    let denied = HeadResponse { head: Err(HeadRefusal::Denied), ..answer(CHANGED_NS) };
    let denied = stat(Some(denied), &opened());
    assert_eq!((denied.0, denied.1), (Some(0o100_640), HeadOutcome::Denied));
}

#[test]
fn metadata_of_created_and_remote_files_is_not_requested() {
    let created = OpenedFile { created: true, ..opened() };
    assert_eq!(stat(Some(answer(CHANGED_NS)), &created), (None, HeadOutcome::Created, true, 0));
    let remote = OpenedFile { sb_magic: NFS, ..opened() };
    assert_eq!(stat(Some(answer(CHANGED_NS)), &remote), (None, HeadOutcome::Remote, true, 0));
}

/// The key of the verdict cache has the change time at the open.
#[test]
fn a_verdict_by_metadata_of_another_time_does_not_hold() {
    assert!(!stat(Some(answer(CHANGED_NS + 1)), &opened()).2, "chmod after the open");
    assert!(!stat(Some(HeadResponse { stat: None, ..answer(0) }), &opened()).2, "an old recording");
    let mut reader = Answers(Some(answer(CHANGED_NS + 1)), 0);
    let (process, file) = (ProcessFacts::default(), opened());
    let from = (&mut reader as &mut dyn HeadReader, Instant::now());
    let mut head = EventHead::new(from, Prefetch::NotRequested, &process, &file, 0, false);
    assert_eq!(head.head(), (&b"x"[..], HeadOutcome::Read));
    assert!(head.holds(), "the content is that of the open");
}
