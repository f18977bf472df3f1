use serde_json::{Value, json};

use super::*;
use crypto_tracer_event::{
    ClassifiedEvent, EnrichedWhat, Field, FileType, KernelPath, Label, Loss, Notice, OpenedFile,
    PluginFailure, PluginKind, ProcessFacts, Redact, RedactedEvent, Timestamp, Verdict, testkit,
};

const AT: i64 = 1_733_653_845_123_456;

/// Replaces every "alice".
struct HideAlice;

impl Redact for HideAlice {
    fn redact(&mut self, _: Field<'_>, value: &str, _: &[String]) -> Option<String> {
        value.contains("alice").then(|| value.replace("alice", "USER"))
    }
}

fn event(what: EnrichedWhat, verdict: Option<Verdict>) -> ClassifiedEvent {
    let process = ProcessFacts {
        tid: 8,
        ppid: 6,
        uid: 1000,
        exe: Some(b"/home/alice/cat".as_slice().into()),
        mount_ns: 5,
        cgroup: Some("/a".into()),
        ..testkit::process(7, "cat")
    };
    let event = testkit::enriched(AT, process, what);
    ClassifiedEvent { event, verdict, labels: Vec::new(), assets: None }
}

fn file(path: &[u8]) -> OpenedFile {
    let path = KernelPath { bytes: path.to_vec(), unreachable: true, ..KernelPath::default() };
    OpenedFile { path, dev: 8 << 20 | 1, inode: 9, ..OpenedFile::default() }
}

fn text(event: ClassifiedEvent, extended: bool) -> String {
    let event = RedactedEvent::new(event, &mut HideAlice, extended);
    assert_eq!(event.timestamp(), Timestamp(AT));
    let object = Object::of_event(&event, "1970-01-01T00:00:00.000000Z", extended);
    serde_json::to_string(&object).unwrap()
}

fn opened(path: &[u8]) -> ClassifiedEvent {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let verdict = Verdict {
        file_type: FileType::PrivateKey,
        labels: vec![label("of", "alice"), label("of", "bob")],
        classifier: Some("default@1".into()),
        head: HeadOutcome::NotNeeded,
        skipped: false,
    };
    event(EnrichedWhat::FileOpen { file: file(path), flags: 0o102 }, Some(verdict))
}

#[test]
fn extended_fields_have_the_documented_order() {
    let short = r#"{"event_type":"file_open","timestamp":"1970-01-01T00:00:00.000000Z","pid":7,"uid":1000,"process":"cat","file":"/a.key","file_type":"private_key","flags":"O_RDWR|O_CREAT","#;
    let labels = r#""labels":{"of":"USER"}}"#;
    assert_eq!(text(opened(b"/a.key"), false), format!("{short}{labels}"));
    let more = r#""tid":8,"ppid":6,"exe":"/home/USER/cat","dev":"8:1","inode":9,"mount_ns":5,"container":null,"cgroup":"/a","classifier":"default@1","head":"not_needed","unreachable":true,"#;
    assert_eq!(text(opened(b"/a.key"), true), format!("{short}{more}{labels}"));

    let load = EnrichedWhat::LibLoad { file: file(b"/l.so"), library_name: b"l".to_vec() };
    let load = text(event(load, None), true);
    let more = r#""library_name":"l","tid":8,"uid":1000,"ppid":6,"exe":"/home/USER/cat","dev":"8:1","inode":9,"mount_ns":5,"container":null,"cgroup":"/a","unreachable":true}"#;
    assert!(load.ends_with(more), "{load}");
    let exec = text(event(EnrichedWhat::Exec { arguments: Default::default() }, None), true);
    let more = r#""cmdline":"","tid":8,"uid":1000,"exe":"/home/USER/cat","mount_ns":5,"container":null,"cgroup":"/a"}"#;
    assert!(exec.ends_with(more), "{exec}");
    let exit = EnrichedWhat::Exit { exit_code: 137, signal: Some(9) };
    let exit = text(event(exit, None), true);
    let more = r#""exit_code":137,"tid":8,"uid":1000,"ppid":6,"exe":"/home/USER/cat","signal":9,"mount_ns":5,"container":null,"cgroup":"/a"}"#;
    assert!(exit.ends_with(more), "{exit}");
}

#[test]
fn bytes_of_a_path_are_present_only_without_redaction() {
    let bytes = |path: &[u8]| {
        let value: Value = serde_json::from_str(&text(opened(path), true)).unwrap();
        value.get("file_bytes").cloned()
    };
    assert_eq!(bytes(b"/\xff.key"), Some(json!("L/8ua2V5")));
    assert_eq!(bytes(b"/home/alice/\xff.key"), None);
    assert_eq!(bytes(b"/a.key"), None);
}

#[test]
fn notices_have_the_documented_fields() {
    let at = "1970-01-01T00:00:00.000000Z";
    let text = |notice| serde_json::to_string(&Object::of_notice(&notice, at)).unwrap();
    let loss = |exact| Loss { count: 3, cause: "ring_full".into(), exact };
    let lost = r#"{"event_type":"events_lost","timestamp":"1970-01-01T00:00:00.000000Z","count":3,"cause":"ring_full"}"#;
    assert_eq!(text(Notice::EventsLost(Timestamp(0), loss(true))), lost);
    let estimated = lost.replace('}', ",\"exact\":false}");
    assert_eq!(text(Notice::EventsLost(Timestamp(0), loss(false))), estimated);
    let failure = PluginFailure {
        plugin: "a@1".to_owned(),
        kind: PluginKind::Filter,
        cause: "trap".to_owned(),
        count: 2,
        action: "kept",
    };
    assert_eq!(
        text(Notice::PluginFailed(Timestamp(0), failure)),
        r#"{"event_type":"plugin_failed","timestamp":"1970-01-01T00:00:00.000000Z","plugin":"a@1","kind":"filter","cause":"trap","count":2,"action":"kept"}"#
    );
}
