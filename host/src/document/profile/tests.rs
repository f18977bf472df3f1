use super::*;
use crate::event::{
    Comm, EnrichedEvent, HeadOutcome, KernelPath, ProcessFacts, ProcessKey, Verdict,
};

/// Hides what stands between `/home/` and the next slash.
struct Homes;

impl Redact for Homes {
    fn redact(&mut self, _: Field<'_>, value: &str, _: &[String]) -> Option<String> {
        let (_, behind) = value.split_once("/home/")?;
        let (_, rest) = behind.split_once('/')?;
        Some(format!("/home/USER/{rest}"))
    }
}

fn classified(at: i64, what: EnrichedWhat, file_type: Option<FileType>) -> ClassifiedEvent {
    let process = ProcessFacts {
        key: ProcessKey { tgid: 7, start_ns: 1 },
        exec_id: 0,
        tid: 7,
        ppid: 1,
        uid: 0,
        comm: Comm::default(),
        exe: None,
        mount_ns: 0,
        root: (0, 0),
        cgroup_id: 0,
        cgroup: None,
        container: None,
    };
    let verdict = file_type.map(|file_type| Verdict {
        file_type,
        labels: vec![],
        classifier: None,
        head: HeadOutcome::NotNeeded,
    });
    let event = EnrichedEvent { timestamp: Timestamp(at), process, what };
    ClassifiedEvent { event, verdict, labels: vec![] }
}

fn file(path: &str) -> OpenedFile {
    let path = KernelPath { bytes: path.into(), ..KernelPath::default() };
    OpenedFile { path, ..OpenedFile::default() }
}

fn open(at: i64, path: &str, flags: u32, file_type: FileType) -> ClassifiedEvent {
    classified(at, EnrichedWhat::FileOpen { file: file(path), flags }, Some(file_type))
}

fn load(at: i64, path: &str) -> ClassifiedEvent {
    let library_name = b"libssl".to_vec();
    classified(at, EnrichedWhat::LibLoad { file: file(path), library_name }, None)
}

fn met(pid: u32, start_ns: u64) -> Met {
    let bytes = b"nginx\0-c\0/home/alice/nginx.conf\0".to_vec();
    Met {
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

fn counted() -> Run {
    Run {
        at: Timestamp(2_000_000),
        duration: Duration::from_micros(1_234_567),
        total_events: 9,
        events_lost: 3,
        several: true,
    }
}

#[test]
fn counts_times_and_modes() {
    let mut builder = ProfileBuilder::default();
    builder.meet(met(8, 50_000_000), &mut Homes);
    builder.meet(met(7, 20_000_000), &mut Homes);
    assert!(builder.knows(7, 25_000_000) && !builder.knows(7, 30_000_000));
    builder.had(load(0, "/lib/libssl.so.3"), true, &mut Homes);
    builder.had(open(0, "/home/alice/a.pem", 2, FileType::PrivateKey), true, &mut Homes);
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
        builder.event(event, &mut Homes);
    }
    let profile = builder.finish(counted());
    insta::assert_json_snapshot!(profile);
    insta::assert_snapshot!(profile.summary());
}

#[test]
fn a_single_process_is_no_list() {
    let mut builder = ProfileBuilder::default();
    builder.meet(met(7, 1), &mut Homes);
    let profile = builder.finish(Run { several: false, ..counted() });
    let text = serde_json::to_string(&profile).unwrap();
    assert!(!text.contains("processes") && !text.contains("not_listed"), "{text}");
}

#[test]
fn what_is_too_much_is_counted() {
    let mut builder = ProfileBuilder::default();
    for round in 0..2 {
        for i in 0..MOST_LISTED + 5 {
            let event = open(round, &format!("/{i}.pem"), 0, FileType::Certificate);
            builder.event(event, &mut Homes);
        }
    }
    let profile = builder.finish(counted());
    assert_eq!((profile.files_accessed.len(), profile.files_not_listed), (MOST_LISTED, 5));
    assert_eq!(profile.statistics.files_accessed, MOST_LISTED + 5);
    assert!(profile.files_accessed.iter().all(|file| file.access_count == 2));
}

#[test]
fn what_is_too_much_and_was_only_open_before_was_not_opened() {
    let mut builder = ProfileBuilder::default();
    let certificate = |at, path: &str| open(at, path, 0, FileType::Certificate);
    for i in 0..MOST_LISTED + 3 {
        builder.had(certificate(0, &format!("/{i}.pem")), true, &mut Homes);
    }
    for i in [0, MOST_LISTED, MOST_LISTED] {
        builder.event(certificate(1, &format!("/{i}.pem")), &mut Homes);
    }
    let profile = builder.finish(counted());
    assert_eq!((profile.files_accessed.len(), profile.files_not_listed), (MOST_LISTED, 3));
    assert_eq!(profile.statistics.files_accessed, 2);
}
