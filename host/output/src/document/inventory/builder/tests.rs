use std::sync::Arc;

use super::*;
use crate::document::StaleReason;
use crypto_tracer_event::testkit::{
    HideHomes, classified, enriched, executes, exits, loads, opens, process,
};
use crypto_tracer_event::{
    Asset, ClassifiedEvent, EnrichedWhat, FileType, Label, ProcessFacts, RedactedEvent,
};

const SHA: &str = "abababababababababababababababababababababababababababababababab";

/// An event of `nginx` with this pid, `at` microseconds after 1970.
fn event(at: i64, pid: u32, what: EnrichedWhat) -> ClassifiedEvent {
    let exe = Some(Arc::from(&b"/usr/sbin/nginx"[..]));
    let file_type = what.file().map(|_| FileType::Certificate);
    classified(enriched(at, ProcessFacts { exe, ..process(pid, "nginx") }, what), file_type)
}

fn redacted(event: ClassifiedEvent) -> RedactedEvent {
    RedactedEvent::new(event, &mut HideHomes, true)
}

fn document(builder: &InventoryBuilder, stale: &HashMap<UseKey, Stale>) -> Inventory {
    let run = InventoryRun {
        at: Timestamp(9),
        window: (Timestamp(0), Timestamp(9)),
        host: Host { hostname: Some("web1".to_owned()), kernel: None, os: None },
        coverage: Coverage::default(),
    };
    let inventory = builder.document(run, &|uid| format!("user{uid}"), stale);
    let text = serde_json::to_vec(&inventory).unwrap();
    assert_eq!(Inventory::from_json(&text).unwrap(), inventory, "it is valid");
    inventory
}

fn time(at: i64) -> Option<Time> {
    Some(Time(Timestamp(at)))
}

#[test]
fn uses_are_counted_with_their_times_and_modes() {
    let mut builder = InventoryBuilder::default();
    let path = "/etc/ssl/a.pem";
    let key = builder.add_event(&redacted(event(5, 7, opens(path, 0))), false);
    for (at, pid, flags) in [(3, 7, 1), (4, 8, 0)] {
        assert_eq!(builder.add_event(&redacted(event(at, pid, opens(path, flags))), false), key);
    }
    builder.add_event(&redacted(event(6, 7, executes("nginx -t"))), false);
    builder.add_event(&redacted(event(1, 8, loads("/lib/libssl.so.3"))), true);
    let stale = Stale { since: time(8), reason: StaleReason::Replaced };
    let inventory = document(&builder, &HashMap::from([(key.unwrap(), stale)]));
    let [program] = inventory.programs.as_slice() else { panic!("{inventory:?}") };
    assert_eq!((program.processes, program.first_seen, program.last_seen), (2, None, time(5)));
    assert_eq!(program.users, ["user0"]);
    let used = |target| inventory.uses.iter().find(|it| it.target == target).unwrap();
    let file = used(Id::file(path));
    assert_eq!((file.count, file.first, file.last), (3, time(3), time(5)));
    assert_eq!(file.modes.to_string(), "read,write");
    assert_eq!(file.stale, Some(stale));
    let library = used(Id::library("/lib/libssl.so.3"));
    assert_eq!((library.count, library.first, library.last), (0, None, None));
    assert_eq!((library.modes.to_string(), library.stale), ("load".to_owned(), None));
    assert!(inventory.coverage.complete);
}

#[test]
fn the_order_of_events_changes_nothing() {
    let events = [
        event(1, 7, opens("/a.pem", 0)),
        event(2, 8, opens("/b.pem", 2)),
        event(3, 7, loads("/lib/libssl.so.3")),
        event(4, 9, opens("/a.pem", 1)),
    ];
    let of = |order: &[usize]| {
        let mut builder = InventoryBuilder::default();
        for &at in order {
            builder.add_event(&redacted(events[at].clone()), false);
        }
        document(&builder, &HashMap::new())
    };
    let first = of(&[0, 1, 2, 3]);
    for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        assert_eq!(of(&order), first);
    }
}

#[test]
fn paths_that_are_shown_alike_are_one_file() {
    let mut builder = InventoryBuilder::default();
    for user in ["alice", "bob"] {
        let path = format!("/home/{user}/k.pem");
        builder.add_event(&redacted(event(1, 7, opens(&path, 0))), false);
    }
    let inventory = document(&builder, &HashMap::new());
    assert_eq!(inventory.files.len(), 1);
    assert_eq!(inventory.files[0].path, "/home/USER/k.pem");
    assert_eq!(inventory.uses[0].count, 2);
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut builder = InventoryBuilder::default();
    for at in [1, 2] {
        builder.add_event(&redacted(event(at, 7, opens("/a.pem", 0))), false);
        builder.add_event(&redacted(event(at, 7, exits(0))), false);
    }
    assert_eq!(document(&builder, &HashMap::new()).programs[0].processes, 2);
}

#[test]
fn certificates_and_labels_are_listed_once() {
    let fact = |name: &str, value: &str| (Arc::from(name), Arc::from(value));
    let certificate = |hash: &str| Asset {
        kind: "certificate".into(),
        facts: vec![
            fact("sha256", hash),
            fact("subject", "CN=site"),
            fact("bits", "2048"),
            fact("ca", "false"),
            fact("self_signed", "perhaps"),
        ],
    };
    let other = Asset { kind: "token".into(), facts: vec![fact("sha256", SHA)] };
    let with_assets = |path: &str, value: &str| {
        let mut event = event(1, 7, opens(path, 0));
        let assets = [certificate(SHA), certificate(SHA), certificate("no hash"), other.clone()];
        event.assets = Some(assets.into());
        event.labels = vec![Label { name: "team".into(), value: value.into() }];
        redacted(event)
    };
    let mut builder = InventoryBuilder::default();
    for (path, value) in [("/a.pem", "old"), ("/a.pem", "new"), ("/b.pem", "new")] {
        builder.add_event(&with_assets(path, value), false);
    }
    let inventory = document(&builder, &HashMap::new());
    for file in &inventory.files {
        let [found] = file.certificates.as_slice() else { panic!("{file:?}") };
        assert_eq!((found.sha256.as_str(), found.bits), (SHA, Some(2048)));
        assert_eq!(found.subject.as_deref(), Some("CN=site"));
        assert_eq!((found.ca, found.self_signed, &found.issuer), (Some(false), None, &None));
        assert_eq!(file.labels["team"], "new");
    }
    let [a, b] = inventory.files.as_slice() else { panic!("{inventory:?}") };
    assert!(Arc::ptr_eq(&a.certificates[0], &b.certificates[0]), "it is in memory once");
}

#[test]
fn what_is_not_listed_is_counted_exactly() {
    let mut builder = InventoryBuilder::default();
    let mut open = |number: usize, exe: &str, times: usize| {
        let path = format!("/{number}.pem");
        for _ in 0..times {
            let what = opens(&path, 0);
            let exe = Some(Arc::from(exe.as_bytes()));
            let facts = ProcessFacts { exe, ..process(7, "p") };
            let event = classified(enriched(1, facts, what), Some(FileType::Certificate));
            builder.add_event(&redacted(event), false);
        }
    };
    (0..MAX_LISTED).for_each(|number| open(number, "/bin/a", 1));
    (MAX_LISTED..MAX_LISTED + 3).for_each(|number| open(number, "/bin/a", 2));
    (MAX_LISTED..MAX_LISTED + 3).for_each(|number| open(number, "/bin/b", 1));
    let inventory = document(&builder, &HashMap::new());
    assert_eq!(inventory.files.len(), MAX_LISTED);
    let not = inventory.coverage.not_listed;
    assert_eq!((not.files, not.uses, not.events), (3, 6, 9));
    let counted: u64 = inventory.uses.iter().map(|it| it.count).sum();
    assert_eq!(counted + not.events, MAX_LISTED as u64 + 9, "every open is counted");
    assert!(!inventory.coverage.complete);
    // A program whose uses are all beyond the limit is listed, so that they are not attributed to none.
    assert_eq!(inventory.programs.len(), 2);
}

#[test]
fn a_program_is_named_as_its_executable_if_a_process_is() {
    for names in [["zsh", "sudo", "aaa"], ["aaa", "zsh", "sudo"]] {
        let mut builder = InventoryBuilder::default();
        for name in names {
            let exe = Some(Arc::from(&b"/usr/bin/sudo"[..]));
            let facts = ProcessFacts { exe, ..process(7, name) };
            let event = classified(enriched(1, facts, opens("/a.pem", 0)), Some(FileType::Unknown));
            builder.add_event(&redacted(event), false);
        }
        let inventory = document(&builder, &HashMap::new());
        assert_eq!(inventory.programs[0].name, "sudo");
        assert_eq!(inventory.files[0].r#type, "unknown");
    }
}
