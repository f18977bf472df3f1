//! Calls of plugins, their answers, and the caches.

use super::*;

fn labels(verdict: &Verdict) -> Vec<(&str, &str)> {
    verdict.labels.iter().map(|label| (&*label.name, &*label.value)).collect()
}

#[test]
fn the_first_type_wins_and_earlier_labels_are_kept() {
    let mut plugins = classifiers(vec![hostile("label"), PluginSpec::bundled()]);
    let verdict = classify(&mut plugins, "/x.crt");
    assert_eq!(verdict.file_type, FileType::Certificate);
    assert_eq!(labels(&verdict), [("owner", "of /home/alice/x, password=hunter2")]);
    assert!(verdict.classifier.unwrap().starts_with("classify-default@"));

    let mut plugins = classifiers(vec![PluginSpec::bundled(), hostile("labels-16")]);
    assert_eq!(labels(&classify(&mut plugins, "/x.crt")), []);
    // The bundled classifier has no opinion.
    let verdict = classify(&mut plugins, "/x.der");
    assert_eq!((verdict.file_type, verdict.labels.len()), (FileType::Unknown, 16));
    assert!(verdict.classifier.unwrap().starts_with("hostile@"));
    assert_eq!(classifiers(vec![]).interest(), &Interest::default());
}

#[test]
fn interests_are_combined() {
    let plugins = classifiers(vec![hostile("good"), PluginSpec::bundled()]);
    assert!(plugins.interest().wants_file(b"x.HOSTILE") && plugins.interest().wants_file(b"x.pem"));
    let plugins = classifiers(vec![hostile("good")]);
    assert!(!plugins.interest().wants_file(b"x.pem"));
}

#[test]
fn a_redactor_gets_the_output_of_the_one_before() {
    let mut plugins = redactors(vec![PluginSpec::bundled(), hostile("upper")]);
    assert_eq!(redact(&mut plugins, "/home/alice/x").as_deref(), Some("/HOME/USER/X"));
    let arguments = ["tool".to_owned(), "a b".to_owned()];
    let line =
        |plugins: &mut Plugins| plugins.redactor(1).redact(Field::Cmdline, "tool a b", &arguments);
    let mut plugins = redactors(vec![hostile("arguments")]);
    assert_eq!(line(&mut plugins).as_deref(), Some("cmdline [\"tool\", \"a b\"]"));
    let label = plugins.redactor(1).redact(Field::Label("owner"), "x", &[]);
    assert_eq!(label.as_deref(), Some("labels.owner []"));
    assert_eq!(redactors(vec![]).redactor(1).redact(Field::File, "/home/a", &[]), None);
}

#[test]
fn filters_can_read_the_documented_fields() {
    let mut plugins = filters(vec![hostile("fields")]);
    let mut call = |event: &ClassifiedEvent| match plugins.decide(event) {
        Decision::Label(LabelChanges { added, .. }) => {
            added.iter().map(|label| format!("{}={}", label.name, label.value)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        call(&event(1000)),
        [
            "cmdline=nginx -t",
            "ppid=1",
            "all=process_exec 5 7 1000 nginx Some(\"/usr/sbin/nginx\") None",
        ]
    );
    let mut open = event(1000);
    open.event.what = EnrichedWhat::FileOpen { file: file("/x.crt"), flags: 0o101 };
    open.verdict = Some(Verdict {
        file_type: FileType::Other("site".into()),
        labels: vec![Label { name: "owner".into(), value: "me".into() }],
        classifier: None,
        head: HeadOutcome::NotNeeded,
        skipped: false,
    });
    assert_eq!(
        call(&open),
        [
            "file=/x.crt",
            "file_type=site",
            "flags=O_WRONLY|O_CREAT",
            "ppid=1",
            "labels_owner=me",
            "all=file_open 5 7 1000 nginx Some(\"/usr/sbin/nginx\") None",
        ]
    );
    open.event.what =
        EnrichedWhat::LibLoad { file: file("/l/libssl.so.3"), library_name: b"libssl".to_vec() };
    assert_eq!(call(&open)[..2], ["library=/l/libssl.so.3", "library_name=libssl"]);
    open.event.what = EnrichedWhat::Exit { exit_code: 137, signal: Some(9) };
    assert_eq!(call(&open)[1], "exit_code=137");
}

#[test]
fn an_event_is_kept_if_all_filters_keep_it() {
    let mut plugins = filters(vec![hostile("label")]);
    let mut labelled = event(1);
    labelled.labels = vec![Label { name: "owner".into(), value: "first".into() }];
    // Label names are unique, and the first label is kept.
    assert_eq!(plugins.decide(&labelled), Decision::Keep);
    let mut dropping = hostile("drop");
    dropping.source = fixture("hostile-wasi.wasm");
    let mut plugins = filters(vec![hostile("label"), dropping]);
    assert_eq!(plugins.decide(&event(1)), Decision::Drop);
}

#[test]
fn a_verdict_is_cached_while_the_file_is_unchanged() {
    let mut plugins = classifiers(vec![hostile("counts")]);
    let mut word = |file: &OpenedFile, flags: u32| {
        plugins.classify(1, file, flags, &mut certificate()).file_type.as_str().to_owned()
    };
    let first = file("/x");
    assert_eq!(word(&first, 0), "call-1");
    assert_eq!(word(&first, 0), "call-1");
    let changes: [fn(&mut OpenedFile); 6] = [
        |file| file.inode += 1,
        |file| file.dev += 1,
        |file| file.ctime_ns += 1,
        |file| file.size += 1,
        |file| file.path.bytes.push(b'y'),
        |file| file.path.unreachable = true,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut other = first.clone();
        change(&mut other);
        assert_eq!(word(&other, 0), format!("call-{}", n + 2));
    }
    assert_eq!(word(&first, 0), "call-1");
    // An open that truncates the file is classified each time, and its verdict is not cached.
    assert_eq!(word(&first, 0o1000), "call-8");
    assert_eq!(word(&first, 0o1000), "call-9");
    assert_eq!(word(&first, 0), "call-1");
    // A file that has just changed may change again within the resolution of ctime.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut young = first.clone();
    young.ctime_ns = i128::try_from(now.as_nanos()).unwrap() + 1_000_000_000;
    assert_eq!(word(&young, 0), "call-10");
    assert_eq!(word(&young, 0), "call-11");
}

#[test]
fn a_verdict_without_the_head_is_not_cached() {
    for outcome in [
        HeadOutcome::Gone,
        HeadOutcome::Denied,
        HeadOutcome::Late,
        HeadOutcome::Remote,
        HeadOutcome::Replaced,
        HeadOutcome::Created,
    ] {
        let mut plugins = load(&generous());
        let file = file("/x.pem");
        let mut none = TestHead(b"", outcome, 0);
        for round in 1..=2 {
            let verdict = plugins.classify(1, &file, 0, &mut none);
            assert_eq!((verdict.file_type, verdict.head), (FileType::Unknown, outcome));
            // The head is read again in the second round.
            assert!(none.2 >= round, "{outcome:?}");
        }
        assert!(plugins.wants_head(&file));
        assert_eq!(classify(&mut plugins, "/x.pem").file_type, FileType::Certificate);
        assert!(!plugins.wants_head(&file), "the verdict is cached");
    }
}

/// The head of a file whose content has changed since the open.
struct ChangedHead(TestHead);

impl HeadSource for ChangedHead {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        self.0.head()
    }

    fn size(&mut self) -> Option<u64> {
        self.0.size()
    }

    fn holds(&self) -> bool {
        false
    }
}

#[test]
fn a_verdict_on_changed_content_is_not_cached() {
    let mut plugins = load(&generous());
    let file = file("/x.pem");
    let verdict = plugins.classify(1, &file, 0, &mut ChangedHead(certificate()));
    assert_eq!((verdict.file_type, verdict.head), (FileType::Certificate, HeadOutcome::Read));
    assert!(plugins.wants_head(&file));
    let created = OpenedFile { created: true, ..file.clone() };
    plugins.classify(1, &created, 0, &mut certificate());
    assert!(plugins.wants_head(&file), "the verdict of the creating open is not cached");
}

#[test]
fn the_verdict_of_a_chain_with_a_failure_is_not_cached() {
    let mut plugins = load(&Setup {
        chains: [(PluginKind::Classifier, vec![hostile("only-panic"), PluginSpec::bundled()])]
            .into(),
        every_call: false,
        ..generous()
    });
    for count in 1..=3 {
        assert_eq!(classify(&mut plugins, "/evil.crt").file_type, FileType::Certificate);
        assert_eq!(plugins.failures(), count);
    }
}

#[test]
fn heads_are_expected_for_extensions_whose_heads_were_read() {
    let mut plugins = load(&generous());
    let mut head = certificate();
    let crt = file("/x.crt");
    assert!(plugins.wants_head(&crt), "no file with this extension was classified");
    plugins.classify(1, &crt, 0, &mut head);
    assert_eq!(head.2, 0);
    assert!(!plugins.wants_head(&file("/other.crt")));
    plugins.classify(1, &file("/x.pem"), 0, &mut head);
    assert_eq!(head.2, 1);
    assert!(plugins.wants_head(&file("/other.pem")));
    assert!(!classifiers(vec![]).wants_head(&crt), "no classifier can read heads");
}

#[test]
fn a_redaction_is_cached_by_field_text_and_arguments() {
    let mut plugins = redactors(vec![hostile("arguments")]);
    let mut call = |field: Field<'_>, value: &str, arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        plugins.redactor(1).redact(field, value, &arguments).unwrap()
    };
    assert_eq!(call(Field::Cmdline, "a b c", &["a", "b c"]), "cmdline [\"a\", \"b c\"]");
    assert_eq!(call(Field::Cmdline, "a b c", &["a b", "c"]), "cmdline [\"a b\", \"c\"]");
    assert_eq!(call(Field::Cmdline, "a b c", &["a", "b c"]), "cmdline [\"a\", \"b c\"]");
    assert_eq!(call(Field::File, "a b c", &[]), "file []");
    assert_eq!(call(Field::Label("x"), "a b c", &[]), "labels.x []");
    assert_eq!(call(Field::Label("y"), "a b c", &[]), "labels.y []");
}

#[test]
fn memory_stays_constant_for_a_million_paths() {
    // Runs in its own process, because concurrent tests allocate memory too.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tests::answers::a_million_paths_in_own_process", "--ignored"]);
    let output = child.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
}

#[test]
#[ignore = "started by the test above"]
fn a_million_paths_in_own_process() {
    let mut plugins = load(&generous());
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
    };
    let mut round = |from: u32, to: u32| {
        for n in from..to {
            let path = format!("/home/user{n}/certificates/of/some/length/x{n}.crt");
            let mut file = file(&path);
            file.inode = n.into();
            plugins.classify(1, &file, 0, &mut certificate());
            redact(&mut plugins, &path);
        }
    };
    round(0, 100_000);
    let before = resident();
    round(100_000, 1_000_000);
    let grown = resident().saturating_sub(before);
    // A million paths of 60 bytes would be over 100 MB.
    assert!(grown < 40 << 10, "{grown} kB");
    assert_eq!(plugins.failures(), 0);
}

/// Another tracer's reader process opens the files that a process has just opened. Its opens come without a head, and do
/// not change the verdict.
#[test]
fn an_open_by_another_reader_gets_the_previous_verdict() {
    let mut plugins = load(&generous());
    // A ctime in the future, so the file never counts as settled.
    const LATER_NS: i128 = 9_000_000_000_000_000_001;
    let fresh = |name: &str| OpenedFile { ctime_ns: LATER_NS, ..file(name) };
    let withheld = |plugins: &mut Plugins, file: &OpenedFile| {
        let verdict = plugins.classify(0, file, 0, &mut TestHead(b"", HeadOutcome::NotNeeded, 0));
        (verdict.file_type, verdict.head)
    };
    let unknown = (FileType::Unknown, HeadOutcome::NotNeeded);
    let known = (FileType::Certificate, HeadOutcome::NotNeeded);
    let pem = fresh("/a.pem");
    assert_eq!(withheld(&mut plugins, &pem), unknown, "there is no previous verdict");
    let read = plugins.classify(0, &pem, 0, &mut certificate());
    assert_eq!((read.file_type, read.head), (FileType::Certificate, HeadOutcome::Read));
    assert_eq!(withheld(&mut plugins, &pem), known);
    // Each of these is another file, or another state of the same file.
    for other in [
        OpenedFile { inode: 9, ..pem.clone() },
        OpenedFile { dev: 9, ..pem.clone() },
        OpenedFile { size: 9, ..pem.clone() },
        OpenedFile { ctime_ns: pem.ctime_ns + 1, ..pem.clone() },
        fresh("/b.pem"),
    ] {
        assert_eq!(withheld(&mut plugins, &other), unknown, "{other:?}");
    }
    // A verdict without the head is not cached, even for a settled file.
    let settled = file("/c.pem");
    assert_eq!(withheld(&mut plugins, &settled), unknown);
    let read = plugins.classify(0, &settled, 0, &mut certificate());
    assert_eq!(read.file_type, FileType::Certificate);
    let mut again = TestHead(b"", HeadOutcome::NotNeeded, 0);
    assert_eq!(plugins.classify(0, &settled, 0, &mut again).file_type, FileType::Certificate);
    assert_eq!(again.2, 0, "the verdict is cached");
    // The number of recent verdicts is bounded; the oldest is evicted.
    for number in 0..64 {
        plugins.classify(0, &fresh(&format!("/{number}.pem")), 0, &mut certificate());
    }
    assert_eq!(withheld(&mut plugins, &pem), unknown);
    assert_eq!(withheld(&mut plugins, &fresh("/63.pem")), known);
}

/// Opens of a file that is not settled, in one batch.
#[test]
fn equal_opens_of_a_batch_are_classified_once() {
    /// A head with the number of its request.
    struct Numbered(TestHead, usize);
    impl HeadSource for Numbered {
        fn head(&mut self) -> (&[u8], HeadOutcome) {
            self.0.head()
        }
        fn size(&mut self) -> Option<u64> {
            self.0.size()
        }
        fn number(&self) -> Option<usize> {
            Some(self.1)
        }
    }
    let mut plugins = load(&generous());
    let now = OpenedFile { ctime_ns: i128::MAX / 2 + 1, ..file("/a.pem") };
    let reads = |plugins: &mut Plugins, uid, file: &OpenedFile, flags, number| {
        let mut head = Numbered(certificate(), number);
        plugins.classify(uid, file, flags, &mut head);
        head.0.2
    };
    plugins.start_batch();
    assert_eq!(reads(&mut plugins, 1, &now, 0, 0), 1);
    assert_eq!(reads(&mut plugins, 1, &now, 0, 0), 0);
    for (uid, file, flags, number) in [
        (2, now.clone(), 0, 0),
        (1, OpenedFile { ctime_ns: now.ctime_ns + 1, ..now.clone() }, 0, 0),
        (1, now.clone(), 0, 1),
        (1, now.clone(), crypto_tracer_event::OpenFlags::TRUNC, 0),
    ] {
        assert_eq!(reads(&mut plugins, uid, &file, flags, number), 1, "{uid} {flags} {number}");
    }
    plugins.start_batch();
    assert_eq!(reads(&mut plugins, 1, &now, 0, 0), 1, "numbers are valid in a batch only");
}

/// The clock was set back: the change time never passes.
#[test]
fn a_verdict_on_a_file_from_the_future_is_cached() {
    let mut plugins = load(&generous());
    let future = OpenedFile { ctime_ns: i128::MAX / 2 + 1, ..file("/a.pem") };
    let end = Instant::now() + Duration::from_secs(20);
    let mut reads = 0;
    loop {
        let mut head = certificate();
        plugins.classify(1, &future, 0, &mut head);
        if head.2 == 0 {
            break;
        }
        reads += head.2;
        assert!(Instant::now() < end);
    }
    assert!(reads >= 2, "the first verdict may be on content that still changes");
    let changed = OpenedFile { ctime_ns: future.ctime_ns + 1, ..future };
    let mut head = certificate();
    plugins.classify(1, &changed, 0, &mut head);
    assert_eq!(head.2, 1);
}
