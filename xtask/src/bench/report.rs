//! Prints the figures and keeps them in `bench/`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use super::Row;
use super::run::Bench;
use crate::run::capture;

/// A figure as a line of text.
pub(super) fn line(row: &Row) -> String {
    let judged = match row.met() {
        None => String::new(),
        Some(met) => format!("{} {}", wanted(row), if met { "met" } else { "NOT MET" }),
    };
    format!(
        "{:<52} {:>10} {:<12} {judged:<20} {}",
        row.what,
        number(row.value),
        row.unit,
        row.detail
    )
}

fn wanted(row: &Row) -> String {
    let sign = if row.at_least { '≥' } else { '≤' };
    row.target.map_or_else(String::new, |target| format!("{sign} {}", number(target)))
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Where and of what.
#[derive(Debug, Serialize)]
struct Context {
    kernel: String,
    commit: String,
    processors: usize,
    processor: String,
    rounds: usize,
}

/// Writes `bench/RESULTS-<kernel>.md` and `.json`.
pub(super) fn write(root: &Path, bench: &Bench, rows: &[Row]) -> Result<()> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let git = |arguments: &[&str]| {
        capture(Command::new("git").args(arguments).current_dir(root)).unwrap_or_default()
    };
    let changed = if git(&["status", "--porcelain"]).is_empty() { "" } else { ", changed" };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let context = Context {
        commit: format!("{}{changed}", git(&["rev-parse", "--short=12", "HEAD"])),
        processors: std::thread::available_parallelism()?.get(),
        processor: model.map_or("unknown", |(_, model)| model).to_owned(),
        rounds: bench.rounds,
        kernel,
    };
    let folder = root.join("bench");
    fs::create_dir_all(&folder)?;
    let name = folder.join(format!("RESULTS-{}", context.kernel));
    let json = serde_json::json!({ "context": context, "rows": rows });
    fs::write(name.with_added_extension("json"), serde_json::to_string_pretty(&json)? + "\n")?;
    fs::write(name.with_added_extension("md"), markdown(&context, rows)?)?;
    println!("written: {}.md", name.display());
    Ok(())
}

fn markdown(context: &Context, rows: &[Row]) -> Result<String> {
    let mut text = String::from("# Benchmark\n\nMade by `cargo xtask bench`.\n\n");
    writeln!(
        text,
        "- kernel {}, {} processors ({})",
        context.kernel, context.processors, context.processor
    )?;
    writeln!(text, "- commit {}, {} rounds\n", context.commit, context.rounds)?;
    text.push_str("| what | figure | target | met | detail |\n|---|---|---|---|---|\n");
    for row in rows {
        let met = row.met().map_or("", |met| if met { "yes" } else { "**no**" });
        let figure = format!("{} {}", number(row.value), row.unit);
        writeln!(text, "| {} | {figure} | {} | {met} | {} |", row.what, wanted(row), row.detail)?;
    }
    Ok(text)
}
