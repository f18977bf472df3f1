//! Each limit, obeyed and violated.

use super::*;

#[test]
fn a_violated_limit_fails_one_call_only() {
    for (way, cause) in [
        ("only-spin", "deadline"),
        ("only-alloc", "memory"),
        ("only-alloc-small", "memory"),
        ("only-recurse", "stack"),
        ("only-panic", "panic"),
        ("only-log-flood", "deadline"),
        ("only-log-long", "answer"),
        ("only-handles", "answer"),
    ] {
        let mut plugins = classifiers(vec![hostile(way), PluginSpec::bundled()]);
        let verdict = classify(&mut plugins, "/evil/x.crt");
        // The next classifier was called.
        assert_eq!(verdict.file_type, FileType::Certificate, "{way}");
        assert_eq!(failures(&mut plugins), [(cause.to_owned(), 1)], "{way}");
        assert_eq!(classify(&mut plugins, "/good/x.crt").file_type, FileType::Certificate);
        assert_eq!(failures(&mut plugins), [], "{way}");
    }
}

#[test]
fn invalid_answers_are_failures() {
    for way in [
        "word-long",
        "word-65",
        "word-bad",
        "word-empty",
        "word-not-utf8",
        "labels-17",
        "labels-1e6",
        "labels-amplify",
        "label-value",
        "label-name",
    ] {
        let mut plugins = classifiers(vec![hostile(way)]);
        let verdict = classify(&mut plugins, "/x");
        assert_eq!((verdict.file_type, verdict.labels), (FileType::Unknown, vec![]), "{way}");
        let failures = failures(&mut plugins);
        let cause = failures.first().map(|(cause, _)| cause.as_str());
        assert!(matches!(cause, Some("answer" | "memory" | "deadline")), "{way}: {failures:?}");
    }
    let mut plugins = classifiers(vec![hostile("word")]);
    assert_eq!(classify(&mut plugins, "/x").file_type.as_str(), "site-key_1");
    let mut plugins = classifiers(vec![hostile("labels-16")]);
    assert_eq!(classify(&mut plugins, "/x").labels.len(), 16);
    assert_eq!(plugins.failures(), 0);
}

#[test]
fn a_call_within_the_limits_succeeds() {
    for way in ["alloc-some", "recurse-some", "busy-5ms", "log", "good"] {
        let mut plugins = classifiers(vec![hostile(way), PluginSpec::bundled()]);
        for _ in 0..3 {
            let verdict = classify(&mut plugins, "/x.crt");
            assert_eq!(verdict.file_type, FileType::Certificate, "{way}");
        }
        assert_eq!(failures(&mut plugins), [], "{way}");
    }
}

#[test]
fn an_endless_loop_is_interrupted_also_between_host_calls() {
    for way in ["spin", "spin-size", "spin-head"] {
        let mut plugins = classifiers(vec![hostile(way)]);
        let took = processor_time(|| classify(&mut plugins, "/x"));
        // At most 10 ms until the first check, 20 ms of processor time, and one more epoch. A busy machine is slower.
        assert!(took < Duration::from_millis(300), "{way}: {took:?}");
        assert_eq!(failures(&mut plugins), [("deadline".to_owned(), 1)], "{way}");
    }
}

#[test]
fn host_time_does_not_count_as_call_time() {
    struct Slow;
    impl HeadSource for Slow {
        fn head(&mut self) -> (&[u8], HeadOutcome) {
            std::thread::sleep(Duration::from_millis(200));
            (b"0123456789abcdef", HeadOutcome::Read)
        }
        fn size(&mut self) -> Option<u64> {
            None
        }
    }
    let mut plugins = load(&Setup {
        chains: [(PluginKind::Classifier, vec![hostile("head")])].into(),
        ..Setup::default()
    });
    let verdict = plugins.classify(1000, &file("/x"), 0, &mut Slow);
    assert_eq!(verdict.file_type.as_str(), "head-16");
    assert_eq!(failures(&mut plugins), []);
}

#[test]
fn wasi_is_inert() {
    let wasi = |way: &str| {
        let mut spec = hostile(way);
        spec.source = fixture("hostile-wasi.wasm");
        classifiers(vec![spec])
    };
    for (way, file_type) in [
        ("println", "printed"),
        ("hashmap", "hashmap-10"),
        ("clock", "clock-0"),
        ("env", "env-0-0"),
        ("read-file", "read-0"),
        ("stdin", "stdin-0"),
    ] {
        let mut plugins = wasi(way);
        assert_eq!(classify(&mut plugins, "/x").file_type.as_str(), file_type);
        assert_eq!(failures(&mut plugins), [], "{way}");
    }
    let mut plugins = wasi("println");
    classify(&mut plugins, "/x");
    let logged: Vec<String> = plugins.take_log().into_iter().map(|line| line.message).collect();
    assert_eq!(logged, ["to stdout", "to stderr"]);
    for way in ["sleep", "exit"] {
        let mut plugins = wasi(way);
        assert_eq!(classify(&mut plugins, "/x").file_type, FileType::Unknown);
        assert_eq!(failures(&mut plugins), [("misuse".to_owned(), 1)], "{way}");
    }
}

/// Maximum lines since `start`: in each second, ten and one that reports dropped lines.
fn max_lines(start: Instant) -> usize {
    (start.elapsed().as_secs() as usize + 2) * 11
}

#[test]
fn log_lines_are_limited_and_escaped() {
    let mut plugins = classifiers(vec![hostile("log")]);
    let start = Instant::now();
    for n in 0..100 {
        classify(&mut plugins, &format!("/{n}"));
    }
    let lines = plugins.take_log();
    assert!((10..=max_lines(start)).contains(&lines.len()), "{}", lines.len());
    assert_eq!(lines[0].message, "hello\\u{1b}[2J\\nthere");
    assert!(lines[0].plugin.starts_with("hostile@"));
    assert!(lines.iter().any(|line| line.message.contains("more than 10 lines")));
}

#[test]
fn the_limits_apply_to_every_kind() {
    for (way, cause) in [
        ("spin", "deadline"),
        ("alloc", "memory"),
        ("recurse", "stack"),
        ("panic", "panic"),
        ("log-long", "answer"),
    ] {
        let mut plugins = redactors(vec![hostile(way)]);
        assert_eq!(redact(&mut plugins, "x").as_deref(), Some(REDACTED), "{way}");
        assert_eq!(failures(&mut plugins), [(cause.to_owned(), 1)], "{way}");
        let mut plugins = filters(vec![hostile(way)]);
        assert_eq!(plugins.decide(&event(1)), Decision::Keep, "{way}");
        assert_eq!(failures(&mut plugins), [(cause.to_owned(), 1)], "{way}");
    }
}

/// The host cuts a log message after 1 KiB, whatever its length, unless the message is longer than the limit `copied`.
#[test]
fn a_long_log_message_within_the_limit_is_cut() {
    // The fixture logs 8 MiB.
    for (copied, failed) in
        [((8 << 20) - 1, true), (8 << 20, false), (9 << 20, false), (256 << 10, true)]
    {
        let limits = Limits { copied, ..generous().limits };
        let mut plugins = load(&Setup {
            chains: [(PluginKind::Filter, vec![hostile("log-long")])].into(),
            limits,
            ..generous()
        });
        assert_eq!(plugins.decide(&event(1)), Decision::Keep);
        let expected = if failed { vec![("answer".to_owned(), 1)] } else { vec![] };
        assert_eq!(failures(&mut plugins), expected, "{copied}");
    }
}

#[test]
fn configured_limits_apply() {
    let limits =
        Limits { memory: 4 << 20, deadline: Duration::from_millis(90), ..generous().limits };
    let load = |way: &str| {
        load(&Setup {
            chains: [(PluginKind::Classifier, vec![hostile(way)])].into(),
            limits: limits.clone(),
            ..Setup::default()
        })
    };
    let mut plugins = load("alloc-some");
    classify(&mut plugins, "/x");
    assert_eq!(failures(&mut plugins), [("memory".to_owned(), 1)]);
    let mut plugins = load("spin");
    let took = processor_time(|| classify(&mut plugins, "/x"));
    assert!(took >= Duration::from_millis(90), "{took:?}");
    let limits = Limits { stack: 16 << 10, ..generous().limits };
    let setup = Setup {
        chains: [(PluginKind::Classifier, vec![hostile("recurse-some")])].into(),
        limits,
        ..Setup::default()
    };
    let mut plugins = super::load(&setup);
    classify(&mut plugins, "/x");
    assert_eq!(failures(&mut plugins), [("stack".to_owned(), 1)]);
}

#[test]
fn memory_of_failed_instances_is_released() {
    let mut plugins = load(&Setup {
        chains: [(PluginKind::Classifier, vec![hostile("alloc")])].into(),
        every_call: true,
        ..generous()
    });
    let anonymous = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    (0..3).for_each(|_| drop(classify(&mut plugins, "/x")));
    let before = anonymous();
    (0..30).for_each(|_| drop(classify(&mut plugins, "/x")));
    let grown = anonymous().saturating_sub(before);
    // Concurrent tests allocate memory too. 30 leaked instances of 16 MiB would exceed this bound.
    assert!(grown < 200 << 10, "{grown} kB");
    assert_eq!(plugins.failures(), 33);
}

#[test]
fn a_new_instance_does_not_reset_the_limit_of_lines() {
    let mut plugins = load(&Setup {
        chains: [(PluginKind::Classifier, vec![hostile("log-flood")])].into(),
        every_call: true,
        ..Setup::default()
    });
    let start = Instant::now();
    (0..5).for_each(|n| drop(classify(&mut plugins, &format!("/{n}"))));
    let lines = plugins.take_log();
    assert!((10..=max_lines(start).min(50)).contains(&lines.len()), "{}", lines.len());
}
