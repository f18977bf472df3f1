//! Measures a merge: `cargo run --release -p crypto-tracer-inventory --example merge_costs -- [HOSTS [USES]]`.
//!
//! Each host has 1 000 programs, 10 000 files and, unless USES says otherwise, 100 000 uses. All hosts have the same
//! programs and files, as in a fleet, but certificates of their own.
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crypto_tracer_inventory::{Sink, Source, merge};
use crypto_tracer_output::document::inventory::Id;
use crypto_tracer_output::{DocumentShape, WriteError};
use crypto_tracer_system::shutdown::Shutdown;

const PROGRAMS: usize = 1_000;
const FILES: usize = 10_000;
const AT: &str = "2026-09-21T08:30:00.123456Z";

/// Counts the bytes of the document.
struct Counter(u64);

impl Sink for Counter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

fn program(number: usize) -> (Id, String) {
    let exe = format!("/opt/service-{number}/bin/service-{number}");
    (Id::program(Some(&exe), ""), exe)
}

fn file(number: usize) -> (Id, String) {
    let path = format!("/etc/ssl/service-{number}/certificate.pem");
    (Id::file(&path), path)
}

/// Writes a list, sorted by the ids of its entries.
fn list<K: Ord>(
    out: &mut impl Write,
    name: &str,
    mut entries: Vec<(K, String)>,
) -> std::io::Result<()> {
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    write!(out, ",\"{name}\":[")?;
    for (number, (_, text)) in entries.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(out, "{comma}{text}")?;
    }
    write!(out, "]")
}

fn generate(path: &Path, host: usize, uses: usize) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write!(
        out,
        r#"{{"inventory_version":"1.0","generated_at":"{AT}","window":{{"from":"2026-09-21T08:00:00.000000Z","to":"{AT}"}},"host":{{"hostname":"host{host}","kernel":"6.12.0","os":null}},"coverage":{{"complete":true,"events_lost":0,"lost_by_cause":{{}},"probes":["lsm:file_open"],"blind_spots":[],"unreadable_processes":0,"not_listed":{{"programs":0,"libraries":0,"files":0,"certificates":0,"uses":0,"users_and_containers":0,"events":0}}}}"#
    )?;
    let programs = (0..PROGRAMS).map(program).map(|(id, exe)| {
        let text = format!(
            r#"{{"id":"{id}","exe":"{exe}","name":"service","users":["root"],"containers":[],"processes":3,"first_seen":null,"last_seen":"{AT}"}}"#
        );
        (id, text)
    });
    list(&mut out, "programs", programs.collect())?;
    list::<Id>(&mut out, "libraries", Vec::new())?;
    let files = (0..FILES).map(|number| {
        let (id, path) = file(number);
        let sha256 = format!("{:064x}", number * 1000 + host);
        let text = format!(
            r#"{{"id":"{id}","path":"{path}","type":"certificate","labels":{{}},"certificates":[{{"sha256":"{sha256}","subject":"CN=service{number}.example","issuer":"CN=CA","serial":"01","not_before":"2026-01-01T00:00:00Z","not_after":"2027-01-01T00:00:00Z","public_key":"rsa","bits":2048,"signature":"sha256-rsa","ca":false,"self_signed":false}}],"first_seen":"{AT}","last_seen":"{AT}"}}"#
        );
        (id, text)
    });
    list(&mut out, "files", files.collect())?;
    let used = (0..uses).map(|number| {
        let program = program(number % PROGRAMS).0;
        // Each program uses other files.
        let target = file((number / PROGRAMS * 97 + number % PROGRAMS) % FILES).0;
        let text = format!(
            r#"{{"program":"{program}","target":"{target}","count":7,"modes":["read"],"first":"{AT}","last":"{AT}","stale":null}}"#
        );
        ((program, target), text)
    });
    list(&mut out, "uses", used.collect())?;
    writeln!(out, "}}")?;
    out.flush()
}

/// Peak memory of this process in MiB.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib >> 10)
}

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|it| it.parse::<usize>());
    let hosts = numbers.next().transpose()?.unwrap_or(100);
    let uses = numbers.next().transpose()?.unwrap_or(100_000);
    let dir = tempfile::tempdir()?;
    let shutdown = Shutdown::default();
    let (mut sources, mut bytes) = (Vec::new(), 0);
    for host in 0..hosts {
        let path = dir.path().join(format!("{host}.json"));
        generate(&path, host, uses)?;
        let file = File::open(&path)?;
        bytes += file.metadata()?.len();
        sources.push(Source::new(format!("{host}.json"), file, &shutdown));
    }
    // What generating needed is not part of the merge.
    std::fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak memory")?;
    let mut counter = Counter(0);
    let began = Instant::now();
    let report = merge(&sources, &mut counter, DocumentShape::Line)?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", report.summary());
    println!(
        "{} MB read, {} MB written in {seconds:.1} s; peak memory {} MiB",
        bytes / 1_000_000,
        counter.0 / 1_000_000,
        peak_memory().unwrap_or_default()
    );
    Ok(())
}
