use std::collections::HashMap;

use super::builder::MAX_LISTED;
use super::*;
use crate::document::test_events::{classified, load, open, redacted};
use crypto_tracer_event::testkit::HideHomes;
use crypto_tracer_event::{Arguments, EnrichedWhat, FileType, ProcessSummary, RedactedProcess};

fn process(pid: u32, start_ns: u64) -> RedactedProcess {
    RedactedProcess::new(summary(pid, start_ns), &mut HideHomes)
}

fn summary(pid: u32, start_ns: u64) -> ProcessSummary {
    let bytes = b"nginx\0-c\0/home/alice/nginx.conf\0".to_vec();
    ProcessSummary {
        pid,
        start_ns,
        start_time: Timestamp(start_ns as i64 / 1000),
        name: b"nginx".to_vec(),
        exe: Some(b"/home/alice/nginx".to_vec()),
        arguments: Some(Arguments { bytes, truncated: false }),
        uid: 33,
        gid: Some(33),
    }
}

fn run() -> RunSummary {
    RunSummary {
        at: Timestamp(2_000_000),
        duration: Duration::from_micros(1_234_567),
        total_events: 9,
        events_lost: 3,
        list_processes: true,
    }
}

#[test]
fn counts_times_and_modes() {
    let mut builder = ProfileBuilder::default();
    builder.add_process(process(8, 50_000_000));
    builder.add_process(process(7, 20_000_000));
    assert!(builder.knows(7, 25_000_000) && !builder.knows(7, 30_000_000));
    builder.add_held(&redacted(load(0, "/lib/libssl.so.3")), true);
    builder.add_held(&redacted(open(0, "/home/alice/a.pem", 2, FileType::PrivateKey)), true);
    for event in [
        load(10, "/lib/libssl.so.3"),
        load(11, "/lib/libcrypto.so.3"),
        load(12, "/lib/libcrypto.so.3"),
        open(30, "/home/alice/b.pem", 0, FileType::Certificate),
        open(20, "/home/alice/b.pem", 0, FileType::Unknown),
        open(21, "/home/bob/b.pem", 0, FileType::Unknown),
        open(22, "/c.pem", 1, FileType::Keystore),
        open(23, "/d.pem", 1, FileType::Keystore),
        open(24, "/d.pem", 0, FileType::Keystore),
        classified(25, EnrichedWhat::Exit { exit_code: 0, signal: None }, None),
    ] {
        builder.add_event(&redacted(event));
    }
    let profile = builder.finish(run(), &HashMap::new());
    insta::assert_json_snapshot!(profile);
    insta::assert_snapshot!(profile.summary());
}

#[test]
fn a_single_process_is_not_in_a_list() {
    let mut builder = ProfileBuilder::default();
    builder.add_process(process(7, 1));
    let profile = builder.finish(RunSummary { list_processes: false, ..run() }, &HashMap::new());
    let text = serde_json::to_string(&profile).unwrap();
    assert!(!text.contains("processes") && !text.contains("not_listed"), "{text}");
}

#[test]
fn files_beyond_the_limit_are_counted() {
    let mut builder = ProfileBuilder::default();
    for round in 0..2 {
        for i in 0..MAX_LISTED + 5 {
            let event = open(round, &format!("/{i}.pem"), 0, FileType::Certificate);
            builder.add_event(&redacted(event));
        }
    }
    let profile = builder.finish(run(), &HashMap::new());
    assert_eq!((profile.files_accessed.len(), profile.files_not_listed), (MAX_LISTED, 5));
    assert_eq!(profile.statistics.files_accessed, MAX_LISTED + 5);
    assert!(serde_json::to_string(&profile).unwrap().contains("\"files_not_listed\":5"));
    assert!(profile.files_accessed.iter().all(|file| file.access_count == 2));
}

#[test]
fn files_beyond_the_limit_count_as_accessed_only_if_opened_in_the_run() {
    let mut builder = ProfileBuilder::default();
    let certificate = |at, path: &str| open(at, path, 0, FileType::Certificate);
    for i in 0..MAX_LISTED + 3 {
        builder.add_held(&redacted(certificate(0, &format!("/{i}.pem"))), true);
    }
    for i in [0, MAX_LISTED, MAX_LISTED] {
        builder.add_event(&redacted(certificate(1, &format!("/{i}.pem"))));
    }
    let profile = builder.finish(run(), &HashMap::new());
    assert_eq!((profile.files_accessed.len(), profile.files_not_listed), (MAX_LISTED, 3));
    assert_eq!(profile.statistics.files_accessed, 2);
}

#[test]
fn unreachable_paths_are_distinct_and_a_load_in_the_run_has_a_time() {
    let mut builder = ProfileBuilder::default();
    assert!(builder.is_empty());
    builder.add_process(process(7, 1));
    assert!(!builder.is_empty());
    // A library that was found when the process appeared during the run was not loaded before the run.
    builder.add_held(&redacted(load(5, "/lib/libssl.so.3")), false);
    let unreachable = |path: &str| {
        let mut event = open(6, path, 0, FileType::Certificate);
        if let EnrichedWhat::FileOpen { file, .. } = &mut event.event.what {
            file.path.unreachable = true;
        }
        event
    };
    builder.add_event(&redacted(open(6, "/a.pem", 0, FileType::Certificate)));
    builder.add_event(&redacted(unreachable("/a.pem")));
    builder.add_event(&redacted(unreachable("/a.pem")));
    builder.add_event(&redacted(load(9, "/lib/libssl.so.3")));
    let profile = builder.finish(run(), &HashMap::new());
    let counts: Vec<_> = profile.files_accessed.iter().map(|file| file.access_count).collect();
    assert_eq!(counts, [1, 2]);
    let time = profile.libraries.first().and_then(|library| library.load_time.as_deref());
    assert_eq!(time, Some("1970-01-01T00:00:00.000009Z"));
}

#[test]
fn a_summary_omits_empty_sections() {
    let mut builder = ProfileBuilder::default();
    let process = ProcessSummary { name: b"a\x1b[2J".to_vec(), exe: None, ..summary(7, 1) };
    builder.add_process(RedactedProcess::new(process, &mut HideHomes));
    let single = RunSummary { list_processes: false, ..run() };
    let text = builder.finish(single, &HashMap::new()).summary();
    assert_eq!(
        text,
        "a\\u{1b}[2J (pid 7), ?\n1970-01-01T00:00:02.000000Z, 1.235 s: 9 events, 0 libraries, \
         0 files opened, 3 events lost\n"
    );
    let mut builder = ProfileBuilder::default();
    for i in 0..MAX_LISTED + 2 {
        builder.add_event(&redacted(open(0, &format!("/{i}.pem"), 0, FileType::Certificate)));
    }
    let text = builder.finish(run(), &HashMap::new()).summary();
    assert!(text.ends_with("\n  and 2 more\n"), "{}", &text[text.len() - 200..]);
}

#[test]
fn processes_and_libraries_beyond_the_limit_are_counted() {
    let mut builder = ProfileBuilder::default();
    for round in 0..2 {
        for i in 0..MAX_LISTED + 4 {
            let pid = u32::try_from(i).unwrap();
            let start_ns = 10_000_000 * u64::from(pid);
            if !builder.knows(pid, start_ns) {
                builder.add_process(process(pid, start_ns));
            }
            builder.add_event(&redacted(load(round, &format!("/{i}/libssl.so"))));
        }
    }
    let profile = builder.finish(run(), &HashMap::new());
    let listed = profile.processes.as_ref().map(Vec::len);
    assert_eq!((listed, profile.processes_not_listed), (Some(MAX_LISTED), 4));
    assert_eq!((profile.libraries.len(), profile.libraries_not_listed), (MAX_LISTED, 4));
    assert_eq!(profile.statistics.libraries_loaded, MAX_LISTED + 4);
}
