//! Costs that are measured in one process, without BPF programs: of plugins, and of an event as the system grows.

use std::process::Command;

use anyhow::{Context, Result};

use super::row::{Curve, Measured, Row};
use super::run::Bench;
use crate::run::capture;

/// One figure that an example of the package `crypto-tracer` prints.
#[derive(Debug, serde::Deserialize)]
struct Figure {
    what: String,
    value: f64,
    unit: String,
    most: Option<f64>,
    detail: String,
}

/// Runs an example with the folder of the test plugins. Returns nothing if it is not built.
fn figures(bench: &Bench, example: &str) -> Result<Vec<Figure>> {
    let folder = bench.program.parent().context("a program is in a folder")?;
    let program = folder.join("examples").join(example);
    if !program.exists() {
        eprintln!("the example {example} is not built: the case is skipped");
        return Ok(Vec::new());
    }
    let fixtures = bench.root.join("tests/fixtures/plugins");
    let text = capture(Command::new(&program).arg(fixtures))?;
    Ok(serde_json::from_str(&text)?)
}

fn row(figure: Figure) -> Row {
    let Figure { what, value, unit, most, detail } = figure;
    let row = Row::new(what, value, &unit).detail(detail);
    match most {
        Some(most) => row.at_most(most),
        None => row,
    }
}

/// Cost of loading, calls, failures and memory of plugins.
pub(super) fn plugins(bench: &Bench) -> Result<Measured> {
    let rows: Vec<Row> = figures(bench, "plugin_costs")?.into_iter().map(row).collect();
    Ok(rows.into())
}

/// Processor time for an event as processes, files, filters, plugins and libraries grow.
pub(super) fn growth(bench: &Bench) -> Result<Measured> {
    let rows: Vec<Row> = figures(bench, "event_costs")?.into_iter().map(row).collect();
    let mut curves: Vec<Curve> = Vec::new();
    for row in &rows {
        let Some((count, what)) = counted(&row.what) else { continue };
        match curves.iter_mut().find(|curve| curve.name == what) {
            Some(curve) => curve.points.push((count, row.value)),
            None => curves.push(Curve::new("growth", what, vec![(count, row.value)])),
        }
    }
    // As factors of the smallest number.
    for curve in &mut curves {
        let first = curve.points.first().map_or(1.0, |(count, _)| *count);
        curve.points.iter_mut().for_each(|(count, _)| *count /= first);
    }
    Ok(Measured { rows, curves })
}

/// The number and the noun of `an event with 1000 files`.
fn counted(what: &str) -> Option<(f64, &str)> {
    let (count, noun) = what.strip_prefix("an event with ")?.split_once(' ')?;
    Some((count.parse().ok()?, noun))
}

/// The examples that are measured.
pub(super) const EXAMPLES: [&str; 2] = ["plugin_costs", "event_costs"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_those_of_the_curve() {
        assert_eq!(counted("an event with 1000 filter plugins"), Some((1000.0, "filter plugins")));
        assert_eq!(counted("an event"), None);
    }
}
