//! Tests with the bundled plugins and with fixtures that misbehave.

mod answers;
mod compiled;
mod contract;
mod event_facts;
mod files;
mod hostile;
mod inspectors;
mod loading;
mod made;
mod policy;
mod replayed;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::failure::Cause;
use crate::redactor::REDACTED;
use crypto_tracer_event::testkit;
use crypto_tracer_event::{
    EnrichedWhat, Field, FileType, HeadOutcome, Label, PluginKind, ProcessFacts,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/plugins/0.1.0");

/// A copy of a fixture of 0.1.0.
fn copy_of(name: &str) -> PathBuf {
    trusted_copy(&PathBuf::from(FIXTURES).join(name))
}

/// A copy of a file that only its owner can write, independent of the umask of the checkout.
fn trusted_copy(file: &std::path::Path) -> PathBuf {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| tempfile::tempdir().unwrap()).path();
    let path = directory.join(file.file_name().unwrap());
    if !path.exists() {
        let part = path.with_extension(format!("{:?}", std::thread::current().id()));
        std::fs::copy(file, &part).unwrap();
        std::fs::set_permissions(&part, Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&part, &path).unwrap();
    }
    path
}

fn fixture(name: &str) -> PluginSource {
    PluginSource::File(copy_of(name))
}

/// The fixture that misbehaves in this way.
fn hostile(way: &str) -> PluginSpec {
    let mut spec = PluginSpec::command_line(fixture("hostile.wasm"));
    spec.config.insert("way".to_owned(), json!(way));
    spec
}

/// Limits of time that no call exceeds, even on a busy machine. For tests that do not measure time.
fn generous() -> Setup {
    let limits = Limits {
        deadline: Duration::from_secs(5),
        wall: Duration::from_secs(3600),
        setup: Duration::from_secs(60),
        ..Limits::default()
    };
    Setup { limits, ..Setup::default() }
}

/// The default limits for fixtures that only a deadline ends, generous ones for all others.
fn limits_for(specs: &[PluginSpec]) -> Setup {
    let way =
        |spec: &PluginSpec| spec.config.get("way").map_or(String::new(), |way| way.to_string());
    let endless = |way: String| way.contains("spin") || way.contains("flood");
    if specs.iter().map(way).any(endless) { Setup::default() } else { generous() }
}

/// Processor time of `work`. Wall time depends on the load of the machine.
fn processor_time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = deadline::processor_time();
    work();
    deadline::processor_time() - start
}

fn load(setup: &Setup) -> Plugins {
    Plugins::load(setup).unwrap_or_else(|error| panic!("{error}"))
}

fn classifiers(specs: Vec<PluginSpec>) -> Plugins {
    let setup = limits_for(&specs);
    load(&Setup { chains: [(PluginKind::Classifier, specs)].into(), ..setup })
}

fn redactors(specs: Vec<PluginSpec>) -> Plugins {
    let setup = limits_for(&specs);
    load(&Setup { chains: [(PluginKind::Redactor, specs)].into(), ..setup })
}

fn filters(specs: Vec<PluginSpec>) -> Plugins {
    let setup = limits_for(&specs);
    load(&Setup { chains: [(PluginKind::Filter, specs)].into(), ..setup })
}

fn file(path: &str) -> OpenedFile {
    OpenedFile { dev: 1, inode: 2, size: 3, ctime_ns: 4, ..testkit::file(path) }
}

/// A head, its outcome, and how often it was read.
struct TestHead(&'static [u8], HeadOutcome, u32);

impl HeadSource for TestHead {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        self.2 += 1;
        (self.0, self.1)
    }

    fn size(&mut self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

fn certificate() -> TestHead {
    TestHead(b"-----BEGIN CERTIFICATE-----\nMII", HeadOutcome::Read, 0)
}

fn classify(plugins: &mut Plugins, path: &str) -> Verdict {
    plugins.classify(1000, &file(path), 0, &mut certificate())
}

fn redact(plugins: &mut Plugins, value: &str) -> Option<String> {
    plugins.redactor(1000).redact(Field::File, value, &[])
}

fn event(uid: u32) -> ClassifiedEvent {
    let exe = Some(b"/usr/sbin/nginx"[..].into());
    let process = ProcessFacts { uid, exe, ..testkit::process(7, "nginx") };
    testkit::classified(testkit::enriched(5, process, testkit::executes("nginx -t")), None)
}

/// Cause and count of all failures.
fn failures(plugins: &mut Plugins) -> Vec<(String, u64)> {
    plugins.take_failures().into_iter().map(|failure| (failure.cause, failure.count)).collect()
}

#[test]
fn bundled_plugins_work_as_documented() {
    let mut plugins = load(&generous());
    assert!(plugins.interest().wants_file(b"server.PEM"));
    for library in [
        "libssl.so.3",
        "libcrypto.so.1.1",
        "libgnutls.so.30",
        "libsodium.so.23",
        "libnss3.so",
        "libmbedtls.so.14",
    ] {
        assert!(plugins.interest().wants_library(library.as_bytes()), "{library}");
    }
    let verdict = classify(&mut plugins, "/etc/ssl/server.pem");
    assert_eq!(verdict.file_type, FileType::Certificate);
    assert_eq!(verdict.head, HeadOutcome::Read);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(verdict.classifier.as_deref(), Some(&*format!("classify-default@{version}")));
    let verdict = classify(&mut plugins, "/etc/ssl/server.key");
    assert_eq!(verdict.file_type, FileType::PrivateKey);
    assert_eq!(verdict.head, HeadOutcome::NotNeeded);
    for (path, file_type) in [
        ("/etc/pki/tls/certs/ca-bundle.crt", FileType::Certificate),
        ("/etc/ssl/certs/server.cer", FileType::Certificate),
        ("/home/alice/id_rsa", FileType::PrivateKey),
        ("/opt/app/keystore.jks", FileType::Keystore),
        ("/etc/ssl/keystore.p12", FileType::Keystore),
        ("/home/alice/identity.pfx", FileType::Keystore),
        ("/a.keystore", FileType::Keystore),
    ] {
        assert_eq!(classify(&mut plugins, path).file_type, file_type, "{path}");
    }
    assert_eq!(classify(&mut plugins, "/x.der").file_type, FileType::Unknown);
    assert_eq!(redact(&mut plugins, "/home/alice/x").as_deref(), Some("/home/USER/x"));
    assert_eq!(redact(&mut plugins, "/etc/x"), None);
    assert_eq!(plugins.decide(&event(1000)), Decision::Keep);
    assert_eq!(plugins.failures(), 0);
}
