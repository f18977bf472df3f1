//! What 0.1.1 added to events.

use std::fmt::Write;

use super::*;
use crypto_tracer_event::{Ancestor, Comm, MAX_ANCESTORS, ProcessKey};

fn probe(way: &str) -> PluginSpec {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/plugins/filter-probe.wasm");
    let mut spec = PluginSpec::command_line(PluginSource::File(trusted_copy(file.as_ref())));
    spec.config.insert("way".to_owned(), json!(way));
    spec
}

fn ancestor(pid: u32, comm: &str, exe: Option<&str>) -> Ancestor {
    let exe = exe.map(|exe| exe.as_bytes().into());
    Ancestor { pid, start_ticks: 40, uid: 3, comm: Comm::from_name(comm.as_bytes()), exe }
}

fn child() -> ClassifiedEvent {
    let mut child = event(1000);
    let exe = format!("/usr/lib/{}", "x".repeat(5000));
    child.event.process.ancestors = Some(
        [
            ancestor(70, "sh", Some("/bin/sh")),
            ancestor(60, "\u{1b}[2J", None),
            ancestor(50, "long", Some(&exe)),
        ]
        .into(),
    );
    child.event.process.key = ProcessKey { tgid: 7, start_ns: 123_456_789_012 };
    child
}

/// The labels that the fixture adds to an event, as `name=value`.
fn labels(way: &str, event: &ClassifiedEvent) -> Vec<String> {
    let mut plugins = filters(vec![probe(way)]);
    let decision = plugins.decide(event);
    assert_eq!(failures(&mut plugins), [], "{way}");
    match decision {
        Decision::Label(LabelChanges { added, removed }) => {
            assert_eq!(removed, []);
            added.iter().map(|label| format!("{}={}", label.name, label.value)).collect()
        }
        other => panic!("{way}: {other:?}"),
    }
}

#[test]
fn ancestors_have_their_facts() {
    let mut few = child();
    few.event.process.ancestors = few.event.process.ancestors.map(|all| all[..2].into());
    assert_eq!(
        labels("ancestors", &few),
        ["ancestor_1=70 sh /bin/sh 3 40 70:40", "ancestor_2=60 \u{1b}[2J none 3 40 60:40"]
    );
    assert_eq!(filters(vec![probe("ancestors")]).decide(&event(1)).added().len(), 0);
}

impl Decision {
    fn added(self) -> Vec<Label> {
        match self {
            Decision::Label(changes) => changes.added,
            Decision::Keep | Decision::Drop => Vec::new(),
        }
    }
}

#[test]
fn unknown_names_and_levels_are_none() {
    let event = child();
    for (level, name) in [
        ("0", "pid"),
        ("4", "pid"),
        ("32", "exe"),
        ("33", "exe"),
        ("4294967295", "exe"),
        ("1", "comm"),
        ("1", "PID"),
        ("1", "labels.a"),
        ("2", "exe"),
    ] {
        assert_eq!(labels(&format!("ancestor {level} {name}"), &event), ["ancestor=none"]);
    }
    assert_eq!(labels("ancestor-long 100000", &event), ["ancestor=none"]);
    assert_eq!(labels("ancestor 3 pid", &event), ["ancestor=50"]);
}

#[test]
fn levels_are_bounded() {
    let mut event = child();
    let all = (0..2 * MAX_ANCESTORS as u32).map(|pid| ancestor(pid, "deep", None));
    event.event.process.ancestors = Some(all.collect());
    assert_eq!(labels("ancestor 32 pid", &event), ["ancestor=31"]);
    assert_eq!(labels("ancestor 33 pid", &event), ["ancestor=none"]);
}

/// Two of 40 levels have an executable, one of them of 5 KB.
#[test]
fn thousands_of_calls_are_within_the_limits_and_a_flood_is_not() {
    let event = child();
    assert_eq!(labels("ancestor-flood 4000", &event), ["found=200"]);
    let mut plugins = filters(vec![probe("ancestor-flood 100000000")]);
    assert_eq!(plugins.decide(&event), Decision::Keep);
    assert_eq!(plugins.failures(), 1);
    let mut plugins = filters(vec![probe("spin")]);
    assert_eq!(plugins.decide(&event), Decision::Keep);
    assert_eq!(plugins.failures(), 1);
}

#[test]
fn only_filters_that_import_ancestor_ask_for_it() {
    assert!(filters(vec![probe("key")]).asks_for_ancestors());
    assert!(!filters(vec![hostile("label")]).asks_for_ancestors());
    assert!(!load(&generous()).asks_for_ancestors());
}

#[test]
fn a_process_has_a_key_of_pid_and_start() {
    assert_eq!(labels("key", &child()), ["key=7:12345"]);
}

#[test]
fn numbers_need_no_parsing() {
    let mut open = child();
    open.event.process.tid = 8;
    open.event.process.mount_ns = 9;
    open.event.what = EnrichedWhat::FileOpen { file: file("/a"), flags: 0 };
    let numbers = |event: &ClassifiedEvent| {
        let mut text = String::new();
        for name in [
            "timestamp",
            "pid",
            "tid",
            "ppid",
            "uid",
            "start",
            "mount_ns",
            "inode",
            "exit_code",
            "signal",
            "file",
        ] {
            let label = labels(&format!("number {name}"), event).remove(0);
            write!(text, "{} ", label.trim_start_matches("number=")).unwrap();
        }
        text
    };
    assert_eq!(numbers(&open), "5 7 8 1 1000 12345 9 2 none none none ");
    let mut huge = open.clone();
    let EnrichedWhat::FileOpen { file, .. } = &mut huge.event.what else { panic!() };
    file.inode = u64::MAX;
    assert_eq!(labels("number inode", &huge), ["number=none"]);
    open.event.what = EnrichedWhat::Exit { exit_code: 137, signal: Some(9) };
    assert_eq!(numbers(&open), "5 7 8 1 1000 12345 9 none 137 9 none ");
    open.event.what = EnrichedWhat::Exit { exit_code: -1, signal: None };
    assert_eq!(labels("number exit_code", &open), ["number=-1"]);
}

fn labelled() -> ClassifiedEvent {
    let mut labelled = event(1000);
    let label = |name: &str| Label { name: name.into(), value: "given".into() };
    let verdict = testkit::verdict(FileType::Unknown);
    labelled.verdict = Some(Verdict { labels: vec![label("a"), label("b")], ..verdict });
    labelled
}

/// The decision of several instances of the fixture, which are different files, and the labels of the event after it.
fn decided(ways: &[&str]) -> Option<Vec<(String, String)>> {
    let specs = ways.iter().enumerate().map(|(at, way)| {
        let mut spec = probe(way);
        let PluginSource::File(path) = &spec.source else { panic!() };
        let copy = path.with_file_name(format!("filter-probe-{at}.wasm"));
        if !copy.exists() {
            std::fs::copy(path, &copy).unwrap();
        }
        spec.source = PluginSource::File(copy);
        spec
    });
    let mut labelled = labelled();
    match filters(specs.collect()).decide(&labelled) {
        Decision::Drop => return None,
        Decision::Keep => {}
        Decision::Label(changes) => changes.apply(&mut labelled),
    }
    let text = |label: &Label| (label.name.to_string(), label.value.to_string());
    Some(labelled.labels().map(text).collect())
}

#[test]
fn a_removed_label_is_gone_for_later_filters_and_the_output() {
    let pairs = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    };
    let (a, b) = (("a", "given"), ("b", "given"));
    assert_eq!(decided(&["keep"]), pairs(&[a, b]));
    assert_eq!(decided(&["remove a"]), pairs(&[b]));
    assert_eq!(decided(&["remove c"]), pairs(&[a, b]));
    assert_eq!(decided(&["see a", "remove a"]), pairs(&[b, ("seen", "given")]));
    assert_eq!(decided(&["remove a", "see a"]), pairs(&[b, ("seen", "none")]));
    assert_eq!(decided(&["replace a"]), pairs(&[b, ("a", "none")]));
    assert_eq!(decided(&["remove a", "replace a", "remove a"]), pairs(&[b, ("a", "none")]));
    assert_eq!(decided(&["remove-drop a"]), None);
    assert_eq!(decided(&["remove-flood a"]), pairs(&[b]));
}

#[test]
fn a_failed_call_removes_no_label() {
    let all = decided(&["remove b", "remove-panic a", "see a"]).unwrap();
    let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(all, [("a", "given"), ("seen", "given")]);
}
