//! Interleaved pairs: the same calls without and with a tracer.

use std::path::Path;

use anyhow::{Context, Result};

use super::floor::EmptyProgram;
use super::row::{Measured, Row};
use super::run::Bench;

/// Paired measurements without and with a tracer, in nanoseconds of processor time for a call.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    without_ns: Vec<f64>,
    with_ns: Vec<f64>,
}

impl Pairs {
    /// The ratio of each pair.
    pub(super) fn ratios(&self) -> Vec<f64> {
        self.with_ns.iter().zip(&self.without_ns).map(|(with, without)| with / without).collect()
    }

    /// The difference of each pair.
    pub(super) fn costs_ns(&self) -> Vec<f64> {
        self.with_ns.iter().zip(&self.without_ns).map(|(with, without)| with - without).collect()
    }

    pub(super) fn row(&self, what: impl Into<String>) -> Result<Row> {
        let median = |values: &Vec<f64>| super::run::median(values.clone());
        let (without, with) = (median(&self.without_ns)?, median(&self.with_ns)?);
        let row = Row::median(what, self.ratios(), "× untraced")?;
        Ok(row.detail(format!("{without:.0} ns without, {with:.0} ns with")))
    }

    pub(super) fn add(&mut self, without_ns: f64, with_ns: f64) {
        self.without_ns.push(without_ns);
        self.with_ns.push(with_ns);
    }
}

/// Calls of a call loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls<'a> {
    pub(super) call: &'a str,
    pub(super) count: u64,
    pub(super) path: Option<&'a Path>,
}

impl Calls<'_> {
    /// Runs the calls. Returns the processor time of a call in nanoseconds.
    fn run(self, bench: &Bench) -> Result<f64> {
        let count = bench.count(self.count).to_string();
        let paths: Vec<&Path> = self.path.into_iter().collect();
        Ok(bench.call_loop(&[self.call, "--count", &count], &paths)?.end()?.cpu_ns)
    }

    /// Measures pairs. `begin` starts what is measured, and `end` ends it.
    pub(super) fn pairs<T>(
        self,
        bench: &Bench,
        mut begin: impl FnMut() -> Result<T>,
        mut end: impl FnMut(T) -> Result<()>,
    ) -> Result<Pairs> {
        let mut pairs = Pairs::default();
        for _ in 0..bench.rounds {
            let without = self.run(bench)?;
            let tracer = begin()?;
            let with = self.run(bench)?;
            end(tracer)?;
            pairs.add(without, with);
        }
        Ok(pairs)
    }

    /// Pairs with this tracer.
    pub(super) fn traced(self, bench: &Bench) -> Result<Pairs> {
        self.pairs(
            bench,
            || bench.trace(&[]),
            |tracer| {
                tracer.finish();
                Ok(())
            },
        )
    }

    /// Pairs with an empty program at the end of every system call. Any program there costs at least this.
    pub(super) fn floor(self, bench: &Bench) -> Result<Pairs> {
        let attach = || EmptyProgram::attach().context("cannot attach an empty program");
        self.pairs(bench, attach, |_| Ok(()))
    }
}

/// Noise: pairs without a tracer in either half.
pub(super) fn noise(bench: &Bench) -> Result<Measured> {
    let file = bench.file("plain.txt")?;
    let mut rows = Vec::new();
    for (what, call, count) in [
        ("noise: open+close, untraced against untraced", "open", 100_000),
        ("noise: getppid, untraced against untraced", "getppid", 400_000),
    ] {
        let path = (call == "open").then_some(file.as_path());
        let calls = Calls { call, count, path };
        rows.push(calls.pairs(bench, || Ok(()), |()| Ok(()))?.row(what)?);
    }
    Ok(rows.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_costs_are_of_pairs() {
        let mut pairs = Pairs::default();
        for (without, with) in [(100.0, 110.0), (200.0, 210.0), (100.0, 130.0)] {
            pairs.add(without, with);
        }
        let row = pairs.row("x").unwrap();
        assert_eq!((row.value, row.spread), (1.1, Some((1.05, 1.3))));
        assert_eq!(pairs.costs_ns(), [10.0, 10.0, 30.0]);
        assert_eq!(row.detail, "100 ns without, 130 ns with");
    }
}
