//! Each limit, violated and obeyed.

use super::*;

#[test]
fn each_limit_ends_the_call_and_the_next_one_works() {
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
        // The next classifier was asked.
        assert_eq!(verdict.file_type, FileType::Certificate, "{way}");
        assert_eq!(failures(&mut plugins), [(cause.to_owned(), 1)], "{way}");
        assert_eq!(classify(&mut plugins, "/good/x.crt").file_type, FileType::Certificate);
        assert_eq!(failures(&mut plugins), [], "{way}");
    }
}

#[test]
fn answers_outside_their_bounds_are_failures() {
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
        let told = failures(&mut plugins);
        let cause = told.first().map(|(cause, _)| cause.as_str());
        assert!(matches!(cause, Some("answer" | "memory" | "deadline")), "{way}: {told:?}");
    }
    let mut plugins = classifiers(vec![hostile("word")]);
    assert_eq!(classify(&mut plugins, "/x").file_type.as_str(), "site-key_1");
    let mut plugins = classifiers(vec![hostile("labels-16")]);
    assert_eq!(classify(&mut plugins, "/x").labels.len(), 16);
    assert_eq!(plugins.failures(), 0);
}

#[test]
fn what_stays_within_the_limits_is_not_touched() {
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
fn an_endless_loop_ends_soon_also_around_host_calls() {
    for way in ["spin", "spin-size", "spin-head"] {
        let mut plugins = classifiers(vec![hostile(way)]);
        let took = processor(|| classify(&mut plugins, "/x"));
        // Up to 10 ms until the first look, 20 ms from there, a tick until that is seen; a busy machine ticks late.
        assert!(took < Duration::from_millis(300), "{way}: {took:?}");
        assert_eq!(failures(&mut plugins), [("deadline".to_owned(), 1)], "{way}");
    }
}

#[test]
fn a_slow_answer_of_the_host_is_not_the_plugins_time() {
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
    let mut plugins = load(&Setup { classifiers: vec![hostile("head")], ..Setup::default() });
    let verdict = plugins.classify(1000, &file("/x"), 0, &mut Slow);
    assert_eq!(verdict.file_type.as_str(), "head-16");
    assert_eq!(failures(&mut plugins), []);
}

#[test]
fn a_clock_that_stands_still_and_nothing_else_for_std() {
    let wasi = |way: &str| {
        let mut spec = hostile(way);
        spec.source = fixture("hostile-wasi.wasm");
        classifiers(vec![spec])
    };
    for (way, word) in [
        ("println", "printed"),
        ("hashmap", "hashmap-10"),
        ("clock", "clock-0"),
        ("env", "env-0-0"),
        ("read-file", "read-0"),
        ("stdin", "stdin-0"),
    ] {
        let mut plugins = wasi(way);
        assert_eq!(classify(&mut plugins, "/x").file_type.as_str(), word);
        assert_eq!(failures(&mut plugins), [], "{way}");
    }
    let mut plugins = wasi("println");
    classify(&mut plugins, "/x");
    let said: Vec<String> = plugins.take_log().into_iter().map(|line| line.message).collect();
    assert_eq!(said, ["to stdout", "to stderr"]);
    for way in ["sleep", "exit"] {
        let mut plugins = wasi(way);
        assert_eq!(classify(&mut plugins, "/x").file_type, FileType::Unknown);
        assert_eq!(failures(&mut plugins), [("misuse".to_owned(), 1)], "{way}");
    }
}

/// Ten in each second that was touched; one more tells that there were more.
fn most_lines(start: Instant) -> usize {
    (start.elapsed().as_secs() as usize + 2) * 11
}

#[test]
fn few_lines_of_log_and_harmless_ones() {
    let mut plugins = classifiers(vec![hostile("log")]);
    let start = Instant::now();
    for n in 0..100 {
        classify(&mut plugins, &format!("/{n}"));
    }
    let said = plugins.take_log();
    assert!((10..=most_lines(start)).contains(&said.len()), "{}", said.len());
    assert_eq!(said[0].message, "hello\\u{1b}[2J\\nthere");
    assert!(said[0].plugin.starts_with("hostile@"));
    assert!(said.iter().any(|line| line.message.contains("more than 10 lines")));
}

#[test]
fn every_kind_is_held_by_the_same_limits() {
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
fn a_long_log_message_costs_nothing_within_the_limit() {
    // The fixture logs 8 MiB.
    for (copied, failed) in
        [((8 << 20) - 1, true), (8 << 20, false), (9 << 20, false), (256 << 10, true)]
    {
        let limits = Limits { copied, ..patient().limits };
        let mut plugins = load(&Setup { filters: vec![hostile("log-long")], limits, ..patient() });
        assert_eq!(plugins.decide(&event(1)), Decision::Keep);
        let expected = if failed { vec![("answer".to_owned(), 1)] } else { vec![] };
        assert_eq!(failures(&mut plugins), expected, "{copied}");
    }
}

#[test]
fn other_limits_are_obeyed_as_well() {
    let limits =
        Limits { memory: 4 << 20, deadline: Duration::from_millis(90), ..patient().limits };
    let load = |way: &str| {
        load(&Setup { classifiers: vec![hostile(way)], limits: limits.clone(), ..Setup::default() })
    };
    let mut plugins = load("alloc-some");
    classify(&mut plugins, "/x");
    assert_eq!(failures(&mut plugins), [("memory".to_owned(), 1)]);
    let mut plugins = load("spin");
    let took = processor(|| classify(&mut plugins, "/x"));
    assert!(took >= Duration::from_millis(90), "{took:?}");
    let limits = Limits { stack: 16 << 10, ..patient().limits };
    let setup = Setup { classifiers: vec![hostile("recurse-some")], limits, ..Setup::default() };
    let mut plugins = super::load(&setup);
    classify(&mut plugins, "/x");
    assert_eq!(failures(&mut plugins), [("stack".to_owned(), 1)]);
}

#[test]
fn memory_stays_bounded_however_often_it_fails() {
    let mut plugins =
        load(&Setup { classifiers: vec![hostile("alloc")], every_call: true, ..patient() });
    let anonymous = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    (0..3).for_each(|_| drop(classify(&mut plugins, "/x")));
    let before = anonymous();
    (0..30).for_each(|_| drop(classify(&mut plugins, "/x")));
    let grown = anonymous().saturating_sub(before);
    // Other tests run beside this one: the bound is for 30 instances of 16 MiB that were not given back.
    assert!(grown < 200 << 10, "{grown} kB");
    assert_eq!(plugins.failures(), 33);
}

#[test]
fn starting_anew_gives_no_more_lines() {
    let mut plugins = load(&Setup {
        classifiers: vec![hostile("log-flood")],
        every_call: true,
        ..Setup::default()
    });
    let start = Instant::now();
    (0..5).for_each(|n| drop(classify(&mut plugins, &format!("/{n}"))));
    let said = plugins.take_log();
    assert!((10..=most_lines(start).min(50)).contains(&said.len()), "{}", said.len());
}
