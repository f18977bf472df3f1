//! Plugins built against each released version of the contract, which must always run.

use sha2::{Digest, Sha256};

use super::*;

/// Written once at the release of a version, in its directory: `sha256sum *.wasm > SHA256SUMS`.
const SUMS: &str = include_str!("../../../../tests/fixtures/plugins/0.1.0/SHA256SUMS");
/// The same for the released contract.
const RELEASED: &str = include_str!("../../../../wit/released/SHA256SUMS");

fn check(sums: &str, folder: &std::path::Path) -> usize {
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let found: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, sum, "{name}: a released file has changed");
    }
    sums.lines().count()
}

#[test]
fn released_files_are_unchanged() {
    assert!(check(SUMS, FIXTURES.as_ref()) >= 6);
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/released");
    assert!(check(RELEASED, wit.as_ref()) >= 1);
}

#[test]
fn plugins_of_0_1_0_still_work() {
    let setup = Setup {
        chains: [
            (
                PluginKind::Classifier,
                vec![PluginSpec::command_line(fixture("classify-default.wasm"))],
            ),
            (PluginKind::Redactor, vec![PluginSpec::command_line(fixture("redact-default.wasm"))]),
            (PluginKind::Filter, vec![hostile("label")]),
        ]
        .into(),
        ..generous()
    };
    let mut plugins = load(&setup);
    assert_eq!(classify(&mut plugins, "/x.pem").file_type, FileType::Certificate);
    assert_eq!(classify(&mut plugins, "/x.key").file_type, FileType::PrivateKey);
    assert_eq!(redact(&mut plugins, "/home/alice/x").as_deref(), Some("/home/USER/x"));
    assert!(matches!(plugins.decide(&event(1)), Decision::Label(it) if it.added.len() == 1));
    for plugin in plugins.running() {
        assert_eq!(plugin.contract, "0.1.0");
    }
    let mut wasi = hostile("word");
    wasi.source = fixture("hostile-wasi.wasm");
    assert_eq!(classify(&mut classifiers(vec![wasi]), "/x").file_type.as_str(), "site-key_1");
    assert_eq!(plugins.failures(), 0);
}
