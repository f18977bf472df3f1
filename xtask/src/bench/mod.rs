//! `cargo xtask bench`: measures the overhead and the throughput of the tracer.
//!
//! Every ratio is the median over interleaved pairs (without, with, without, with …) of one run on one machine, because
//! absolute times differ between machines. The call loop and the tracer run on one processor each, if the machine has two.
//! A run writes bench/latest.json, from which docs/performance.md and its plots are generated.

mod bpftrace;
mod cases;
mod compare;
mod endings;
mod floor;
mod growth;
mod load;
mod machine;
mod memory;
mod page;
mod pairs;
mod plot;
mod real_work;
mod report;
mod row;
mod run;
mod start;
mod workbench;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use machine::{LoadMeter, Machine};
pub(crate) use plot::FOLDER as PLOTS;
use row::{Measured, Results};
use run::Bench;
pub(crate) use run::rusage_seconds;

/// The results of the last run.
const LATEST: &str = "bench/latest.json";

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchOptions {
    /// Measure this program instead of building the release profile
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Number of pairs for each ratio
    #[arg(long, default_value = "5")]
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
    /// Print the results, but do not write bench/latest.json and docs/performance.md
    #[arg(long)]
    no_results: bool,
    /// Write docs/performance.md and its plots from bench/latest.json, without measuring
    #[arg(long, conflicts_with_all = ["program", "only", "probe", "quick", "compare"])]
    render: bool,
    /// Measure this commit too, in turns, and name what became worse by more than the noise
    #[arg(long, value_name = "COMMIT")]
    compare: Option<String>,
}

impl BenchOptions {
    /// The cases of this run.
    fn cases(&self) -> impl Iterator<Item = (&'static str, cases::Case)> {
        let is_wanted = |name: &str| {
            self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
        };
        cases::ALL.into_iter().filter(move |(name, _)| is_wanted(name))
    }

    /// Whether the run measures everything, so that its results describe the program.
    fn is_complete(&self) -> bool {
        !self.no_results && self.probe.is_none() && self.only.is_empty()
    }
}

/// Runs the command.
pub(crate) fn run(root: &Path, options: &BenchOptions) -> Result<()> {
    if options.render {
        return write_all(root, &pages(root)?);
    }
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build(root, root)?,
    };
    let bench = Bench::new(root, program, options)?;
    let machine = Machine::of(root, &bench)?;
    print!("{}", report::heading(&machine));
    if let Some(base) = &options.compare {
        return compare::run(&bench, base, options);
    }
    let results = measure(&bench, machine, options)?;
    print!("{}", report::ending(&results));
    if options.is_complete() {
        let json = serde_json::to_string_pretty(&results)? + "\n";
        write_all(root, &[(PathBuf::from(LATEST), json)].into())?;
        write_all(root, &pages(root)?)?;
    }
    Ok(())
}

fn measure(bench: &Bench, machine: Machine, options: &BenchOptions) -> Result<Results> {
    let (load, begun) = (LoadMeter::begin(), Instant::now());
    let mut all = Measured::default();
    for (name, case) in options.cases() {
        let begun = Instant::now();
        let measured = measure_case(bench, name, case)?;
        measured.rows.iter().for_each(|row| println!("{}", report::line(row)));
        eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
        all.extend([measured]);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let other_load_percent = load.others_percent(seconds, machine.processors);
    let machine = Machine { other_load_percent, seconds, ..machine };
    Ok(Results { machine, rows: all.rows, curves: all.curves })
}

fn measure_case(bench: &Bench, name: &str, case: cases::Case) -> Result<Measured> {
    let mut measured = case(bench).with_context(|| format!("case {name}"))?;
    measured.rows.iter_mut().for_each(|row| name.clone_into(&mut row.section));
    Ok(measured)
}

/// Builds the program and the examples of a work tree in release mode. Returns the program.
///
/// All work trees share the folder `target`, and so the dependencies in it. The next build replaces the program.
fn build(root: &Path, tree: &Path) -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // Builds all default members together, like the tests, so that nothing is compiled twice.
    let mut command = Command::new(crate::run::cargo());
    command.args(["build", "--release", "--bin", "crypto-tracer"]);
    // An older commit may not have all of them.
    let folder = tree.join("host/examples");
    let exists = |example: &&str| folder.join(format!("{example}.rs")).exists();
    for example in growth::EXAMPLES.into_iter().filter(exists) {
        command.args(["--example", example]);
    }
    command.current_dir(tree).env("CARGO_TARGET_DIR", &target).env_remove("CARGO_MANIFEST_DIR");
    crate::run::run(&mut command)?;
    Ok(target.join("release/crypto-tracer"))
}

/// The pages that are generated from bench/latest.json, by path. None if there was no run yet.
pub(crate) fn pages(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let path = root.join(LATEST);
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read_to_string(&path)?;
    let results = serde_json::from_str(&text).with_context(|| format!("cannot read {LATEST}"))?;
    let mut pages = plot::plots(&results)?;
    pages.insert(PathBuf::from(page::PATH), page::page(&results)?);
    Ok(pages)
}

fn write_all(root: &Path, files: &BTreeMap<PathBuf, String>) -> Result<()> {
    for (path, text) in files {
        let to = root.join(path);
        fs::create_dir_all(to.parent().unwrap_or(root))?;
        fs::write(&to, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}
