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
    Wanted { file: file.clone(), uid: 0, size: 0, maybe_reader: None, blocks: false }
}

fn answer(head: &[u8]) -> Option<HeadResponse> {
    let size = Some(head.len() as u64);
    Some(HeadResponse {
        head: Ok(head.to_vec()),
        size,
        found: Found::Same,
        stat: None,
        blocks: Vec::new(),
    })
}

fn refused(refusal: HeadRefusal) -> Option<HeadResponse> {
    Some(HeadResponse {
        size: None,
        head: Err(refusal),
        found: Found::Same,
        stat: None,
        blocks: Vec::new(),
    })
}

fn read(heads: &RecordedHeads, file: &HeadRequest) -> Option<HeadResponse> {
    let now = Instant::now();
    heads.clone().read(&[wanted(file)], now).pop().flatten()
}

#[test]
fn answers_have_the_recorded_order() {
    let heads = RecordedHeads::default();
    let request = file(1, "/a.pem");
    heads.add(vec![(request.clone(), answer(b"1")), (request.clone(), answer(b"2"))]);
    heads.add_others(vec![(request.clone(), answer(b"3"))]);
    let answers: Vec<_> = (0..3).map(|_| read(&heads, &request)).collect();
    assert_eq!(answers, [answer(b"1"), answer(b"2"), answer(b"2")]);
}

#[test]
fn a_cached_head_is_valid_for_every_process() {
    let heads = RecordedHeads::default();
    heads.add(vec![(file(1, "/a.pem"), answer(b"1")), (file(1, "/gone.pem"), None)]);
    heads.end_batch();
    assert_eq!(read(&heads, &file(2, "/a.pem")), answer(b"1"));
    assert_eq!(read(&heads, &file(1, "/gone.pem")), None);
    let changed = HeadRequest { ctime_ns: 6, ..file(1, "/a.pem") };
    assert_eq!(read(&heads, &changed), None);
    // A missing answer is repeated as recorded.
    heads.add(vec![(file(3, "/a.pem"), None)]);
    assert_eq!(read(&heads, &file(3, "/a.pem")), None);
}

#[test]
fn a_refusal_is_cached_unless_there_is_a_head() {
    let heads = RecordedHeads::default();
    heads.add_others(vec![(file(1, "/a.pem"), answer(b"1")), (file(1, "/b"), None)]);
    let denied = refused(HeadRefusal::Denied);
    let gone = refused(HeadRefusal::Gone);
    heads.add_others(vec![(file(2, "/a.pem"), denied.clone()), (file(2, "/b"), denied.clone())]);
    heads.add_others(vec![(file(2, "/c"), gone.clone())]);
    assert_eq!(read(&heads, &file(2, "/a.pem")), denied);
    assert_eq!(read(&heads, &file(2, "/c")), gone);
    heads.end_batch();
    assert_eq!(read(&heads, &file(2, "/a.pem")), answer(b"1"));
    assert_eq!(read(&heads, &file(3, "/b")), denied);
    assert_eq!(read(&heads, &file(2, "/c")), None, "a missing file is not cached");
}

#[test]
fn the_cache_is_bounded() {
    let heads = RecordedHeads::default();
    let many = REPLAY_CACHE_BYTES / (64 << 10) + 10;
    for at in 0..many {
        heads.add(vec![(file(1, &format!("/{at}")), answer(&[0; 64 << 10]))]);
        heads.end_batch();
    }
    let recorded = heads.0.borrow();
    assert!(recorded.cache.bytes <= REPLAY_CACHE_BYTES);
    assert_eq!(recorded.cache.order.len(), recorded.cache.answers.len());
    drop(recorded);
    assert_eq!(read(&heads, &file(1, "/0")), None);
    assert!(read(&heads, &file(1, &format!("/{}", many - 1))).is_some());
}

#[test]
fn only_requests_that_were_not_recorded_are_missing() {
    let heads = RecordedHeads::default();
    heads.add(vec![(file(1, "/late.pem"), None)]);
    heads.add_others(vec![(file(1, "/late.crt"), None)]);
    for path in ["/late.pem", "/late.crt", "/a.crt", "/b.crt"] {
        heads.clone().on_cache_miss(&file(1, path));
    }
    assert_eq!(heads.missing(), MissingHeads { count: 3, first: b"/late.crt".to_vec() });
}

/// Returns heads of `length` bytes, each byte the number of requests so far.
#[derive(Debug)]
struct CountingReader {
    count: u8,
    length: usize,
}

impl CountingReader {
    fn new(length: usize) -> Box<CountingReader> {
        Box::new(CountingReader { count: 0, length })
    }
}

impl HeadReader for CountingReader {
    fn read(&mut self, files: &[Wanted], _: Instant) -> Vec<Option<HeadResponse>> {
        let one = |Wanted { file, .. }: &Wanted| {
            self.count = self.count.wrapping_add(1);
            let head = vec![self.count; self.length];
            if file.path == b"/gone" { refused(HeadRefusal::Gone) } else { answer(&head) }
        };
        files.iter().map(one).collect()
    }

    fn visible(&mut self, file: &Wanted, until: Instant) -> Option<HeadResponse> {
        self.read(std::slice::from_ref(file), until).pop().flatten()
    }
}

impl ProcessInspector for CountingReader {
    fn cgroups(&mut self, _: &[WantedCgroup], _: Instant) -> Vec<(u64, Option<String>)> {
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

fn paths(exchanges: &[HeadExchange]) -> Vec<String> {
    exchanges.iter().map(|(file, _)| String::from_utf8(file.path.clone()).unwrap()).collect()
}

#[test]
fn each_opened_file_is_recorded_once() {
    let mut heads = RecordingHeads::new(CountingReader::new(1), Clock::system());
    let (log, now) = (heads.log(), Instant::now());
    heads.read(&[wanted(&file(1, "/requested"))], now);
    let young = HeadRequest { ctime_ns: Clock::system().file_time_ns(), ..file(1, "/young") };
    let opened = [file(1, "/requested"), file(1, "/a"), file(2, "/a"), file(1, "/gone"), young];
    let opened = opened.each_ref().map(wanted);
    heads.read_opened(&opened, now);
    assert_eq!(paths(&log.borrow().heads), ["/requested"]);
    assert_eq!(paths(&log.borrow().others), ["/a", "/gone", "/young"]);
    log.take();
    // A missing file may exist for the next process, and a file that just changed may change again.
    heads.read_opened(&opened, now);
    assert_eq!(paths(&log.take().others), ["/gone", "/young"]);
    let changed = HeadRequest { ctime_ns: 6, ..file(1, "/a") };
    heads.read_opened(&[wanted(&changed)], now);
    assert_eq!(paths(&log.take().others), ["/a"]);
}

#[test]
fn equal_answers_of_a_batch_are_recorded_once() {
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
    let log = HeadLog { heads, others, cgroups: vec![(1, None)] };
    let (all, needed) = (log.heads.clone(), log.deduplicated());
    let wanted = ["/same", "/late", "/late", "/refused", "/refused", "/changed", "/changed"];
    assert_eq!(paths(&needed.heads), wanted);
    assert_eq!(paths(&needed.others), ["/rewritten", "/rewritten", "/other"]);
    assert_eq!(needed.cgroups.len(), 1);
    // A replay returns the same answers.
    let replayed = RecordedHeads::default();
    replayed.add(needed.heads);
    replayed.add_others(needed.others);
    for (request, answer) in all {
        assert_eq!(read(&replayed, &request), answer, "{request:?}");
    }
    assert_eq!(read(&replayed, &file(2, "/other")), answer(b"8"));
}

#[test]
fn a_batch_that_exceeds_the_replay_cache_is_not_deduplicated() {
    let long = answer(&[0; 64 << 10]);
    let many = ASSUMED_CACHE_BYTES / (64 << 10) + 1;
    let heads: Vec<HeadExchange> = (0..many)
        .map(|at| (file(1, &format!("/{at}")), long.clone()))
        .chain([(file(2, "/0"), long.clone())])
        .collect();
    let few: Vec<HeadExchange> =
        heads.iter().rev().take(10).chain(heads.first()).cloned().collect();
    let recorded = |heads| HeadLog { heads, ..HeadLog::default() }.deduplicated().heads.len();
    assert_eq!([recorded(heads), recorded(few)], [many + 1, 10]);
}

#[test]
fn heads_of_opened_files_are_limited_for_each_batch() {
    let mut heads = RecordingHeads::new(CountingReader::new(64 << 10), Clock::system());
    let files: Vec<Wanted> = (0..1000).map(|at| wanted(&file(1, &format!("/{at}")))).collect();
    heads.read_opened(&files, Instant::now());
    let first = heads.log().take().others.len();
    assert!(
        (MAX_OPENED_BYTES >> 16..MAX_OPENED_BYTES / (60 << 10))
            .contains(&first.next_multiple_of(CHUNK))
    );
    // The other files are read at their next open.
    heads.read_opened(&files, Instant::now());
    assert_eq!(paths(&heads.log().take().others).first(), Some(&format!("/{first}")));
}

#[test]
fn a_replay_has_every_head_that_a_recording_omits() {
    let mut heads = RecordingHeads::new(CountingReader::new(1), Clock::system());
    let (log, replayed) = (heads.log(), RecordedHeads::default());
    let many = MAX_FILES as u32 + 1000;
    for at in 0..many {
        // A thousand files are opened repeatedly. The recording reads them again after it has evicted them.
        let opened = [file(1, &format!("/{at}")), file(1, &format!("/{}", at % 1000))];
        heads.read_opened(&opened.each_ref().map(wanted), Instant::now());
        replayed.add_others(log.take().others);
        replayed.end_batch();
        assert!(opened.iter().all(|file| read(&replayed, file).is_some()), "{at}");
    }
    assert!(heads.recorded.order.len() <= MAX_FILES);
}

#[test]
fn the_head_of_changed_content_is_valid_for_its_batch_only() {
    for found in [Found::Changed, Found::Replaced] {
        let heads = RecordedHeads::default();
        let other = answer(b"1").map(|answer| HeadResponse { found, ..answer });
        heads.add(vec![(file(1, "/a.pem"), other.clone())]);
        assert_eq!(read(&heads, &file(1, "/a.pem")), other);
        heads.end_batch();
        assert_eq!(read(&heads, &file(2, "/a.pem")), None);
        // Therefore each answer is recorded.
        let exchanges = vec![(file(1, "/a.pem"), other.clone()), (file(2, "/a.pem"), other)];
        let log = HeadLog { heads: exchanges.clone(), ..HeadLog::default() };
        assert_eq!(log.deduplicated().heads, exchanges);
    }
}
