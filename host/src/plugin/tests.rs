//! Plugins that behave, and one that does not in each way there is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::event::{
    Arguments, Comm, EnrichedEvent, EnrichedWhat, Field, FileType, HeadOutcome, KernelPath, Label,
    ProcessFacts, ProcessKey, Timestamp,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/plugins/0.1.0");

fn fixture(name: &str) -> PluginSource {
    PluginSource::File(PathBuf::from(FIXTURES).join(name))
}

/// The fixture that misbehaves in this way.
fn hostile(way: &str) -> PluginSpec {
    let mut spec = PluginSpec::command_line(fixture("hostile.wasm"));
    spec.config.insert("way".to_owned(), json!(way));
    spec
}

fn load(setup: &Setup) -> Plugins {
    Plugins::load(setup).unwrap_or_else(|error| panic!("{error}"))
}

fn classifiers(specs: Vec<PluginSpec>) -> Plugins {
    load(&Setup { classifiers: specs, ..Setup::default() })
}

fn redactors(specs: Vec<PluginSpec>) -> Plugins {
    load(&Setup { redactors: specs, ..Setup::default() })
}

fn filters(specs: Vec<PluginSpec>) -> Plugins {
    load(&Setup { filters: specs, ..Setup::default() })
}

fn file(path: &str) -> OpenedFile {
    let path = KernelPath { bytes: path.into(), ..KernelPath::default() };
    OpenedFile { path, dev: 1, inode: 2, size: 3, ctime_ns: 4, ..OpenedFile::default() }
}

/// A head that is there, and how often it was asked for.
struct Head(&'static [u8], HeadOutcome, u32);

impl Heads for Head {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        self.2 += 1;
        (self.0, self.1)
    }

    fn size(&mut self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

fn certificate() -> Head {
    Head(b"-----BEGIN CERTIFICATE-----\nMII", HeadOutcome::Read, 0)
}

fn classify(plugins: &mut Plugins, path: &str) -> Verdict {
    plugins.classify(1000, &file(path), 0, &mut certificate())
}

fn redact(plugins: &mut Plugins, value: &str) -> Option<String> {
    plugins.redactor(1000).redact(Field::File, value, &[])
}

fn event(uid: u32) -> ClassifiedEvent {
    let process = ProcessFacts {
        key: ProcessKey { tgid: 7, start_ns: 1 },
        exec_id: 1,
        tid: 7,
        ppid: 1,
        uid,
        comm: Comm::new(*b"nginx\0\0\0\0\0\0\0\0\0\0\0"),
        exe: Some(b"/usr/sbin/nginx"[..].into()),
        mount_ns: 1,
        root: (1, 1),
        cgroup_id: 1,
        cgroup: None,
        container: None,
    };
    let what = EnrichedWhat::Exec {
        arguments: Arguments { bytes: b"nginx\0-t\0".to_vec(), truncated: false },
    };
    let event = EnrichedEvent { timestamp: Timestamp(5), process, what };
    ClassifiedEvent { event, verdict: None, labels: Vec::new() }
}

/// Cause and count of everything that failed.
fn failures(plugins: &mut Plugins) -> Vec<(String, u64)> {
    plugins.take_failures().into_iter().map(|failure| (failure.cause, failure.count)).collect()
}

#[test]
fn the_bundled_plugins_do_what_is_documented() {
    let mut plugins = load(&Setup::default());
    assert!(plugins.interest().wants_file(b"server.PEM"));
    assert!(plugins.interest().wants_library(b"libssl.so.3"));
    let verdict = classify(&mut plugins, "/etc/ssl/server.pem");
    assert_eq!(verdict.file_type, FileType::Certificate);
    assert_eq!(verdict.head, HeadOutcome::Read);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(verdict.classifier.as_deref(), Some(&*format!("classify-default@{version}")));
    let verdict = classify(&mut plugins, "/etc/ssl/server.key");
    assert_eq!(verdict.file_type, FileType::PrivateKey);
    assert_eq!(verdict.head, HeadOutcome::NotNeeded);
    assert_eq!(classify(&mut plugins, "/x.der").file_type, FileType::Unknown);
    assert_eq!(redact(&mut plugins, "/home/alice/x").as_deref(), Some("/home/USER/x"));
    assert_eq!(redact(&mut plugins, "/etc/x"), None);
    assert_eq!(plugins.decide(&event(1000)), Decision::Keep);
    assert_eq!(plugins.failures(), 0);
}

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
        let start = Instant::now();
        let verdict = classify(&mut plugins, "/evil/x.crt");
        assert!(start.elapsed() < Duration::from_millis(1000), "{way}: {:?}", start.elapsed());
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
fn a_redactor_that_fails_shows_nothing() {
    for way in ["spin", "panic", "alloc", "recurse", "text-long", "text-huge", "text-not-utf8"] {
        for chain in
            [vec![hostile(way), PluginSpec::bundled()], vec![PluginSpec::bundled(), hostile(way)]]
        {
            let mut plugins = redactors(chain);
            for round in 0..7 {
                let shown = redact(&mut plugins, "/home/alice/x");
                assert_eq!(shown.as_deref(), Some("[REDACTED]"), "{way} {round}");
            }
            // It rests by now, which is no reason to show more.
            let told = failures(&mut plugins);
            assert!(told.contains(&("resting".to_owned(), 2)), "{way}: {told:?}");
        }
    }
    let mut plugins = redactors(vec![hostile("text-64k")]);
    assert_eq!(redact(&mut plugins, "x").map(|text| text.len()), Some(64 << 10));
}

#[test]
fn a_filter_that_fails_keeps() {
    for way in ["spin", "panic", "labels-17"] {
        let mut plugins = filters(vec![hostile(way)]);
        assert_eq!(plugins.decide(&event(1000)), Decision::Keep, "{way}");
        assert_eq!(plugins.failures(), 1);
    }
    assert_eq!(filters(vec![hostile("drop")]).decide(&event(1000)), Decision::Drop);
    let labelled = filters(vec![hostile("label")]).decide(&event(1000));
    let label = Label { name: "owner".into(), value: "nginx".into() };
    assert_eq!(labelled, Decision::Label(vec![label]));
}

#[test]
fn a_run_that_ends_ends_the_call() {
    let setup = Setup { classifiers: vec![hostile("spin")], ..Setup::default() };
    let mut plugins = load(&setup);
    setup.stop.ask();
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(classify(&mut plugins, "/x").file_type, FileType::Unknown);
    }
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    assert_eq!(failures(&mut plugins), [("stopped".to_owned(), 100)]);
}
