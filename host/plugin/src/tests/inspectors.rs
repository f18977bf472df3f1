//! Inspectors, with the bundled one and with a fixture that breaks the bounds of their answers.

use super::*;

/// What is visible of a file, its outcome, and how often it was read.
struct Content {
    visible: Vec<u8>,
    outcome: HeadOutcome,
    reads: u32,
}

impl Content {
    fn of(visible: &[u8]) -> Content {
        Content { visible: visible.to_vec(), outcome: HeadOutcome::Read, reads: 0 }
    }
}

impl HeadSource for Content {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        (&self.visible[..self.visible.len().min(64 << 10)], self.outcome)
    }

    fn visible(&mut self) -> (&[u8], HeadOutcome) {
        self.reads += 1;
        (&self.visible, self.outcome)
    }

    fn size(&mut self) -> Option<u64> {
        Some(self.visible.len() as u64)
    }
}

const RSA: &[u8] = include_bytes!("../../../../plugins/inspect-x509/fixtures/rsa.pem");
const BOTH: &[u8] = include_bytes!("../../../../plugins/inspect-x509/fixtures/both.p7c");

fn probe(way: &str) -> PluginSpec {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/plugins/probe.wasm");
    let mut spec = PluginSpec::command_line(PluginSource::File(trusted_copy(file.as_ref())));
    spec.config.insert("way".to_owned(), json!(way));
    spec
}

fn inspectors(specs: Vec<PluginSpec>) -> Plugins {
    let setup = limits_for(&specs);
    let chains = [(PluginKind::Inspector, specs)].into();
    load(&Setup { chains, needs_assets: true, ..setup })
}

fn inspect(plugins: &mut Plugins, path: &str, content: &mut Content) -> Vec<Asset> {
    plugins.inspect(1000, &file(path), 0, content).expect("inspectors are loaded").to_vec()
}

fn fact<'a>(asset: &'a Asset, name: &str) -> Option<&'a str> {
    asset.facts.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
}

/// What the fixture answers to one call.
fn answer(way: &str, content: &[u8]) -> Vec<Asset> {
    let mut plugins = inspectors(vec![probe(way)]);
    let assets = inspect(&mut plugins, "/a.pem", &mut Content::of(content));
    assert_eq!(failures(&mut plugins), [], "{way}");
    assets
}

#[test]
fn the_bundled_inspector_lists_certificates() {
    let mut plugins = inspectors(vec![PluginSpec::bundled()]);
    let [found] = &inspect(&mut plugins, "/a.pem", &mut Content::of(RSA))[..] else {
        panic!("one certificate")
    };
    assert_eq!(&*found.kind, "certificate");
    assert_eq!(fact(found, "subject"), Some("CN=server.example,O=Example Ltd,C=CH"));
    assert_eq!(fact(found, "serial"), Some("f1e2d3c4"));
    assert_eq!(inspect(&mut plugins, "/b.p7c", &mut Content::of(BOTH)).len(), 2);
    assert_eq!(
        inspect(&mut plugins, "/c.key", &mut Content::of(b"-----BEGIN PRIVATE KEY-----\n")),
        []
    );
    assert_eq!(plugins.failures(), 0);
}

#[test]
fn the_bundled_inspector_lists_a_bundle_of_150_within_the_limits() {
    let der = {
        use base64::Engine as _;
        let text = std::str::from_utf8(RSA).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        base64::prelude::BASE64_STANDARD.decode(body).unwrap()
    };
    let serial = b"\x02\x05\x00\xf1\xe2\xd3\xc4";
    let at = der.windows(serial.len()).position(|window| window == serial).unwrap();
    let numbered = |number: u16| {
        let mut der = der.clone();
        der[at + 5..at + 7].copy_from_slice(&number.to_be_bytes());
        der
    };
    let pem = |der: Vec<u8>| {
        use base64::Engine as _;
        let body = base64::prelude::BASE64_STANDARD.encode(der);
        let lines = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
        let lines: Vec<&str> = lines.collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    let bundle: String = (0..150).map(|number| pem(numbered(number))).collect();
    let chains = [(PluginKind::Inspector, vec![PluginSpec::bundled()])].into();
    // The default limits, except that a busy machine does not fail the test.
    let limits = Limits { wall: Duration::from_secs(3600), ..Limits::default() };
    let mut plugins = load(&Setup { chains, needs_assets: true, limits, ..Setup::default() });
    let all = inspect(&mut plugins, "/a.pem", &mut Content::of(bundle.as_bytes()));
    assert_eq!((all.len(), failures(&mut plugins)), (150, vec![]));
}

#[test]
fn inspectors_are_loaded_only_if_assets_are_needed() {
    let mut plugins = load(&generous());
    assert!(plugins.inspect(1000, &file("/a.pem"), 0, &mut Content::of(RSA)).is_none());
    assert!(plugins.running().iter().all(|plugin| plugin.kind != PluginKind::Inspector));
    let mut needed = load(&Setup { needs_assets: true, ..generous() });
    assert!(needed.running().iter().any(|plugin| &*plugin.name == "inspect-x509"));
    assert!(needed.inspect(1000, &file("/a.pem"), 0, &mut Content::of(RSA)).is_some());
}

#[test]
fn an_unchanged_file_is_inspected_once() {
    let mut plugins = inspectors(vec![PluginSpec::bundled()]);
    let mut content = Content::of(RSA);
    for _ in 0..3 {
        assert_eq!(inspect(&mut plugins, "/a.pem", &mut content).len(), 1);
    }
    assert_eq!(content.reads, 1);
    let changed = OpenedFile { ctime_ns: 5, ..file("/a.pem") };
    plugins.inspect(1000, &changed, 0, &mut content);
    assert_eq!(content.reads, 2);
    // What could not be read is read at the next open.
    let mut late = Content { outcome: HeadOutcome::Late, ..Content::of(b"") };
    assert_eq!(inspect(&mut plugins, "/late.pem", &mut late), []);
    assert_eq!(inspect(&mut plugins, "/late.pem", &mut content).len(), 1);
    // A file that an open created or truncated has no content.
    let created = OpenedFile { created: true, ..file("/new.pem") };
    assert_eq!(plugins.inspect(1000, &created, 0, &mut content).unwrap().len(), 0);
    assert_eq!(content.reads, 3);
}

#[test]
fn assets_of_all_inspectors_are_added_up() {
    let mut plugins = inspectors(vec![probe("kind site"), PluginSpec::bundled()]);
    let all = inspect(&mut plugins, "/a.pem", &mut Content::of(RSA));
    let kinds: Vec<&str> = all.iter().map(|asset| &*asset.kind).collect();
    assert_eq!(kinds, ["site", "certificate"]);
}

#[test]
fn a_failed_inspector_lists_nothing_and_the_next_one_is_called() {
    for (way, cause) in [
        ("assets 257", "answer"),
        ("assets 100000", "answer"),
        ("facts 33", "answer"),
        ("value 1025", "answer"),
        ("value 8000000", "answer"),
        ("fact A", "answer"),
        ("kind not-A-word", "answer"),
        ("panic", "panic"),
        ("spin", "deadline"),
    ] {
        let mut plugins = inspectors(vec![probe(way), PluginSpec::bundled()]);
        let all = inspect(&mut plugins, "/a.pem", &mut Content::of(RSA));
        assert_eq!(all.len(), 1, "{way}");
        let failed = plugins.take_failures();
        let failed: Vec<_> =
            failed.iter().map(|failed| (&*failed.cause, failed.kind, failed.action)).collect();
        assert_eq!(failed, [(cause, PluginKind::Inspector, "no_assets")], "{way}");
        // A failure is not cached.
        inspect(&mut plugins, "/a.pem", &mut Content::of(RSA));
        assert_eq!(plugins.failures(), 2, "{way}");
    }
}

#[test]
fn answers_within_the_bounds_are_accepted() {
    assert_eq!(answer("assets 256", b"").len(), 256);
    assert_eq!(answer("facts 32", b"")[0].facts.len(), 32);
    assert_eq!(fact(&answer("value 1024", b"")[0], "a").unwrap().len(), 1024);
}

#[test]
fn any_part_of_what_is_visible_can_be_read() {
    let content = b"0123456789";
    for (part, wanted) in [
        ("0 4", "0123"),
        ("4 4", "4567"),
        ("8 4", "89"),
        ("10 4", ""),
        ("11 4", ""),
        ("3 0", ""),
        ("3 4294967295", "3456789"),
        ("4294967296 4", ""),
        ("18446744073709551615 4294967295", ""),
    ] {
        let assets = answer(&format!("visible {part}"), content);
        assert_eq!(fact(&assets[0], "text"), Some(wanted), "{part}");
        assert_eq!(fact(&assets[0], "len"), Some(&*wanted.len().to_string()), "{part}");
    }
    let whole = answer("length", &[b'x'; 1 << 20]);
    assert_eq!(fact(&whole[0], "all"), Some("65536 1048576"));
}

#[test]
fn reading_the_visible_part_needs_the_grant() {
    let mut spec = probe("visible 0 1");
    spec.allow.clear();
    let chains = [(PluginKind::Inspector, vec![spec])].into();
    let error = Plugins::load(&Setup { chains, needs_assets: true, ..generous() }).unwrap_err();
    assert!(matches!(error.problem, Problem::NeedsGrant), "{error}");
}
