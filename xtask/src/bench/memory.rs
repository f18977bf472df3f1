//! Resident memory.

use std::path::Path;

use anyhow::Result;
use crypto_tracer_tests::Tracer;

use super::load::wait_for_exits;
use super::row::{Measured, Row};
use super::run::{Bench, usage};

const REASON: &str = "the ring takes 8 MB, and the reader process is a second program image";

/// Resident memory of the tracer and its helper processes.
pub(super) fn memory(bench: &Bench) -> Result<Measured> {
    let file = bench.file("memory.key")?;
    let tracer = bench.trace(&[])?;
    let mut rows = Vec::new();
    open(bench, 1000, &[&file])?;
    rows.extend(resident(&tracer, "typical", (20.0, 5.0))?);
    open(bench, bench.count(400_000), &[&file])?;
    rows.extend(resident(&tracer, "saturated: after a flood", (28.0, 5.0))?);
    let many = (0..bench.count(20_000))
        .map(|number| bench.file(&format!("distinct-{number}.pem")))
        .collect::<Result<Vec<_>>>()?;
    for part in many.chunks(2000) {
        let paths: Vec<&Path> = part.iter().map(|path| path.as_path()).collect();
        open(bench, u64::try_from(paths.len())?, &paths)?;
    }
    rows.extend(resident(&tracer, "saturated: after 20 000 distinct files", (28.0, 5.0))?);
    tracer.finish();
    Ok(rows.into())
}

fn open(bench: &Bench, count: u64, paths: &[&Path]) -> Result<()> {
    let count = count.to_string();
    let call_loop = bench.call_loop(&["open", "--count", &count, "--batches", "10"], paths)?;
    let pid = call_loop.pid();
    call_loop.end()?;
    wait_for_exits(&bench.file("out.json")?, &[pid]);
    Ok(())
}

fn resident(tracer: &Tracer, when: &str, (most, most_anonymous): (f64, f64)) -> Result<[Row; 3]> {
    let usage = usage(tracer.pid())?;
    let helpers = usage.rss_mb - usage.main_rss_mb;
    let detail = format!("main process {:.1}, reader and helpers {helpers:.1}", usage.main_rss_mb);
    let anonymous = usage.anonymous_mb;
    Ok([
        Row::new(format!("resident memory, {when}"), usage.main_rss_mb, "MB")
            .at_most(most)
            .detail(detail)
            .because(REASON),
        Row::new(format!("resident memory with helpers, {when}"), usage.rss_mb, "MB"),
        Row::new(format!("anonymous memory with helpers, {when}"), anonymous, "MB")
            .at_most(most_anonymous)
            .because("each process has an allocator and stacks of its own"),
    ])
}
