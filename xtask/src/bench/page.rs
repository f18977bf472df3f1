//! Renders docs/performance.md from its template and the results of a run.

use std::fmt::Write;

use anyhow::{Context, Result, bail};

use super::report::{figure, heading, number, spread, target};
use super::row::{Results, Row};

/// The page.
pub(super) const PATH: &str = "docs/performance.md";
const TEMPLATE: &str = include_str!("performance.md.in");

/// What the documentation promises: the sentence, and the rows that show it.
const PROMISES: [(&str, &[&str]); 9] = [
    ("Memory, typical: 20 to 30 MB", &["resident memory, typical"]),
    (
        "Memory, maximum: less than 50 MB",
        &[
            "resident memory, saturated: after a flood",
            "resident memory, saturated: after 20 000 distinct files",
        ],
    ),
    ("Processor, average: less than 0.5 % of a core", &["processor, 50 events/s"]),
    ("Processor, in bursts: less than 2 % of a core", &["processor, 5000 events/s"]),
    (
        "Overhead for monitored processes: less than 1 %",
        &["real work: git status", "real work: nginx, a request of a file over TLS"],
    ),
    ("Capacity: 5 000 events per second", &["lost at 5000 events/s"]),
    (
        "Latency: less than 5 ms for an event, with enrichment",
        &["kernel to line, 99th percentile, 5 000 events/s"],
    ),
    ("Start: less than 2 s", &["start to the first event"]),
    (
        "Event rate without loss: 300 000 events per second",
        &["flat-out, one opener: received to a file"],
    ),
];

/// Renders the page. Each `{{…}}` of the template is one of `machine`, `noise`, `promises`, `missed`, `table SECTION …`,
/// `value ROW` and `plot NAME`.
pub(super) fn page(results: &Results) -> Result<String> {
    let mut page = String::new();
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (word, after) = after.split_once("}}").context("a `{{` without `}}`")?;
        page.push_str(before);
        page.push_str(&expand(word, results).with_context(|| format!("{{{{{word}}}}}"))?);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

fn expand(word: &str, results: &Results) -> Result<String> {
    let (word, argument) = word.split_once(' ').unwrap_or((word, ""));
    match word {
        "machine" => Ok(machine(results)),
        "promises" => promises(results),
        "missed" => Ok(missed(results)),
        "table" => Ok(table(results, argument)),
        "value" => {
            let row = results.row(argument);
            Ok(row.map_or_else(|| "(not measured)".to_owned(), figure))
        }
        "plot" => Ok(format!("![{argument}](plots/{argument}.svg)")),
        _ => bail!("unknown word"),
    }
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let quick = if machine.quick {
        "\nThe run was a smoke test with a tenth of the repetitions: its figures are provisional.\n"
    } else {
        ""
    };
    format!(
        "{}{:.0} s, in which other work took {:.0} % of the processors\n{quick}",
        heading(machine),
        machine.seconds,
        machine.other_load_percent
    )
}

fn cell(row: &Row) -> String {
    let met = if row.met() == Some(false) { ": missed" } else { "" };
    if row.target.is_some() { format!("{}{met}", target(row)) } else { String::new() }
}

fn promises(results: &Results) -> Result<String> {
    let mut text = String::from("| promise | figure | measured |\n|---|---|---|\n");
    for (promise, rows) in PROMISES {
        for what in rows {
            let measured = results.row(what).map_or_else(|| "not measured".to_owned(), figure);
            writeln!(text, "| {promise} | {what} | {measured} |")?;
        }
    }
    Ok(text)
}

/// A table of the rows of these sections.
fn table(results: &Results, sections: &str) -> String {
    let sections: Vec<&str> = sections.split(' ').collect();
    let rows: Vec<&Row> = sections
        .iter()
        .flat_map(|section| results.rows.iter().filter(move |row| row.section == *section))
        .collect();
    if rows.is_empty() {
        return "Not measured in this run.\n".to_owned();
    }
    let mut text =
        String::from("| what | measured | lowest to highest | target |\n|---|---|---|---|\n");
    for row in rows {
        let detail =
            if row.detail.is_empty() { String::new() } else { format!(" ({})", row.detail) };
        let what = format!("{}{detail}", row.what).replace('|', "\\|");
        let _ = writeln!(text, "| {what} | {} | {} | {} |", figure(row), spread(row), cell(row));
    }
    text
}

/// The rows that missed their targets, with the floor and the reason.
fn missed(results: &Results) -> String {
    let missed: Vec<&Row> = results.rows.iter().filter(|row| row.met() == Some(false)).collect();
    if missed.is_empty() {
        return "This run missed no target.\n".to_owned();
    }
    let mut text = String::from(
        "| what | measured | target | floor in this run | reason |\n|---|---|---|---|---|\n",
    );
    for row in missed {
        let floor = row.floor.as_deref().and_then(|what| results.row(what));
        let floor = floor.map_or_else(|| "none measured".to_owned(), figure);
        let reason = row.reason.as_deref().unwrap_or("not known");
        let _ = writeln!(
            text,
            "| {} | {} | {} | {floor} | {reason} |",
            row.what,
            figure(row),
            target(row)
        );
    }
    let others = results.rows.iter().filter(|row| row.met() == Some(true)).count();
    let _ = writeln!(text, "\n{} targets were met.", number(others as f64));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Machine;

    fn results(rows: Vec<Row>) -> Results {
        let machine = Machine {
            kernel: "6.1.0".to_owned(),
            processor: "a processor".to_owned(),
            processors: 2,
            memory_gb: 4.0,
            is_virtual: true,
            commit: "abc".to_owned(),
            rounds: 5,
            quick: true,
            other_load_percent: 3.0,
            seconds: 60.0,
        };
        Results { machine, rows, curves: Vec::new() }
    }

    #[test]
    fn the_template_has_known_words_only() {
        let page = page(&results(Vec::new())).unwrap();
        assert!(!page.contains("{{") && page.contains("smoke test"), "{page}");
        assert!(expand("tabel noise", &results(Vec::new())).is_err());
    }

    /// Each section of the cases is in a table, so the page shows every figure of a run.
    #[test]
    fn every_case_is_in_a_table() {
        let tables = TEMPLATE.split("{{table ").skip(1).filter_map(|rest| rest.split("}}").next());
        let sections: Vec<&str> = tables.flat_map(|sections| sections.split(' ')).collect();
        for (name, _) in crate::bench::cases::ALL {
            assert_eq!(sections.iter().filter(|section| **section == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_miss_has_its_floor_and_its_reason() {
        let row = Row::new("idle", 0.1, "%").at_most(0.05).floor("empty").because("timers");
        let row = Row { section: "paced".to_owned(), ..row };
        let results = results(vec![row, Row::new("empty", 0.01, "%")]);
        let text = missed(&results);
        assert!(text.contains("| idle | 0.1 % | ≤ 0.05 | 0.01 % | timers |"), "{text}");
        assert!(table(&results, "paced").contains("| idle | 0.1 % |  | ≤ 0.05: missed |"));
        assert!(promises(&results).unwrap().contains("| not measured |"));
    }
}
