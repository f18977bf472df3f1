//! Measures the commands for plugin authors: `plugin test`, `plugin check` and `replay`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::row::{Measured, Row};
use super::run::Bench;

/// Plugins of the workspace, of typical sizes.
const CLASSIFIER: &str = "artifacts/classify-default.wasm";
const REDACTOR: &str = "artifacts/redact-default.wasm";
const RECORDING: &str = "tests/fixtures/recordings/every-event.rec";
/// Bytes before the first frame of a recording.
const HEADER: usize = 12;
/// Bytes before a frame's body.
const PREFIX: usize = 8;

/// All cases of this file.
pub(super) fn workbench(bench: &Bench) -> Result<Measured> {
    Ok(vec![test(bench)?, check(bench)?, replay(bench)?].into())
}

/// Runs the program; returns the time in milliseconds, and the output.
fn timed(bench: &Bench, arguments: &[&str], paths: &[&Path]) -> Result<(f64, String)> {
    let (command, options) = arguments.split_at(arguments.len().min(2));
    let mut run = Command::new(&bench.program);
    run.args(command).args(paths).args(options).stdin(Stdio::null());
    let begun = Instant::now();
    let output = run.output()?;
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(output.status.success(), "{arguments:?} ended with {}: {text}", output.status);
    Ok((ms, text))
}

fn test(bench: &Bench) -> Result<Row> {
    const CASES: usize = 1000;
    let contents = ["CERTIFICATE", "PRIVATE KEY"].map(|what| format!("-----BEGIN {what}-----\n"));
    let case = |at: usize| {
        let (content, wanted) = match at % 4 {
            0 => (Some(&contents[0]), json!("certificate")),
            1 => (Some(&contents[1]), json!("private_key")),
            2 => (None, json!("private_key")),
            _ => (None, json!(null)),
        };
        let ending = if at % 4 == 2 { "key" } else { "pem" };
        let path = format!("/srv/{at}.{ending}");
        let file = match content {
            Some(content) => json!({ "path": path, "content": content }),
            None => json!({ "path": path }),
        };
        json!({ "name": format!("case {at}"), "file": file, "expect": { "file_type": wanted } })
    };
    let cases: Vec<_> = (0..CASES).map(case).collect();
    let path = bench.file("cases.json")?;
    std::fs::write(&path, json!({ "cases": cases }).to_string())?;
    let plugin = bench.root.join(CLASSIFIER);
    let cases = path.to_str().context("a path that is text")?;
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        let (ms, text) = timed(bench, &["plugin", "test", "--cases", cases], &[&plugin])?;
        ensure!(text.contains("1000 passed, 0 failed"), "{text}");
        times.push(ms / 1e3);
    }
    Ok(Row::median("plugin test, 1 000 cases", times, "s")?.at_most(1.0))
}

fn check(bench: &Bench) -> Result<Row> {
    let plugin = bench.root.join(REDACTOR);
    let size = std::fs::metadata(&plugin)?.len();
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        times.push(timed(bench, &["plugin", "check"], &[&plugin])?.0);
    }
    let row = Row::median("plugin check", times, "ms")?.at_most(100.0);
    let row = row.because("the target is for 64 KB, and compilation takes nearly all the time");
    Ok(row.detail(format!("a plugin of {} KB", size / 1000)))
}

/// A recording that repeats the one of the tests many times: after the first repetition, all verdicts are cached.
fn long_recording(bench: &Bench) -> Result<PathBuf> {
    let bytes = std::fs::read(bench.root.join(RECORDING))?;
    let (header, mut rest) = bytes.split_at_checked(HEADER).context("a recording")?;
    let mut frames = Vec::new();
    while let Some((prefix, after)) = rest.split_first_chunk::<PREFIX>() {
        let [a, b, c, d, ..] = *prefix;
        let body = usize::try_from(u32::from_le_bytes([a, b, c, d]))?;
        let end = PREFIX + body;
        frames.push(rest.get(..end).context("a whole frame")?);
        rest = after.get(body..).context("a whole frame")?;
    }
    let [start, middle @ .., end] = &frames[..] else { anyhow::bail!("too few frames") };
    let path = bench.file("long.rec")?;
    let mut out = BufWriter::new(File::create(&path)?);
    out.write_all(header)?;
    out.write_all(start)?;
    for _ in 0..bench.count(4000) {
        middle.iter().try_for_each(|frame| out.write_all(frame))?;
    }
    out.write_all(end)?;
    out.flush()?;
    Ok(path)
}

fn replay(bench: &Bench) -> Result<Row> {
    let recording = long_recording(bench)?;
    let out = bench.file("replayed.json")?;
    let out = out.to_str().context("a path that is text")?.to_owned();
    let recording = recording.to_str().context("a path that is text")?;
    let (mut rates, mut detail) = (Vec::new(), String::new());
    for _ in 0..bench.rounds {
        let (ms, text) = timed(bench, &["replay", recording, "--output", &out], &[])?;
        let received =
            text.split(" records received").next().and_then(|text| text.rsplit(' ').next());
        let records: f64 = received.context("a count of records")?.parse()?;
        rates.push(records / ms * 1e3);
        detail = format!("{records} records, including start and end");
    }
    let row = Row::median("replay to a file", rates, "records/s")?.at_least(300_000.0);
    Ok(row.detail(detail))
}
