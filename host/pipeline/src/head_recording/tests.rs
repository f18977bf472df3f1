use super::*;

fn file(pid: u32, path: &str) -> HeadRequest {
    HeadRequest {
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

fn wanted(file: &HeadRequest) -> Wanted {
    Wanted { file: file.clone(), uid: 0, size: 0, maybe_reader: None }
}

fn answer(head: &[u8]) -> Option<HeadResponse> {
    let size = Some(head.len() as u64);
    Some(HeadResponse { head: Ok(head.to_vec()), size, found: Found::Same })
}

fn refused(why: HeadRefusal) -> Option<HeadResponse> {
    Some(HeadResponse { size: None, head: Err(why), found: Found::Same })
}

fn ask(heads: &RecordedHeads, file: &HeadRequest) -> Option<HeadResponse> {
    let now = Instant::now();
    heads.clone().read(&[wanted(file)], now).pop().flatten()
}

#[test]
fn answers_come_in_the_order_of_then() {
    let heads = RecordedHeads::default();
    let asked = file(1, "/a.pem");
    heads.add(vec![(asked.clone(), answer(b"1")), (asked.clone(), answer(b"2"))]);
    heads.add_others(vec![(asked.clone(), answer(b"3"))]);
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
    let changed = HeadRequest { ctime_ns: 6, ..file(1, "/a.pem") };
    assert_eq!(ask(&heads, &changed), None);
    // What did not come then does not come now.
    heads.add(vec![(file(3, "/a.pem"), None)]);
    assert_eq!(ask(&heads, &file(3, "/a.pem")), None);
}

#[test]
fn a_refusal_is_remembered_where_nothing_better_is() {
    let heads = RecordedHeads::default();
    heads.add_others(vec![(file(1, "/a.pem"), answer(b"1")), (file(1, "/b"), None)]);
    let denied = refused(HeadRefusal::Denied);
    let gone = refused(HeadRefusal::Gone);
    heads.add_others(vec![(file(2, "/a.pem"), denied.clone()), (file(2, "/b"), denied.clone())]);
    heads.add_others(vec![(file(2, "/c"), gone.clone())]);
    assert_eq!(ask(&heads, &file(2, "/a.pem")), denied);
    assert_eq!(ask(&heads, &file(2, "/c")), gone);
    heads.batch_ends();
    assert_eq!(ask(&heads, &file(2, "/a.pem")), answer(b"1"));
    assert_eq!(ask(&heads, &file(3, "/b")), denied);
    assert_eq!(ask(&heads, &file(2, "/c")), None, "it was only gone then");
}

#[test]
fn what_is_remembered_is_bounded() {
    let heads = RecordedHeads::default();
    let many = MOST_REMEMBERED / (64 << 10) + 10;
    for at in 0..many {
        heads.add(vec![(file(1, &format!("/{at}")), answer(&[0; 64 << 10]))]);
        heads.batch_ends();
    }
    let held = heads.0.borrow();
    assert!(held.before.bytes <= MOST_REMEMBERED);
    assert_eq!(held.before.order.len(), held.before.answers.len());
    drop(held);
    assert_eq!(ask(&heads, &file(1, "/0")), None);
    assert!(ask(&heads, &file(1, &format!("/{}", many - 1))).is_some());
}

#[test]
fn only_what_the_recording_does_not_know_is_missing() {
    let heads = RecordedHeads::default();
    heads.add(vec![(file(1, "/late.pem"), None)]);
    heads.add_others(vec![(file(1, "/late.crt"), None)]);
    for path in ["/late.pem", "/late.crt", "/a.crt", "/b.crt"] {
        heads.clone().on_cache_miss(&file(1, path));
    }
    assert_eq!(heads.missing(), MissingHeads { count: 3, first: b"/late.crt".to_vec() });
}

/// Answers with the number of questions so far, as often as a file is long.
#[derive(Debug)]
struct Counts {
    count: u8,
    length: usize,
}

impl Counts {
    fn new(length: usize) -> Box<Counts> {
        Box::new(Counts { count: 0, length })
    }
}

impl HeadReader for Counts {
    fn read(&mut self, files: &[Wanted], _: Instant) -> Vec<Option<HeadResponse>> {
        let one = |Wanted { file, .. }: &Wanted| {
            self.count = self.count.wrapping_add(1);
            let head = vec![self.count; self.length];
            if file.path == b"/gone" { refused(HeadRefusal::Gone) } else { answer(&head) }
        };
        files.iter().map(one).collect()
    }
}

impl ProcessInspector for Counts {
    fn cgroups(&mut self, _: &[(u64, u32)], _: Instant) -> Vec<Option<String>> {
        Vec::new()
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

fn paths(asked: &[HeadExchange]) -> Vec<String> {
    asked.iter().map(|(file, _)| String::from_utf8(file.path.clone()).unwrap()).collect()
}

#[test]
fn whatever_is_opened_is_in_a_recording_once() {
    let mut heads = RecordingHeads::new(Counts::new(1), Clock::system());
    let (kept, now) = (heads.kept(), Instant::now());
    heads.read(&[wanted(&file(1, "/asked"))], now);
    let young = HeadRequest { ctime_ns: Clock::system().file_time_ns(), ..file(1, "/young") };
    let opened = [file(1, "/asked"), file(1, "/a"), file(2, "/a"), file(1, "/gone"), young];
    let opened = opened.each_ref().map(wanted);
    heads.note_opened(&opened, now);
    assert_eq!(paths(&kept.borrow().heads), ["/asked"]);
    assert_eq!(paths(&kept.borrow().others), ["/a", "/gone", "/young"]);
    kept.take();
    // One that was gone may be there for the next process; one that just changed may change again.
    heads.note_opened(&opened, now);
    assert_eq!(paths(&kept.take().others), ["/gone", "/young"]);
    let changed = HeadRequest { ctime_ns: 6, ..file(1, "/a") };
    heads.note_opened(&[wanted(&changed)], now);
    assert_eq!(paths(&kept.take().others), ["/a"]);
}

#[test]
fn one_answer_of_a_batch_is_enough_for_all_who_got_the_same() {
    let second = HeadRequest { ctime_ns: 6, ..file(2, "/changed") };
    let heads = vec![
        (file(1, "/same"), answer(b"1")),
        (file(1, "/same"), answer(b"1")),
        (file(2, "/same"), answer(b"1")),
        (file(1, "/late"), None),
        (file(2, "/late"), answer(b"2")),
        (file(1, "/refused"), answer(b"3")),
        (file(2, "/refused"), refused(HeadRefusal::Denied)),
        (file(1, "/changed"), answer(b"4")),
        (second.clone(), answer(b"5")),
    ];
    let others = vec![
        (file(3, "/same"), answer(b"1")),
        (file(1, "/rewritten"), answer(b"6")),
        (file(1, "/rewritten"), answer(b"7")),
        (file(1, "/other"), answer(b"8")),
        (file(2, "/other"), answer(b"8")),
    ];
    let kept = HeadLog { heads, others, cgroups: vec![(1, None)] };
    let (all, needed) = (kept.heads.clone(), kept.needed());
    let wanted = ["/same", "/late", "/late", "/refused", "/refused", "/changed", "/changed"];
    assert_eq!(paths(&needed.heads), wanted);
    assert_eq!(paths(&needed.others), ["/rewritten", "/rewritten", "/other"]);
    assert_eq!(needed.cgroups.len(), 1);
    // Nobody who asks in a replay gets another answer for it.
    let replayed = RecordedHeads::default();
    replayed.add(needed.heads);
    replayed.add_others(needed.others);
    for (question, answer) in all {
        assert_eq!(ask(&replayed, &question), answer, "{question:?}");
    }
    assert_eq!(ask(&replayed, &file(2, "/other")), answer(b"8"));
}

#[test]
fn a_batch_of_more_than_a_replay_remembers_is_kept_as_it_is() {
    let long = answer(&[0; 64 << 10]);
    let many = MOST_COUNTED_ON / (64 << 10) + 1;
    let heads: Vec<HeadExchange> = (0..many)
        .map(|at| (file(1, &format!("/{at}")), long.clone()))
        .chain([(file(2, "/0"), long.clone())])
        .collect();
    let few: Vec<HeadExchange> =
        heads.iter().rev().take(10).chain(heads.first()).cloned().collect();
    let kept = |heads| HeadLog { heads, ..HeadLog::default() }.needed().heads.len();
    assert_eq!([kept(heads), kept(few)], [many + 1, 10]);
}

#[test]
fn what_one_batch_opens_is_bounded() {
    let mut heads = RecordingHeads::new(Counts::new(64 << 10), Clock::system());
    let files: Vec<Wanted> = (0..1000).map(|at| wanted(&file(1, &format!("/{at}")))).collect();
    heads.note_opened(&files, Instant::now());
    let first = heads.kept().take().others.len();
    assert!((MOST_OPENED >> 16..MOST_OPENED / (60 << 10)).contains(&first.next_multiple_of(PART)));
    // The others come when they are opened again.
    heads.note_opened(&files, Instant::now());
    assert_eq!(paths(&heads.kept().take().others).first(), Some(&format!("/{first}")));
}

/// Whatever a recording leaves out because it is in there already, a replay still remembers.
#[test]
fn a_replay_remembers_what_a_recording_counts_on() {
    let mut heads = RecordingHeads::new(Counts::new(1), Clock::system());
    let (kept, replayed) = (heads.kept(), RecordedHeads::default());
    let many = MOST_FILES as u32 + 1000;
    for at in 0..many {
        // One of a thousand all the time: it is asked for again when it is forgotten.
        let opened = [file(1, &format!("/{at}")), file(1, &format!("/{}", at % 1000))];
        heads.note_opened(&opened.each_ref().map(wanted), Instant::now());
        replayed.add_others(kept.take().others);
        replayed.batch_ends();
        assert!(opened.iter().all(|file| ask(&replayed, file).is_some()), "{at}");
    }
    assert!(heads.known.order.len() <= MOST_FILES);
}

#[test]
fn an_answer_about_other_content_holds_for_its_batch_only() {
    for found in [Found::Changed, Found::Replaced] {
        let heads = RecordedHeads::default();
        let other = answer(b"1").map(|answer| HeadResponse { found, ..answer });
        heads.add(vec![(file(1, "/a.pem"), other.clone())]);
        assert_eq!(ask(&heads, &file(1, "/a.pem")), other);
        heads.batch_ends();
        assert_eq!(ask(&heads, &file(2, "/a.pem")), None);
        // So each who asked keeps its own.
        let asked = vec![(file(1, "/a.pem"), other.clone()), (file(2, "/a.pem"), other)];
        let kept = HeadLog { heads: asked.clone(), ..HeadLog::default() };
        assert_eq!(kept.needed().heads, asked);
    }
}
