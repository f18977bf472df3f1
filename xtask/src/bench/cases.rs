//! The list of cases, and those of the probes.

use std::fs;

use anyhow::Result;

use super::pairs::{Calls, Pairs, noise};
use super::row::{Measured, Row};
use super::run::Bench;
use super::{bpftrace, endings, growth, load, memory, real_work, start, workbench};

pub(super) type Case = fn(&Bench) -> Result<Measured>;

/// All cases, in order. The name is the section of its rows.
pub(super) const ALL: [(&str, Case); 20] = [
    ("noise", noise),
    ("dropped", dropped),
    ("getppid", getppid),
    ("stat", stat),
    ("mmap", mmap),
    ("spawn", spawn),
    ("matching", matching),
    ("rungs", rungs),
    ("bpftrace", bpftrace::bpftrace),
    ("real-work", real_work::real_work),
    ("flat-out", load::flat_out),
    ("paced", load::paced),
    ("latency", load::latency),
    ("start", start::start),
    ("memory", memory::memory),
    ("plugins", growth::plugins),
    ("growth", growth::growth),
    ("workbench", workbench::workbench),
    ("endings", endings::endings),
    ("snapshot", endings::snapshot),
];

/// The probes for opens. A kernel may not have all of them.
const RUNGS: [(&str, f64); 3] = [("tp_btf", 1.15), ("lsm", 1.05), ("fexit", 1.05)];

const EMPTY: &str = "floor: the same with an empty program at sys_exit";
const AT_SYS_EXIT: &str =
    "a program at sys_exit runs at the end of every system call, and an empty one costs the floor";

fn empty(of: &str) -> String {
    format!("{EMPTY} ({of})")
}

fn with_floor(row: Row, floor: &Pairs, of: &str) -> Result<Vec<Row>> {
    Ok(vec![row.floor(empty(of)).because(AT_SYS_EXIT), floor.row(empty(of))?])
}

fn dropped(bench: &Bench) -> Result<Measured> {
    let file = bench.file("plain.txt")?;
    let calls = Calls { call: "open", count: 100_000, path: Some(&file) };
    let pairs = calls.traced(bench)?;
    let row = pairs.row("open+close of a file outside the interest")?.at_most(1.15);
    Ok(with_floor(row, &calls.floor(bench)?, "open+close")?.into())
}

fn getppid(bench: &Bench) -> Result<Measured> {
    let calls = Calls { call: "getppid", count: 400_000, path: None };
    let (pairs, floor) = (calls.traced(bench)?, calls.floor(bench)?);
    let mut rows = with_floor(pairs.row("getppid")?, &floor, "getppid")?;
    let empty = "floor: an empty program at sys_exit";
    let cost = Row::median("a system call that opens no file", pairs.costs_ns(), "ns more")?;
    rows.push(cost.at_most(90.0).floor(empty).because(AT_SYS_EXIT));
    rows.push(Row::median(empty, floor.costs_ns(), "ns more")?);
    Ok(rows.into())
}

fn stat(bench: &Bench) -> Result<Measured> {
    let file = bench.file("plain.txt")?;
    let calls = Calls { call: "stat", count: 200_000, path: Some(&file) };
    Ok(calls.traced(bench)?.row("stat")?.into())
}

fn mmap(bench: &Bench) -> Result<Measured> {
    let file = bench.file("code.bin")?;
    fs::write(&file, [0; 4096])?;
    let calls = Calls { call: "mmap", count: 100_000, path: Some(&file) };
    Ok(calls.traced(bench)?.row("mmap+munmap of code, not a library")?.into())
}

fn spawn(bench: &Bench) -> Result<Measured> {
    let calls = Calls { call: "spawn", count: 500, path: None };
    Ok(calls.traced(bench)?.row("spawn of /bin/true")?.into())
}

fn matching(bench: &Bench) -> Result<Measured> {
    let file = bench.file("matching.key")?;
    let calls = Calls { call: "open", count: 60_000, path: Some(&file) };
    let row = calls.traced(bench)?.row("open+close with an event")?.at_most(1.5);
    Ok(with_floor(row, &calls.floor(bench)?, "open+close with an event")?.into())
}

/// Opens with each probe that this kernel has, instead of the best one.
fn rungs(bench: &Bench) -> Result<Measured> {
    let (plain, matching) = (bench.file("plain.txt")?, bench.file("matching.key")?);
    let mut rows = Vec::new();
    for (rung, most) in RUNGS {
        let with_rung = bench.with_probe(rung);
        if !with_rung.is_traceable()? {
            eprintln!("{rung} cannot be attached to this kernel: its rows are skipped");
            continue;
        }
        let dropped = Calls { call: "open", count: 100_000, path: Some(&plain) };
        let row = dropped.traced(&with_rung)?.row(format!("{rung}: open+close, no event"))?;
        rows.push(row.at_most(most).floor(empty("open+close")).because(AT_SYS_EXIT));
        let sent = Calls { call: "open", count: 60_000, path: Some(&matching) };
        let row = sent.traced(&with_rung)?.row(format!("{rung}: open+close with an event"))?;
        rows.push(row.at_most(1.5));
    }
    Ok(rows.into())
}
