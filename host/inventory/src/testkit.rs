//! Inventories for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};
use std::sync::Arc;

use proptest::prelude::*;

use crypto_tracer_event::Timestamp;
use crypto_tracer_output::document::inventory::{
    Certificate, Coverage, Host, Id, Inventory, InventoryFile, InventoryLibrary, Modes, Program,
    Stale, StaleReason, Time, Use, Window,
};
use crypto_tracer_output::{DocumentShape, document_json};
use crypto_tracer_system::shutdown::Shutdown;

use crate::source::Source;

const SECOND: i64 = 1_000_000;

pub(crate) fn time(seconds: i64) -> Time {
    Time(Timestamp((1_790_000_000 + seconds) * SECOND))
}

/// A certificate whose fields depend on `number` only.
pub(crate) fn certificate(number: u8) -> Arc<Certificate> {
    Arc::new(Certificate {
        sha256: format!("{number:02x}").repeat(32),
        subject: Some(format!("CN=site{number}.example")),
        issuer: Some("CN=Example CA".to_owned()),
        serial: Some(format!("{number:02x}")),
        not_before: Some("2026-01-01T00:00:00Z".to_owned()),
        not_after: Some(format!("2027-01-{:02}T00:00:00Z", number % 28 + 1)),
        public_key: Some("rsa".to_owned()),
        bits: Some(2048),
        signature: Some("sha256-rsa".to_owned()),
        ca: Some(number.is_multiple_of(2)),
        self_signed: Some(false),
    })
}

/// An inventory without programs of the host `name`, whose run began at `from`.
pub(crate) fn empty(name: &str, from: i64, to: i64) -> Inventory {
    Inventory {
        inventory_version: "1.0".to_owned(),
        generated_at: time(to),
        window: Window { from: time(from), to: time(to) },
        host: Some(Host {
            hostname: Some(name.to_owned()),
            kernel: Some("6.12.0".to_owned()),
            os: None,
        }),
        hosts: Vec::new(),
        coverage: Coverage { complete: true, ..Coverage::default() },
        programs: Vec::new(),
        libraries: Vec::new(),
        files: Vec::new(),
        uses: Vec::new(),
    }
}

/// Adds the use of a target by a program; both are added when they are missing.
pub(crate) fn add_use(inventory: &mut Inventory, exe: &str, target: Id, count: u64, at: i64) {
    let name = exe.rsplit('/').next().unwrap_or_default();
    let id = Id::program(Some(exe), name);
    let seen = Some(time(at));
    if !inventory.programs.iter().any(|it| it.id == id) {
        inventory.programs.push(Program {
            id,
            exe: Some(exe.to_owned()),
            name: name.to_owned(),
            users: vec!["root".to_owned()],
            containers: Vec::new(),
            processes: 1 + count % 3,
            first_seen: seen,
            last_seen: seen,
            hosts: Vec::new(),
        });
    }
    if !inventory.uses.iter().any(|it| it.program == id && it.target == target) {
        let is_library = inventory.libraries.iter().any(|it| it.id == target);
        inventory.uses.push(Use {
            program: id,
            target,
            count,
            modes: Modes { load: is_library, read: !is_library, write: false },
            first: count.is_multiple_of(2).then(|| time(at)),
            last: seen,
            stale: (count % 5 == 4).then_some(Stale { since: seen, reason: StaleReason::Replaced }),
            hosts: Vec::new(),
        });
    }
    inventory.sort();
}

pub(crate) fn add_file(
    inventory: &mut Inventory,
    path: &str,
    kind: &str,
    certificates: &[u8],
) -> Id {
    let id = Id::file(path);
    if !inventory.files.iter().any(|it| it.id == id) {
        let certificates: BTreeSet<u8> = certificates.iter().copied().collect();
        inventory.files.push(InventoryFile {
            id,
            path: path.to_owned(),
            r#type: kind.to_owned(),
            labels: BTreeMap::new(),
            certificates: certificates.into_iter().map(certificate).collect(),
            first_seen: None,
            last_seen: Some(time(9)),
            hosts: Vec::new(),
        });
    }
    id
}

pub(crate) fn add_library(inventory: &mut Inventory, path: &str, version: Option<&str>) -> Id {
    let id = Id::library(path);
    if !inventory.libraries.iter().any(|it| it.id == id) {
        let name = path.rsplit('/').next().unwrap_or_default();
        inventory.libraries.push(InventoryLibrary {
            id,
            name: name.split(".so").next().unwrap_or_default().to_owned(),
            path: path.to_owned(),
            version: version.map(str::to_owned),
            first_seen: None,
            last_seen: Some(time(7)),
            hosts: Vec::new(),
        });
    }
    id
}

/// A web server with a certificate, its key, and a library.
pub(crate) fn web_server(name: &str) -> Inventory {
    let mut inventory = empty(name, 0, 3600);
    let nginx = "/usr/sbin/nginx";
    let file = add_file(&mut inventory, "/etc/ssl/site.pem", "certificate", &[1]);
    let key = add_file(&mut inventory, "/etc/ssl/private/site.key", "private_key", &[]);
    let library = add_library(&mut inventory, "/usr/lib/libssl.so.3", Some("3.0.15"));
    for (target, count) in [(file, 3), (key, 1), (library, 4)] {
        add_use(&mut inventory, nginx, target, count, 60);
    }
    inventory
}

pub(crate) fn text(inventory: &Inventory) -> Vec<u8> {
    let mut sorted = inventory.clone();
    sorted.sort();
    document_json(&sorted, DocumentShape::Pretty).unwrap()
}

pub(crate) fn source(name: &str, text: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text).unwrap();
    file.rewind().unwrap();
    Source::new(name, file, &Shutdown::default())
}

/// One use: program, target, certificates, count, time.
type Drawn = (u8, u8, Vec<u8>, u64, i64);

fn build(name: u8, from: i64, length: i64, version: u8, uses: &[Drawn]) -> Inventory {
    let mut inventory = empty(&format!("host{name}"), from, from + length);
    for (program, target, certificates, count, at) in uses {
        let target = if target % 3 == 0 {
            let version = format!("3.{version}");
            add_library(&mut inventory, &format!("/usr/lib/lib{target}.so.3"), Some(&version))
        } else {
            let kind = if version.is_multiple_of(2) { "certificate" } else { "unknown" };
            add_file(&mut inventory, &format!("/etc/ssl/{target}.pem"), kind, certificates)
        };
        add_use(&mut inventory, &format!("/usr/bin/p{program}"), target, *count, *at);
    }
    inventory.coverage.events_lost = u64::from(version % 3);
    inventory.coverage.judge();
    inventory
}

/// Inventories of few hosts, programs and files, so that they have much in common. Documents of one run differ.
pub(crate) fn any_inventory() -> impl Strategy<Value = Inventory> {
    let certificates = prop::collection::vec(0_u8..6, 0..3);
    let uses = prop::collection::vec((0_u8..4, 0_u8..6, certificates, 0_u64..9, 0_i64..99), 0..9);
    (0_u8..3, 0_i64..2, 0_i64..3, 0_u8..4, uses).prop_map(|(name, from, length, version, uses)| {
        build(name, from * 100, length * 50, version, &uses)
    })
}
