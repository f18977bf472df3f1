//! What a classifier can ask about a file, with the fixture for the current contract.

use super::*;
use crypto_tracer_event::{FileStat, MAX_PEM_BLOCKS, PemBlock};

/// Metadata and blocks of a file, and how often they were read.
#[derive(Default)]
struct Facts {
    stat: Option<FileStat>,
    blocks: Vec<PemBlock>,
    reads: u32,
    does_not_hold: bool,
}

impl HeadSource for Facts {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        (b"", self.outcome())
    }

    fn size(&mut self) -> Option<u64> {
        None
    }

    fn stat(&mut self) -> (Option<FileStat>, HeadOutcome) {
        self.reads += 1;
        (self.stat, self.outcome())
    }

    fn blocks(&mut self) -> (&[PemBlock], HeadOutcome) {
        self.reads += 1;
        let outcome = self.outcome();
        (&self.blocks, outcome)
    }

    fn holds(&self) -> bool {
        !self.does_not_hold
    }
}

impl Facts {
    fn outcome(&self) -> HeadOutcome {
        if self.stat.is_some() { HeadOutcome::Read } else { HeadOutcome::Gone }
    }

    fn of(mode: u32) -> Facts {
        Facts { stat: Some(FileStat { mode, ..FileStat::default() }), ..Facts::default() }
    }
}

fn probe(way: &str) -> PluginSpec {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/plugins/probe.wasm");
    let mut spec = PluginSpec::command_line(PluginSource::File(trusted_copy(path.as_ref())));
    spec.config.insert("way".to_owned(), json!(way));
    spec
}

fn answer_of(verdict: &Verdict) -> Option<&str> {
    verdict.labels.iter().find(|label| &*label.name == "answer").map(|label| &*label.value)
}

/// The answer to one way, and how often the file was inspected for it.
fn ask(way: &str, file: &OpenedFile, facts: &mut Facts) -> String {
    let mut plugins = classifiers(vec![probe(way)]);
    let verdict = plugins.classify(1000, file, 0, facts);
    assert_eq!(failures(&mut plugins), [], "{way}");
    answer_of(&verdict).unwrap_or_else(|| panic!("{way}: {verdict:?}")).to_owned()
}

#[test]
fn facts_come_from_the_record_or_from_the_reader() {
    let opened =
        OpenedFile { dev: 8 << 20 | 1, inode: u64::MAX, ctime_ns: 5_000, ..file("/a.probe") };
    let stat =
        FileStat { uid: 33, gid: 4, mode: 0o104_640, links: 2, modified_ns: 7_999, changed_ns: 0 };
    for (name, expected, reads) in [
        ("inode", "18446744073709551615", 0),
        ("device", "8388609", 0),
        ("changed", "5", 0),
        ("size", "3", 0),
        ("uid", "33", 1),
        ("gid", "4", 1),
        ("mode", "35232", 1),
        ("links", "2", 1),
        ("modified", "7", 1),
        ("Mode", "none", 0),
        ("", "none", 0),
    ] {
        let mut facts = Facts { stat: Some(stat), ..Facts::default() };
        let way = format!("stat {name}");
        assert_eq!(ask(&way, &opened, &mut facts), expected, "{name}");
        assert_eq!(facts.reads, reads, "{name}: only what needs the reader asks it");
        let mut gone = Facts::default();
        let expected = if reads == 0 { expected } else { "none" };
        assert_eq!(ask(&way, &opened, &mut gone), expected, "{name} of a file that is gone");
    }
}

#[test]
fn the_type_of_the_file_system_is_a_word() {
    for (sb_magic, expected) in [(0xef53, "ext4"), (0x1234_5678, "0x12345678"), (0, "none")] {
        let mut facts = Facts::default();
        let file = OpenedFile { sb_magic, ..file("/a.probe") };
        assert_eq!(ask("filesystem", &file, &mut facts), expected);
        assert_eq!(facts.reads, 0);
    }
}

#[test]
fn blocks_are_listed_without_bodies() {
    let block = |label: &str, encrypted| PemBlock { label: label.to_owned(), encrypted };
    let blocks = vec![block("CERTIFICATE", None), block("RSA PRIVATE KEY", Some(true))];
    let mut facts = Facts { blocks, ..Facts::of(0) };
    let answer = ask("blocks", &file("/a.probe"), &mut facts);
    let certificate = answer.find("\"CERTIFICATE\", encrypted: None").unwrap();
    assert!(certificate < answer.find("\"RSA PRIVATE KEY\", encrypted: Some(true)").unwrap());
    assert_eq!(ask("blocks", &file("/a.probe"), &mut Facts::default()), "[]");
}

#[test]
fn blocks_need_the_grant() {
    let mut spec = probe("stat mode");
    spec.allow.clear();
    let setup =
        |spec| Setup { chains: [(PluginKind::Classifier, vec![spec])].into(), ..generous() };
    let error = Plugins::load(&setup(spec)).unwrap_err();
    assert!(matches!(error.problem, Problem::NeedsGrant), "{error}");
    assert!(load(&setup(probe("blocks"))).reads_blocks());
    assert!(!load(&setup(hostile("head"))).reads_blocks());
}

/// The host must not fail, and no later call either.
#[test]
fn questions_without_end_fail_at_most_their_call() {
    let most = PemBlock { label: "X".repeat(128), encrypted: Some(true) };
    let blocks = vec![most; MAX_PEM_BLOCKS];
    let mut facts = Facts { blocks, ..Facts::of(0o100_644) };
    assert_eq!(ask("many 8000", &file("/a.probe"), &mut facts), "3000");
    assert_eq!(ask("long-name 100000", &file("/a.probe"), &mut Facts::of(0)), "none");
    // Longer than what a call may copy.
    let mut plugins = classifiers(vec![probe("long-name 2000000"), PluginSpec::bundled()]);
    let verdict = plugins.classify(1000, &file("/a.crt"), 0, &mut Facts::of(0));
    assert_eq!(verdict.file_type, FileType::Certificate, "the next classifier is called");
    assert_eq!(failures(&mut plugins), [("answer".to_owned(), 1)]);
}

/// `chmod` gives the file another change time, and with it another key of the cache.
#[test]
fn verdicts_by_metadata_are_cached_until_the_file_changes() {
    let mut plugins = classifiers(vec![probe("stat mode")]);
    let mut mode = |file: &OpenedFile, facts: &mut Facts| {
        let verdict = plugins.classify(1000, file, 0, facts);
        (answer_of(&verdict).unwrap().to_owned(), facts.reads)
    };
    let opened = file("/a.probe");
    let mut first = Facts::of(0o644);
    assert_eq!(mode(&opened, &mut first), ("420".to_owned(), 1));
    let mut second = Facts::of(0o600);
    assert_eq!(mode(&opened, &mut second), ("420".to_owned(), 0), "cached");
    let changed = OpenedFile { ctime_ns: 5, ..opened.clone() };
    assert_eq!(mode(&changed, &mut second), ("384".to_owned(), 1));
    // It changed between this open and the inspection.
    let other = OpenedFile { inode: 9, ..opened };
    let mut late = Facts { does_not_hold: true, ..Facts::of(0o640) };
    assert_eq!(mode(&other, &mut late), ("416".to_owned(), 1));
    assert_eq!(mode(&other, &mut Facts::of(0o600)), ("384".to_owned(), 1), "not cached");
}

fn skipped(specs: Vec<PluginSpec>, path: &str) -> (bool, Verdict) {
    let mut plugins = classifiers(specs);
    let verdict = plugins.classify(1000, &file(path), 0, &mut certificate());
    // The second answer comes from the cache, if there was no failure.
    let again = plugins.classify(1000, &file(path), 0, &mut certificate());
    if plugins.failures() == 0 {
        assert_eq!(again, verdict, "{path}");
    }
    (verdict.skipped, verdict)
}

#[test]
fn a_file_is_skipped_if_every_interested_classifier_skips_it() {
    for (specs, path, expected) in [
        (vec![probe("skip")], "/a.probe", true),
        // The bundled classifier has no interest in the file, and no opinion about it.
        (vec![probe("skip"), PluginSpec::bundled()], "/a.probe", true),
        (vec![PluginSpec::bundled(), probe("skip")], "/a.probe", true),
        // It has an interest in these, with and without a type.
        (vec![probe("skip"), PluginSpec::bundled()], "/a.crt", false),
        (vec![probe("skip"), PluginSpec::bundled()], "/a.der", false),
        (vec![PluginSpec::bundled(), probe("skip")], "/a.der", false),
        // A classifier without an opinion does not skip.
        (vec![probe("none")], "/a.probe", false),
        (vec![probe("label")], "/a.probe", false),
        // A failed call does not skip.
        (vec![probe("skip-panic")], "/a.probe", false),
    ] {
        let ways: Vec<_> = specs.iter().map(|spec| spec.config.get("way").cloned()).collect();
        assert_eq!(skipped(specs, path).0, expected, "{ways:?} {path}");
    }
}

#[test]
fn the_answer_of_a_skipping_call_is_ignored() {
    let (is_skipped, verdict) = skipped(vec![probe("skip-type")], "/a.probe");
    assert!(is_skipped);
    assert_eq!((verdict.file_type, verdict.labels), (FileType::Unknown, vec![]));
    let chain = vec![probe("skip-type"), PluginSpec::bundled()];
    let (is_skipped, verdict) = skipped(chain, "/a.key");
    assert!(!is_skipped);
    assert_eq!((verdict.file_type, verdict.labels), (FileType::PrivateKey, vec![]));
}

#[test]
fn a_skip_is_of_one_call() {
    let mut plugins = classifiers(vec![probe("skip-odd")]);
    for path in ["/a.probe", "/ab.probe", "/c.probe", "/cd.probe"] {
        let verdict = plugins.classify(1000, &file(path), 0, &mut certificate());
        assert_eq!(verdict.skipped, path.len() % 2 == 1, "{path}");
    }
}
