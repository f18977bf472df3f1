//! The figures of a run, as they are in bench/latest.json.

use serde::{Deserialize, Serialize};

use super::machine::Machine;

/// Everything that a run measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    /// The circumstances.
    pub(super) machine: Machine,
    pub(super) rows: Vec<Row>,
    pub(super) curves: Vec<Curve>,
}

impl Results {
    /// The row with this text.
    pub(super) fn row(&self, what: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.what == what)
    }
}

/// One measured figure.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The case that measured it.
    #[serde(default)]
    pub(super) section: String,
    /// What was measured. It identifies the row.
    pub(super) what: String,
    /// The value: the median if it was measured several times.
    pub(super) value: f64,
    /// The lowest and the highest measurement, if there are several.
    pub(super) spread: Option<(f64, f64)>,
    /// Its unit.
    pub(super) unit: String,
    /// The target: a maximum, or with `at_least` a minimum; `None` if there is no target.
    pub(super) target: Option<f64>,
    pub(super) at_least: bool,
    /// Details: the times of a ratio, or the counts of a rate.
    pub(super) detail: String,
    /// The row that shows the least that is possible here.
    pub(super) floor: Option<String>,
    /// Why the target may be missed.
    pub(super) reason: Option<String>,
}

impl Row {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &str) -> Row {
        Row {
            section: String::new(),
            what: what.into(),
            value,
            spread: None,
            unit: unit.to_owned(),
            target: None,
            at_least: false,
            detail: String::new(),
            floor: None,
            reason: None,
        }
    }

    /// The median of several measurements, and their spread.
    pub(super) fn median(
        what: impl Into<String>,
        values: Vec<f64>,
        unit: &str,
    ) -> anyhow::Result<Row> {
        let spread = spread(&values);
        let median = super::run::median(values)?;
        Ok(Row { spread, ..Row::new(what, median, unit) })
    }

    pub(super) fn at_most(self, target: f64) -> Row {
        Row { target: Some(target), ..self }
    }

    pub(super) fn at_least(self, target: f64) -> Row {
        Row { target: Some(target), at_least: true, ..self }
    }

    pub(super) fn detail(self, detail: impl Into<String>) -> Row {
        Row { detail: detail.into(), ..self }
    }

    /// `what`: the row with the least that is possible on this machine.
    pub(super) fn floor(self, what: impl Into<String>) -> Row {
        Row { floor: Some(what.into()), ..self }
    }

    /// Why the target is missed, if it is.
    pub(super) fn because(self, reason: impl Into<String>) -> Row {
        Row { reason: Some(reason.into()), ..self }
    }

    pub(super) fn met(&self) -> Option<bool> {
        let target = self.target?;
        Some(if self.at_least { self.value >= target } else { self.value <= target })
    }

    /// Whether a larger value is better.
    pub(super) fn is_rate(&self) -> bool {
        self.at_least || self.unit.ends_with("/s")
    }
}

/// The lowest and the highest of several values.
fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    (values.len() > 1).then_some((low, high))
}

/// A line of a plot.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Curve {
    /// The plot that it belongs to.
    pub(super) plot: String,
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(super) fn new(plot: &str, name: impl Into<String>, points: Vec<(f64, f64)>) -> Curve {
        Curve { plot: plot.to_owned(), name: name.into(), points }
    }
}

/// What a case measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(super) rows: Vec<Row>,
    pub(super) curves: Vec<Curve>,
}

impl From<Vec<Row>> for Measured {
    fn from(rows: Vec<Row>) -> Measured {
        Measured { rows, curves: Vec::new() }
    }
}

impl From<Row> for Measured {
    fn from(row: Row) -> Measured {
        vec![row].into()
    }
}

impl Extend<Measured> for Measured {
    fn extend<I: IntoIterator<Item = Measured>>(&mut self, all: I) {
        for Measured { rows, curves } in all {
            self.rows.extend(rows);
            self.curves.extend(curves);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_median_and_the_spread() {
        let row = Row::median("x", vec![3.0, 1.0, 2.0], "ms").unwrap().at_most(1.5);
        assert_eq!((row.value, row.spread, row.met()), (2.0, Some((1.0, 3.0)), Some(false)));
        assert_eq!(Row::median("x", vec![3.0], "ms").unwrap().spread, None);
        assert_eq!(Row::new("x", 3.0, "ms").at_least(3.0).met(), Some(true));
        assert!(Row::median("x", Vec::new(), "ms").is_err());
    }
}
