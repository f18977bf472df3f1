use proptest::prelude::*;

use crypto_tracer_output::document::inventory::Inventory;

use super::*;
use crate::testkit::{add_file, add_use, any_inventory, empty, source, text, time, web_server};

fn merged_text(documents: &[&[u8]], shape: DocumentShape) -> Result<Vec<u8>, MergeError> {
    let sources: Vec<Source> = documents
        .iter()
        .enumerate()
        .map(|(number, text)| source(&format!("{number}.json"), text))
        .collect();
    let mut written = Vec::new();
    merge(&sources, &mut written, shape)?;
    Ok(written)
}

fn merged(documents: &[&[u8]]) -> Vec<u8> {
    merged_text(documents, DocumentShape::Pretty).unwrap()
}

fn read(text: &[u8]) -> Inventory {
    Inventory::from_json(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn order_and_grouping_and_repetition_make_no_difference(
        a in any_inventory(), b in any_inventory(), c in any_inventory()
    ) {
        let [a, b, c] = [&a, &b, &c].map(text);
        let [a, b, c] = [&a[..], &b[..], &c[..]];
        let all = merged(&[a, b, c]);
        prop_assert_eq!(&merged(&[c, a, b]), &all);
        prop_assert_eq!(&merged(&[&merged(&[a, b]), c]), &all);
        prop_assert_eq!(&merged(&[a, &merged(&[b, c])]), &all);
        prop_assert_eq!(&merged(&[&all, a, &all, b]), &all);
        prop_assert_eq!(&merged(&[&all]), &all);
    }

    /// What is written piece by piece is what one value would be, and it is a valid document.
    #[test]
    fn the_document_is_valid_in_every_shape(a in any_inventory(), b in any_inventory()) {
        let [a, b] = [&a, &b].map(text);
        let whole = read(&merged(&[&a, &b]));
        for shape in [DocumentShape::Pretty, DocumentShape::Line, DocumentShape::Array] {
            let written = merged_text(&[&a, &b], shape).unwrap();
            prop_assert_eq!(written, writer::at_once(&whole, shape));
        }
    }

    /// Every use of every run is in the merged document, with its count, times and certificates.
    #[test]
    fn nothing_of_a_run_is_lost(a in any_inventory(), b in any_inventory()) {
        let whole = read(&merged(&[&text(&a), &text(&b)]));
        for host in &whole.hosts {
            let of_run = |it: &&Inventory| {
                let name = it.host.as_ref().and_then(|host| host.hostname.as_deref());
                Id::host(name, it.window.from) == host.id && it.coverage == host.coverage
                    && it.window == host.window
            };
            let runs: Vec<&Inventory> = [&a, &b].into_iter().filter(of_run).collect();
            prop_assert!(!runs.is_empty());
            for run in runs {
                for it in &run.uses {
                    let found = whole.uses.iter().find(|all| (all.program, all.target) == (it.program, it.target)).unwrap();
                    let own = found.hosts.iter().find(|own| own.host == host.id).unwrap();
                    prop_assert!(own.count >= it.count && own.last >= it.last);
                    prop_assert!(found.count >= own.count);
                }
                for it in &run.files {
                    let found = whole.files.iter().find(|all| all.id == it.id).unwrap();
                    let own = found.hosts.iter().find(|own| own.host == host.id).unwrap();
                    for certificate in &it.certificates {
                        let own = own.certificates.as_ref();
                        prop_assert!(own.is_none_or(|own| own.contains(&certificate.sha256)));
                        prop_assert!(found.certificates.contains(certificate));
                    }
                }
            }
        }
    }

    #[test]
    fn a_cut_document_is_an_error(a in any_inventory(), at: prop::sample::Index) {
        let whole = text(&a);
        let end = at.index(whole.trim_ascii_end().len());
        let error = merged_text(&[&whole, &whole[..end]], DocumentShape::Line).unwrap_err();
        prop_assert!(error.to_string().starts_with("1.json"), "{}", error);
    }

    #[test]
    fn any_changed_byte_is_merged_or_refused(a in any_inventory(), at: prop::sample::Index, byte: u8) {
        let mut changed = text(&a);
        let at = at.index(changed.len());
        changed[at] = byte;
        if let Ok(written) = merged_text(&[&changed], DocumentShape::Line) {
            prop_assert!(Inventory::from_json(&written).is_ok());
        }
    }
}

#[test]
fn each_host_keeps_its_certificate_at_a_common_path() {
    let mut one = empty("web1", 0, 10);
    let mut other = empty("web2", 0, 10);
    for (inventory, number) in [(&mut one, 1), (&mut other, 2)] {
        let file = add_file(inventory, "/etc/ssl/site.pem", "certificate", &[number]);
        add_use(inventory, "/usr/sbin/nginx", file, 1, 5);
    }
    let whole = read(&merged(&[&text(&one), &text(&other)]));
    let [file] = &whole.files[..] else { panic!("one file") };
    assert_eq!(file.certificates.len(), 2);
    let own: Vec<_> = file.hosts.iter().map(|host| host.certificates.clone().unwrap()).collect();
    assert_eq!(own.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert_ne!(own[0], own[1]);
}

#[test]
fn a_later_document_of_a_run_replaces_the_earlier() {
    let mut early = web_server("web1");
    let late = web_server("web1");
    early.window.to = time(100);
    early.programs[0].processes = 900;
    let sources = [source("early", &text(&early)), source("late", &text(&late))];
    let mut written = Vec::new();
    let report = merge(&sources, &mut written, DocumentShape::Line).unwrap();
    assert_eq!(read(&written), read(&merged(&[&text(&late)])));
    assert_eq!(report.hosts, 1);
    assert!(report.notes[0].starts_with("web1: several documents describe the run h-"));
}

#[test]
fn clocks_and_overlapping_windows_are_reported() {
    let mut set_back = web_server("web1");
    set_back.window.to = time(-50);
    let overlapping = {
        let mut it = web_server("web2");
        it.window.from = time(5);
        it
    };
    let documents = [&set_back, &web_server("web2"), &overlapping].map(text);
    let sources = documents.iter().map(|text| source("x", text)).collect::<Vec<_>>();
    let report = merge(&sources, &mut Vec::new(), DocumentShape::Line).unwrap();
    assert!(report.notes.iter().any(|it| it.contains("web1: its window ends before it begins")));
    assert!(report.notes.iter().any(|it| it.contains("web2: the windows of")), "{report:?}");
    assert_eq!(report.summary(), "3 hosts: 1 program, 1 library, 2 files, 3 uses");
}

fn error(change: impl Fn(&mut serde_json::Value)) -> String {
    let mut value = serde_json::from_slice(&text(&web_server("web1"))).unwrap();
    change(&mut value);
    let text = serde_json::to_vec_pretty(&value).unwrap();
    merged_text(&[&text], DocumentShape::Line).unwrap_err().to_string()
}

#[test]
fn errors_have_the_file_and_the_place() {
    use serde_json::json;
    let twice = error(|it| {
        let first = it["programs"][0].clone();
        it["programs"].as_array_mut().unwrap().push(first);
    });
    assert!(twice.contains("programs[1]: this entry occurs twice"), "{twice}");
    assert!(twice.starts_with("0.json, line "), "{twice}");
    let order = error(|it| it["uses"].as_array_mut().unwrap().reverse());
    assert!(order.contains("uses[1]: out of order"), "{order}");
    assert!(error(|it| it["libraries"] = json!([])).contains("refers to no listed library"));
    assert!(error(|it| it["programs"] = json!([])).contains("refers to no listed program"));
    let date = error(|it| it["uses"][0]["last"] = json!("2026-02-30T00:00:00.000000Z"));
    assert!(date.contains("uses[0]: ") && date.contains("2026-02-30"), "{date}");
    assert!(
        error(|it| it["inventory_version"] = json!("2.0")).contains("\"2.0\" is not supported")
    );
    assert!(error(|it| it["more"] = json!(1)).contains("unknown field \"more\""));
    assert!(error(|it| *it = json!({"bomFormat": "CycloneDX"})).contains("a CycloneDX document"));
    assert!(error(|it| *it = json!([])).contains("not an inventory"));
    assert!(
        error(|it| {
            it.as_object_mut().unwrap().remove("coverage");
        })
        .contains("it has no coverage")
    );
    let kind = error(|it| it["files"][0]["id"] = it["libraries"][0]["id"].clone());
    assert!(kind.contains("files[0]: an id of another kind"), "{kind}");
}
