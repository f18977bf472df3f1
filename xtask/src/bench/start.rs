//! Duration of the start.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::row::{Measured, Row};
use super::run::{Bench, median};

/// Prefix of the parts' rows.
pub(super) const PART: &str = "start: ";

/// Time to the first event, and the parts of a start.
pub(super) fn start(bench: &Bench) -> Result<Measured> {
    let mut rows = to_first_event(bench)?;
    rows.extend(parts(bench)?);
    Ok(rows.into())
}

/// Time from the start of the program to its first event, while a matching open occurs every millisecond.
fn to_first_event(bench: &Bench) -> Result<Vec<Row>> {
    let site = bench.root.join("tests/fixtures/plugins/site-classifier.wasm");
    let site = site.to_str().context("a path that is text")?;
    let file = bench.file("start.pem")?;
    let mut rows = Vec::new();
    for (what, options, most, reason) in [
        ("start to the first event", &[][..], 80.0, "the parts of the start are listed below it"),
        (
            "start to the first event, with a site's classifier",
            &["--classifier", site],
            150.0,
            "the plugin is compiled at each start, unless there is a code cache",
        ),
    ] {
        let mut times = Vec::new();
        for _ in 0..bench.rounds {
            let mut call_loop =
                bench.call_loop(&["open", "--rate", "1000", "--count", "20000"], &[&file])?;
            call_loop.go()?;
            let pid = call_loop.pid().to_string();
            let mut command = bench.command(&["--quiet", "--pid", &pid]);
            command.args(options).stdout(Stdio::piped());
            let begun = Instant::now();
            let mut child = command.spawn()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
            ensure!(line.contains("file_open"), "the first line is {line:?}");
            child.kill()?;
            child.wait()?;
            call_loop.kill()?;
        }
        rows.push(Row::median(what, times, "ms")?.at_most(most).because(reason));
    }
    Ok(rows)
}

/// The parts that `--verbose` reports.
fn parts(bench: &Bench) -> Result<Vec<Row>> {
    let mut parts: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..bench.rounds {
        let mut command = bench.command(&["--verbose", "--pid", &std::process::id().to_string()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stderr.take().context("a pipe")?);
        let mut line = String::new();
        while !line.contains("the start took") {
            line.clear();
            ensure!(said.read_line(&mut line)? > 0, "the tracer reports no parts of its start");
        }
        // Ends it: it cannot print.
        child.kill()?;
        child.wait()?;
        let _ = said.read_to_string(&mut String::new());
        for (name, ms) in parse(&line)? {
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, times)) => times.push(ms),
                None => parts.push((name, vec![ms])),
            }
        }
    }
    let largest = parts.iter().map(|(name, times)| Ok((median(times.clone())?, name)));
    let largest =
        largest.collect::<Result<Vec<_>>>()?.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
    let largest = largest.map(|(_, name)| name.clone()).unwrap_or_default();
    parts
        .into_iter()
        .map(|(name, times)| {
            let row = Row::median(format!("{PART}{name}"), times, "ms")?;
            Ok(if name == largest { row.detail("the largest part") } else { row })
        })
        .collect()
}

/// Parses `the start took 93.0 ms: plugins 2.1 ms, attaching 1.0 ms`.
fn parse(line: &str) -> Result<Vec<(String, f64)>> {
    let (_, parts) = line.trim_end().split_once(" ms: ").context("parts of the start")?;
    parts
        .split(", ")
        .map(|part| {
            let (name, ms) = part
                .strip_suffix(" ms")
                .and_then(|part| part.rsplit_once(' '))
                .context("a part")?;
            Ok((name.to_owned(), ms.parse()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_start_are_parsed() {
        let line = "crypto-tracer: the start took 93.0 ms: plugins 2.1 ms, BPF maps 1.0 ms\n";
        let parts = parse(line).unwrap();
        assert_eq!(parts, [("plugins".to_owned(), 2.1), ("BPF maps".to_owned(), 1.0)]);
        assert!(parse("ready").is_err());
    }
}
