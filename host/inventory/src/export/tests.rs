use std::error::Error;
use std::path::{Path, PathBuf};

use jsonschema::{Retrieve, Uri, Validator};
use proptest::prelude::*;
use serde_json::Value;

use crypto_tracer_output::DocumentShape;
use crypto_tracer_output::document::inventory::Inventory;

use super::*;
use crate::testkit::{add_file, add_use, any_inventory, source, text, web_server};

const VERSIONS: [(CycloneDxVersion, &str); 2] =
    [(CycloneDxVersion::V1_6, "1.6"), (CycloneDxVersion::V1_7, "1.7")];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/cyclonedx")
}

/// Finds the schemas that a schema refers to in the same folder.
struct Folder;

impl Retrieve for Folder {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let name = uri.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        Ok(serde_json::from_slice(&std::fs::read(fixtures().join("schema").join(name))?)?)
    }
}

fn validator(version: &str) -> Validator {
    let path = fixtures().join(format!("schema/bom-{version}.SNAPSHOT.schema.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let options = jsonschema::options().with_retriever(Folder).should_validate_formats(true);
    options.build(&schema).unwrap()
}

fn assert_valid(validator: &Validator, document: &Value) {
    let wrong: Vec<_> = validator
        .iter_errors(document)
        .map(|it| format!("{it} at {}", it.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn exported(inventory: &Inventory, version: CycloneDxVersion) -> Value {
    serde_json::to_value(cyclonedx(inventory, version)).unwrap()
}

fn merged(inventories: &[&Inventory]) -> Inventory {
    let sources: Vec<_> = inventories.iter().map(|it| source("x", &text(it))).collect();
    let mut written = Vec::new();
    crate::merge(&sources, &mut written, DocumentShape::Line).unwrap();
    Inventory::from_json(&written).unwrap()
}

/// The fixtures are documents that their producers could have written.
#[test]
fn fixtures_are_valid_documents() {
    for (name, version) in
        [("trivy", "1.7"), ("syft", "1.6"), ("cdxgen", "1.6"), ("cbomkit-theia", "1.6")]
    {
        let text = std::fs::read(fixtures().join(format!("{name}.json"))).unwrap();
        assert_valid(&validator(version), &serde_json::from_slice(&text).unwrap());
    }
}

#[test]
fn the_official_schemas_accept_every_export() {
    for (version, number) in VERSIONS {
        let validator = validator(number);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 24,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let pairs = (any_inventory(), any_inventory());
        let checked = runner.run(&pairs, |(one, other)| {
            for inventory in [&one, &merged(&[&one, &other])] {
                assert_valid(&validator, &exported(inventory, version));
            }
            Ok(())
        });
        checked.unwrap();
    }
}

/// The schema does not say that bom-refs are unique and that references exist.
#[test]
fn references_are_unique_and_exist() {
    let mut other = web_server("web2");
    add_file(&mut other, "/etc/ssl/bundle.pem", "certificate", &[1, 2, 3]);
    for (version, _) in VERSIONS {
        let bom = exported(&merged(&[&web_server("web1"), &other]), version);
        let mut refs = Vec::new();
        let mut add =
            |component: &Value| refs.push(component["bom-ref"].as_str().unwrap().to_owned());
        let root = &bom["metadata"]["component"];
        add(root);
        root["components"].as_array().into_iter().flatten().for_each(&mut add);
        bom["components"].as_array().unwrap().iter().for_each(&mut add);
        let mut distinct = refs.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), refs.len());
        for dependency in bom["dependencies"].as_array().unwrap() {
            let targets = dependency["dependsOn"].as_array().into_iter().flatten();
            for it in targets.chain([&dependency["ref"]]) {
                assert!(refs.iter().any(|known| it == known), "{it}");
            }
        }
        for composition in bom["compositions"].as_array().unwrap() {
            let all =
                ["assemblies", "dependencies"].map(|list| composition[list].as_array().unwrap());
            for it in all.into_iter().flatten() {
                assert!(refs.iter().any(|known| it == known), "{it}");
            }
        }
    }
}

#[test]
fn an_export_says_how_it_was_observed() {
    let mut inventory = web_server("web1");
    let bom = exported(&inventory, CycloneDxVersion::V1_7);
    assert_eq!(bom["metadata"]["lifecycles"][0]["phase"], "operations");
    assert_eq!(bom["compositions"][0]["aggregate"], "complete");
    let components = bom["components"].as_array().unwrap();
    let of_ref = |name: &str| components.iter().find(|it| it["bom-ref"] == name).unwrap();
    let certificate = of_ref(&format!("certificate-{}", "01".repeat(32)));
    let evidence = &certificate["evidence"];
    assert_eq!(evidence["identity"][0]["methods"][0]["technique"], "instrumentation");
    assert_eq!(evidence["occurrences"][0]["location"], "/etc/ssl/site.pem");
    let details = &certificate["cryptoProperties"]["certificateProperties"];
    assert_eq!(details["fingerprint"]["content"], "01".repeat(32));
    let key = components.iter().find(|it| it["name"] == "/etc/ssl/private/site.key").unwrap();
    let material = &key["cryptoProperties"]["relatedCryptoMaterialProperties"];
    assert_eq!(material, &serde_json::json!({"type": "private-key"}), "no size, no value");
    inventory.coverage.unreadable_processes = 1;
    inventory.coverage.judge();
    let bom = exported(&inventory, CycloneDxVersion::V1_6);
    assert_eq!(bom["compositions"][0]["aggregate"], "incomplete");
}

#[test]
fn the_same_inventory_gives_the_same_document() {
    let one = exported(&web_server("web1"), CycloneDxVersion::V1_6);
    assert_eq!(one, exported(&web_server("web1"), CycloneDxVersion::V1_6));
    let other = exported(&web_server("web2"), CycloneDxVersion::V1_6);
    assert_ne!(one["serialNumber"], other["serialNumber"]);
    assert_eq!(one["components"], other["components"], "bom-refs do not depend on the host");
}

/// What this program exports, it recognises.
#[test]
fn an_inventory_is_known_by_its_export() {
    let inventory = web_server("web1");
    for (version, _) in VERSIONS {
        let bom = serde_json::to_vec(&cyclonedx(&inventory, version)).unwrap();
        let known = crate::Known::read(&source("cbom.json", &bom)).unwrap();
        let diff = crate::diff(&known, "x", &inventory);
        assert!(diff.all_known() && diff.known_but_not_used.is_empty(), "{diff:#?}");
    }
}

#[test]
fn csv_has_a_row_for_each_use_and_host() {
    let mut other = web_server("web2");
    let key = add_file(&mut other, "/etc/=cmd.key", "private_key", &[]);
    add_use(&mut other, "/usr/bin/ssh,agent", key, 1, 1);
    let text = csv(&merged(&[&web_server("web1"), &other]));
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 1 + 3 + 4);
    assert!(rows[0].starts_with("host,program,exe,"));
    assert!(text.contains("CN=site1.example") && text.contains("\"ssh,agent\""));
    let alone = csv(&web_server("web1"));
    assert_eq!(alone.lines().count(), 4);
    assert!(alone.contains(",3.0.15,"), "the library's version: {alone}");
}
