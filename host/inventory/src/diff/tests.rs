use std::path::Path;

use crypto_tracer_output::document::Document;

use super::*;
use crate::testkit::{add_file, add_library, add_use, source, text, web_server};

fn known(name: &str) -> Known {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/cyclonedx");
    let text = std::fs::read(path.join(format!("{name}.json"))).unwrap();
    Known::read(&source(name, &text)).unwrap()
}

fn of_inventory(inventory: &Inventory) -> Known {
    Known::read(&source("known.json", &text(inventory))).unwrap()
}

fn paths(assets: &[UsedAsset]) -> Vec<&str> {
    let mut paths: Vec<_> = assets.iter().flat_map(|it| &it.paths).map(String::as_str).collect();
    paths.sort_unstable();
    paths
}

/// All producers describe the same machine.
#[test]
fn documents_of_every_producer_are_compared() {
    let mut inventory = web_server("web1");
    let shadow = add_file(&mut inventory, "/opt/shadow.key", "private_key", &[]);
    add_use(&mut inventory, "/opt/app", shadow, 2, 9);
    for (name, tool, by, library) in [
        ("trivy", "trivy", JoinedBy::Sha256, false),
        ("syft", "syft", JoinedBy::Path, true),
        ("cdxgen", "cdxgen", JoinedBy::Path, false),
        ("cbomkit-theia", "CBOMkit-theia", JoinedBy::Path, false),
    ] {
        let known = known(name);
        assert_eq!(known.tools, [tool]);
        let diff = diff(&known, "web1.json", &inventory);
        assert_eq!(paths(&diff.used_but_not_known), ["/opt/shadow.key"], "{name}");
        let mut expected = vec!["/etc/ssl/private/site.key", "/etc/ssl/site.pem"];
        if library {
            expected.push("/usr/lib/libssl.so.3");
        }
        assert_eq!(paths(&diff.used_and_known), expected, "{name}");
        let certificate = diff.used_and_known.iter().find(|it| it.kind == AssetKind::Certificate);
        assert_eq!(certificate.unwrap().joined_by, Some(by), "{name}");
        let [old] = &diff.known_but_not_used[..] else { panic!("{name}: {diff:#?}") };
        assert!(old.paths[0].starts_with("/etc/ssl/old."), "{name}");
        assert_eq!(old.verdict, Verdict::NotUsed);
        let no_libraries =
            diff.not_compared.iter().any(|it| it.reason.starts_with("used libraries"));
        assert_eq!(no_libraries, !library, "{name}");
        assert!(!diff.all_known());
    }
}

#[test]
fn an_inventory_knows_itself() {
    let inventory = web_server("web1");
    let diff = diff(&of_inventory(&inventory), "web1.json", &inventory);
    assert!(diff.all_known() && diff.known_but_not_used.is_empty(), "{diff:#?}");
    assert_eq!(diff.used_and_known.len(), 3);
}

/// The path is known, but its certificate is another.
#[test]
fn a_new_certificate_at_a_known_path_is_not_known() {
    let known = of_inventory(&web_server("web1"));
    let mut renewed = web_server("web1");
    renewed.files.retain(|it| it.path != "/etc/ssl/site.pem");
    add_file(&mut renewed, "/etc/ssl/site.pem", "certificate", &[7]);
    let diff = diff(&known, "web1.json", &renewed);
    let [new] = &diff.used_but_not_known[..] else { panic!("{diff:#?}") };
    assert_eq!((new.kind, new.name.as_str()), (AssetKind::Certificate, "CN=site7.example"));
    assert_eq!(new.programs, ["/usr/sbin/nginx"]);
}

/// The certificate was copied: it is known, wherever it is.
#[test]
fn a_known_certificate_at_a_new_path_is_known() {
    let mut moved = web_server("web1");
    let copy = add_file(&mut moved, "/srv/copy.pem", "certificate", &[1]);
    add_use(&mut moved, "/usr/bin/curl", copy, 1, 3);
    let diff = diff(&of_inventory(&web_server("web1")), "x", &moved);
    assert!(diff.all_known());
    let certificate = diff.used_and_known.iter().find(|it| it.kind == AssetKind::Certificate);
    assert_eq!(certificate.unwrap().paths, ["/etc/ssl/site.pem", "/srv/copy.pem"]);
}

#[test]
fn losses_turn_not_used_into_not_seen_and_say_why() {
    let mut known = web_server("web1");
    let old = add_library(&mut known, "/usr/lib/libssl.so.1.1", None);
    add_use(&mut known, "/usr/bin/old", old, 1, 3);
    let mut used = web_server("web1");
    used.coverage.events_lost = 7;
    used.coverage.lost_by_cause.insert("ring_full_open".to_owned(), 7);
    used.coverage.judge();
    let diff = diff(&of_inventory(&known), "web1.json", &used);
    let [library] = &diff.known_but_not_used[..] else { panic!("{diff:#?}") };
    assert_eq!((library.kind, library.verdict), (AssetKind::Library, Verdict::NotSeen));
    assert_eq!(diff.used.incomplete_because, ["7 events lost: ring_full_open"]);
    let text = diff.summary();
    assert!(text.contains("Known but not seen") && text.contains("7 events lost"), "{text}");
}

#[test]
fn redacted_homes_match_real_ones() {
    let mut known = web_server("web1");
    add_file(&mut known, "/home/alice/a.key", "private_key", &[]);
    let mut used = web_server("web1");
    let key = add_file(&mut used, "/home/USER/a.key", "private_key", &[]);
    add_use(&mut used, "/usr/bin/ssh", key, 1, 3);
    assert!(diff(&of_inventory(&known), "x", &used).all_known());
}

#[test]
fn hostile_names_stay_on_their_line() {
    let mut used = web_server("web1");
    let key = add_file(&mut used, "/etc/\u{1b}[2J\n\u{202e}.key", "private_key", &[]);
    add_use(&mut used, "/usr/bin/ssh", key, 1, 3);
    let text = diff(&known("trivy"), "x", &used).summary();
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
    assert!(text.contains(r"/etc/\u{1b}[2J\n\u{202e}.key"), "{text}");
}

#[test]
fn foreign_documents_are_refused() {
    for (text, cause) in [
        ("<?xml version=\"1.0\"?><bom/>", "XML"),
        ("{\"spdxVersion\":\"SPDX-2.3\"}", "not an inventory"),
        ("{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"2.0\"}", "CycloneDX 2.0 is not supported"),
        ("{\"bomFormat\":\"Other\",\"specVersion\":\"1.6\"}", "bomFormat is not CycloneDX"),
        ("", "line 1"),
    ] {
        let error = Known::read(&source("x.json", text.as_bytes())).unwrap_err().to_string();
        assert!(error.starts_with("x.json") && error.contains(cause), "{error}");
    }
}
