use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::document::Document;
use crate::document_target::{DocumentShape, json as to_json};

fn example() -> Value {
    let ids = [
        Id::program(Some("/usr/sbin/nginx"), "nginx"),
        Id::library("/usr/lib/libssl.so.3"),
        Id::file("/etc/ssl/site.pem"),
    ];
    let [program, library, file] = ids.map(|id| id.to_string());
    let [from, to] = ["2026-01-31T08:00:00.000000Z", "2026-01-31T09:00:00.000000Z"];
    json!({
        "inventory_version": "1.0",
        "generated_at": to,
        "window": { "from": from, "to": to },
        "host": { "hostname": "web1", "kernel": "6.12.0", "os": "Debian GNU/Linux 13 (trixie)" },
        "coverage": {
            "complete": false, "events_lost": 2, "lost_by_cause": { "ring_full": 2 },
            "probes": ["fentry:do_filp_open"], "blind_spots": [], "unreadable_processes": 1,
            "not_listed": {
                "programs": 0, "libraries": 0, "files": 0, "certificates": 0, "uses": 0,
                "users_and_containers": 0, "events": 0
            }
        },
        "programs": [{
            "id": program, "exe": "/usr/sbin/nginx", "name": "nginx", "users": ["root"],
            "containers": [], "processes": 3, "first_seen": null, "last_seen": to
        }],
        "libraries": [{
            "id": library, "name": "libssl", "path": "/usr/lib/libssl.so.3", "version": "3.5.1",
            "first_seen": null, "last_seen": null
        }],
        "files": [{
            "id": file, "path": "/etc/ssl/site.pem", "type": "certificate", "labels": { "team": "web" },
            "certificates": [{
                "sha256": "ab".repeat(32), "subject": "CN=site", "issuer": "CN=ca", "serial": "01",
                "not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z",
                "public_key": "rsa", "bits": 2048, "signature": "sha256-rsa", "ca": false,
                "self_signed": false
            }],
            "first_seen": from, "last_seen": to
        }],
        "uses": [
            {
                "program": program, "target": file, "count": 2, "modes": ["read"], "first": from,
                "last": to, "stale": { "since": to, "reason": "replaced" }
            },
            {
                "program": program, "target": library, "count": 0, "modes": ["load"], "first": null,
                "last": null, "stale": null
            }
        ]
    })
}

fn read(value: &Value) -> Result<Inventory, String> {
    let text = serde_json::to_vec_pretty(value).unwrap();
    Inventory::from_json(&text).map_err(|error| error.to_string())
}

/// Changes one value of the example and returns the error.
fn refused(pointer: &str, value: Value) -> String {
    let mut document = example();
    *document.pointer_mut(pointer).unwrap() = value;
    read(&document).unwrap_err()
}

#[test]
fn a_written_document_is_read_as_it_was() {
    let inventory = read(&example()).unwrap();
    assert_eq!(serde_json::to_value(&inventory).unwrap(), example());
    let text = to_json(&inventory, DocumentShape::Line).unwrap();
    assert_eq!(Inventory::from_json(&text).unwrap(), inventory);
}

#[test]
fn a_document_of_several_hosts_keeps_the_hosts_of_each_use() {
    let mut document = example();
    let host = document["host"].take();
    document.as_object_mut().unwrap().remove("host");
    let id = Id::host(Some("web1"), "2026-01-31T08:00:00.000000Z".parse().unwrap()).to_string();
    document["hosts"] = json!([{
        "id": id, "host": host, "generated_at": document["generated_at"],
        "window": document["window"], "coverage": document["coverage"]
    }]);
    for it in document["uses"].as_array_mut().unwrap() {
        let mut host = it.clone();
        let fields = host.as_object_mut().unwrap();
        fields.remove("program");
        fields.remove("target");
        fields.insert("host".to_owned(), json!(id));
        it["hosts"] = json!([host]);
    }
    let merged = read(&document).unwrap();
    assert_eq!(serde_json::to_value(&merged).unwrap(), document);
    document["uses"][0]["hosts"][0]["host"] = json!("h-0000000000000000");
    assert!(read(&document).unwrap_err().contains("h-0000000000000000: "));
    document["uses"][0]["hosts"] = json!([]);
    assert!(read(&document).unwrap_err().contains("exactly in a merged document"));
}

#[test]
fn an_error_has_the_place() {
    let error = refused("/uses/0/first", json!("2026-02-30T00:00:00.000000Z"));
    assert!(error.contains("uses[0].first: ") && error.contains("line "), "{error}");
    let error = refused("/files/0/certificates/0/sha256", json!("AB"));
    assert!(error.contains("files[0].certificates"), "{error}");
    assert!(refused("/uses/0/stale/reason", json!("old")).contains("uses[0].stale.reason"));
    assert!(refused("/uses/0/modes", json!(["load", "load", "load", "load"])).contains("uses[0]"));
    assert!(refused("/programs/0/processes", json!(-1)).contains("programs[0].processes"));
}

#[test]
fn foreign_and_cut_documents_are_refused() {
    for text in ["[]", "1", "{}", "null", "{\"bomFormat\":\"CycloneDX\"}"] {
        let error = Inventory::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("not an inventory"), "{text}: {error}");
    }
    assert!(refused("/inventory_version", json!("2.0")).contains("\"2.0\" is not supported"));
    assert!(refused("/inventory_version", json!(1)).contains("1 is not supported"));
    let text = serde_json::to_string_pretty(&example()).unwrap();
    for cut in 0..text.len() {
        let error = Inventory::from_json(&text.as_bytes()[..cut]).unwrap_err().to_string();
        assert!(error.contains("line "), "{cut}: {error}");
    }
    let twice = Inventory::from_json([&text[..], "{}"].concat().as_bytes()).unwrap_err();
    assert!(twice.to_string().contains("trailing"), "{twice}");
    assert!(Inventory::from_json(b"\xff{").is_err());
}

#[test]
fn contradictions_are_refused() {
    for list in ["programs", "libraries", "files", "uses"] {
        let mut document = example();
        let twice = document[list][0].clone();
        document[list].as_array_mut().unwrap().push(twice);
        assert!(read(&document).unwrap_err().contains("occurs twice"), "{list}");
    }
    for list in ["programs", "libraries", "files"] {
        let mut document = example();
        document[list] = json!([]);
        assert!(read(&document).unwrap_err().contains("refers to no listed"), "{list}");
    }
    let program = example()["programs"][0]["id"].clone();
    assert!(refused("/uses/0/target", program).contains("refers to no listed library or file"));
    assert!(refused("/files/0/id", json!("p-0000000000000000")).contains("wrong list"));
    let mut document = example();
    document.as_object_mut().unwrap().remove("host");
    assert!(read(&document).unwrap_err().contains("either one host or merged hosts"));
}

#[test]
fn lists_are_sorted_when_read() {
    let mut document = example();
    document["uses"].as_array_mut().unwrap().reverse();
    assert_eq!(read(&document).unwrap(), read(&example()).unwrap());
}

#[test]
fn the_summary_has_each_use_and_what_is_missing() {
    let mut document = example();
    document["files"][0]["path"] = json!("/etc/\u{1b}[2J.pem");
    insta::assert_snapshot!(read(&document).unwrap().summary());
}

proptest! {
    #[test]
    fn any_change_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = serde_json::to_vec(&example()).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(inventory) = Inventory::from_json(&text) {
            let text = to_json(&inventory, DocumentShape::Pretty).unwrap();
            prop_assert_eq!(Inventory::from_json(&text).unwrap(), inventory);
        }
    }
}
