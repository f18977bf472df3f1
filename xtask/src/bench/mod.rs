//! `cargo xtask bench`: measures the overhead and the throughput of the tracer.
//!
//! Every ratio is the median over interleaved pairs (without, with, without, with …) of one run on one machine, because
//! absolute times differ between machines. The call loop and the tracer run on one processor each, if the machine has two.

mod cases;
mod endings;
mod floor;
mod report;
mod run;
mod workbench;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use run::Bench;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchOptions {
    /// Measure this program instead of building the release profile
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Number of pairs for each ratio
    #[arg(long, default_value = "7")]
    rounds: usize,
    /// Run a tenth of the repetitions: as a smoke test, not for comparison
    #[arg(long)]
    quick: bool,
    /// Run only cases whose name contains one of these texts
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,
    /// Trace with this probe instead of the best one that loads
    #[arg(long, value_name = "NAME")]
    probe: Option<String>,
    /// Print the results, but do not write them to bench/
    #[arg(long)]
    no_results: bool,
}

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    what: String,
    /// The value.
    value: f64,
    /// Its unit.
    unit: String,
    /// The target: a maximum, or with `at_least` a minimum; `None` if there is no target.
    target: Option<f64>,
    at_least: bool,
    /// Details: the times of a ratio, or the counts of a rate.
    detail: String,
}

impl Row {
    fn new(what: impl Into<String>, value: f64, unit: &str) -> Row {
        let (target, at_least, detail) = (None, false, String::new());
        let unit = unit.to_owned();
        Row { what: what.into(), value, unit, target, at_least, detail }
    }

    fn at_most(self, target: f64) -> Row {
        Row { target: Some(target), ..self }
    }

    fn at_least(self, target: f64) -> Row {
        Row { target: Some(target), at_least: true, ..self }
    }

    fn detail(self, detail: impl Into<String>) -> Row {
        Row { detail: detail.into(), ..self }
    }

    fn met(&self) -> Option<bool> {
        let target = self.target?;
        Some(if self.at_least { self.value >= target } else { self.value <= target })
    }
}

/// Runs the command.
pub(crate) fn run(root: &Path, options: &BenchOptions) -> Result<()> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build(root)?,
    };
    let bench = Bench::new(root, program, options)?;
    let mut rows = Vec::new();
    for (name, case) in cases::ALL {
        if !options.only.is_empty() && !options.only.iter().any(|only| name.contains(only.as_str()))
        {
            continue;
        }
        eprintln!("{name} …");
        let new = case(&bench).with_context(|| format!("case {name}"))?;
        for row in &new {
            println!("{}", report::line(row));
        }
        rows.extend(new);
    }
    if options.no_results || options.probe.is_some() || !options.only.is_empty() || options.quick {
        return Ok(());
    }
    report::write(root, &bench, &rows)
}

fn build(root: &Path) -> Result<PathBuf> {
    // Builds all default members together, like the tests, so that nothing is compiled twice.
    let mut command = Command::new(crate::run::cargo());
    command.args(["build", "--release", "--bin", "crypto-tracer", "--example", "plugin_costs"]);
    command.current_dir(root);
    crate::run::run(&mut command)?;
    Ok(root.join("target/release/crypto-tracer"))
}
