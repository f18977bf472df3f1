//! Effects of a failure.

use super::*;

#[test]
fn a_text_whose_redactor_fails_is_replaced() {
    for way in ["spin", "panic", "alloc", "recurse", "text-long", "text-huge", "text-not-utf8"] {
        for chain in
            [vec![hostile(way), PluginSpec::bundled()], vec![PluginSpec::bundled(), hostile(way)]]
        {
            let mut plugins = redactors(chain);
            for round in 0..7 {
                let shown = redact(&mut plugins, "/home/alice/x");
                assert_eq!(shown.as_deref(), Some("[REDACTED]"), "{way} {round}");
            }
            // The plugin backs off by now, and the text is still replaced.
            let failures = failures(&mut plugins);
            assert!(failures.contains(&("resting".to_owned(), 2)), "{way}: {failures:?}");
        }
    }
    let mut plugins = redactors(vec![hostile("text-64k")]);
    assert_eq!(redact(&mut plugins, "x").map(|text| text.len()), Some(64 << 10));
}

#[test]
fn an_event_whose_filter_fails_is_kept() {
    for way in ["spin", "panic", "labels-17"] {
        let mut plugins = filters(vec![hostile(way)]);
        assert_eq!(plugins.decide(&event(1000)), Decision::Keep, "{way}");
        assert_eq!(plugins.failures(), 1);
    }
    assert_eq!(filters(vec![hostile("drop")]).decide(&event(1000)), Decision::Drop);
    let labelled = filters(vec![hostile("label")]).decide(&event(1000));
    let label = Label { name: "owner".into(), value: "nginx".into() };
    assert_eq!(labelled, Decision::Label(LabelChanges { removed: vec![], added: vec![label] }));
}

#[test]
fn shutdown_interrupts_the_call() {
    let setup = Setup {
        chains: [(PluginKind::Classifier, vec![hostile("spin")])].into(),
        ..Setup::default()
    };
    let mut plugins = load(&setup);
    setup.shutdown.request();
    let took = processor_time(|| {
        for _ in 0..100 {
            assert_eq!(classify(&mut plugins, "/x").file_type, FileType::Unknown);
        }
    });
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(failures(&mut plugins), [("stopped".to_owned(), 100)]);
}

#[test]
fn failures_of_one_user_do_not_affect_others() {
    let setup = Setup {
        chains: [
            (PluginKind::Classifier, vec![hostile("only-panic"), PluginSpec::bundled()]),
            (PluginKind::Redactor, vec![hostile("only-panic"), PluginSpec::bundled()]),
        ]
        .into(),
        ..generous()
    };
    let mut plugins = load(&setup);
    for n in 0..10 {
        plugins.classify(1, &file(&format!("/evil/{n}")), 0, &mut certificate());
        plugins.redactor(1).redact(Field::File, &format!("/evil/{n}"), &[]);
    }
    let failed: Vec<_> = plugins
        .take_failures()
        .into_iter()
        .map(|failure| (failure.kind, failure.cause, failure.count, failure.action))
        .collect();
    let resting = |kind, action| {
        [(kind, "panic".to_owned(), 5, action), (kind, "resting".to_owned(), 5, action)]
    };
    let expected = [
        resting(PluginKind::Classifier, "next_classifier"),
        resting(PluginKind::Redactor, "redacted"),
    ]
    .concat();
    assert_eq!(failed, expected);
    // The plugins back off for user 1 on any file: the next classifier is called, and texts are replaced.
    let verdict = plugins.classify(1, &file("/good.crt"), 0, &mut certificate());
    assert_eq!(verdict.file_type, FileType::Certificate);
    assert_eq!(
        plugins.redactor(1).redact(Field::File, "/home/a/x", &[]).as_deref(),
        Some(REDACTED)
    );
    plugins.take_failures();
    // User 2 is not affected.
    plugins.classify(2, &file("/other.crt"), 0, &mut certificate());
    let shown = plugins.redactor(2).redact(Field::File, "/home/b/x", &[]);
    assert_eq!(shown.as_deref(), Some("/home/USER/x"));
    assert_eq!(failures(&mut plugins), []);
}

#[test]
fn a_failed_instance_is_replaced() {
    let mut plugins = classifiers(vec![hostile("counts")]);
    let words: Vec<String> = (0..3)
        .map(|n| classify(&mut plugins, &format!("/{n}")).file_type.as_str().to_owned())
        .collect();
    assert_eq!(words, ["call-1", "call-2", "call-3"]);

    let mut plugins = classifiers(vec![hostile("counts-only-evil")]);
    let word =
        |plugins: &mut Plugins, path: &str| classify(plugins, path).file_type.as_str().to_owned();
    assert_eq!(word(&mut plugins, "/1"), "call-1");
    assert_eq!(word(&mut plugins, "/2"), "call-2");
    assert_eq!(word(&mut plugins, "/evil"), "unknown");
    assert_eq!(word(&mut plugins, "/3"), "call-1", "a new instance");
    assert_eq!(failures(&mut plugins), [("panic".to_owned(), 1)]);
}

#[test]
fn a_failure_can_end_the_run() {
    let mut setup =
        Setup { chains: [(PluginKind::Filter, vec![hostile("panic")])].into(), ..generous() };
    let mut plugins = load(&setup);
    plugins.decide(&event(1));
    assert_eq!(plugins.must_end(), None);
    setup.on_failure = OnFailure::Stop;
    let mut plugins = load(&setup);
    assert_eq!(plugins.must_end(), None);
    plugins.decide(&event(1));
    let why = plugins.must_end().unwrap();
    assert!(why.starts_with("the filter hostile@") && why.contains("panic"), "{why}");
}

#[test]
fn plugins_are_replaced_between_two_events() {
    fn is_send<T: Send>(it: T) -> T {
        it
    }
    let mut plugins = classifiers(vec![hostile("panic")]);
    classify(&mut plugins, "/x");
    let next =
        std::thread::spawn(|| is_send(classifiers(vec![hostile("word"), PluginSpec::bundled()])));
    let changes = plugins.replace(next.join().unwrap());
    assert!(
        changes.iter().any(|line| line.starts_with("now classifier 2: classify-default@")),
        "{changes:?}"
    );
    assert!(changes.iter().any(|line| line.contains("suffixes")), "{changes:?}");
    // Earlier failures are still reported and counted.
    assert_eq!(plugins.failures(), 1);
    assert_eq!(failures(&mut plugins), [("panic".to_owned(), 1)]);
    assert_eq!(plugins.failures(), 1);
    assert_eq!(classify(&mut plugins, "/x").file_type.as_str(), "site-key_1");
    let same = classifiers(vec![hostile("word"), PluginSpec::bundled()]);
    assert_eq!(plugins.replace(same), [""; 0]);
}
