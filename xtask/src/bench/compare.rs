//! `cargo xtask bench --compare COMMIT`: measures two programs in turns.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cases::Case;
use super::growth::EXAMPLES;
use super::row::Row;
use super::run::{Bench, median};
use super::{BenchOptions, build, measure_case, report};
use crate::run::capture;

/// The work tree of the other commit, and both programs.
const FOLDER: &str = "target/bench-base";

/// The values of a row in all rounds.
#[derive(Debug, Default)]
struct Values {
    base: Vec<f64>,
    new: Vec<f64>,
}

/// A row that both programs have.
#[derive(Debug)]
struct Compared {
    row: Row,
    base: f64,
    new: f64,
    /// The range of the values of the base: what differs by less is noise.
    noise: f64,
}

impl Compared {
    fn of(row: Row, values: Values) -> Result<Compared> {
        let low = values.base.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.base.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (base, new) = (median(values.base)?, median(values.new)?);
        Ok(Compared { row, base, new, noise: high - low })
    }

    fn is_worse(&self) -> bool {
        let worse = if self.row.is_rate() { self.base - self.new } else { self.new - self.base };
        worse > self.noise
    }

    fn line(&self) -> String {
        let [base, new, noise] = [self.base, self.new, self.noise].map(report::number);
        let Row { what, unit, .. } = &self.row;
        format!("{what}: {base} before, {new} now ({unit}; noise {noise})")
    }
}

/// Builds `base`, measures it and the program of `bench` in turns, and prints what differs by more than the noise.
pub(super) fn run(bench: &Bench, base: &str, options: &BenchOptions) -> Result<()> {
    let tree = work_tree(&bench.root, base)?;
    let folder = bench.root.join(FOLDER);
    // Copied first: the build of the base replaces the program.
    let new = bench.with_program(copied(&bench.program, &folder.join("new"))?);
    let base = bench.with_program(copied(&build(&bench.root, &tree)?, &folder.join("base"))?);
    let mut compared = Vec::new();
    for (name, case) in options.cases() {
        match in_turns(bench.rounds, &base, &new, (name, case)) {
            Ok(rows) => {
                rows.iter().for_each(|row| println!("{}", row.line()));
                compared.extend(rows);
            }
            // An older program may not have what the case measures.
            Err(error) => eprintln!("{name} is not compared: {error:#}"),
        }
    }
    let worse: Vec<&Compared> = compared.iter().filter(|row| row.is_worse()).collect();
    println!("\n{} of {} figures became worse by more than the noise", worse.len(), compared.len());
    worse.iter().for_each(|row| println!("worse: {}", row.line()));
    Ok(())
}

/// Measures a case with both programs. Skips rows that only one of them has.
fn in_turns(
    rounds: usize,
    base: &Bench,
    new: &Bench,
    (name, case): (&str, Case),
) -> Result<Vec<Compared>> {
    let mut rows: Vec<(Row, Values)> = Vec::new();
    // Two rounds are the least that shows noise.
    for round in 0..rounds.max(2) {
        // The order alternates, so that a drift of the machine favours neither.
        let is_base_first = round % 2 == 0;
        for is_base in [is_base_first, !is_base_first] {
            let measured = measure_case(if is_base { base } else { new }, name, case)?;
            measured.rows.into_iter().for_each(|row| add(&mut rows, row, is_base));
        }
    }
    rows.retain(|(_, values)| !values.base.is_empty() && !values.new.is_empty());
    rows.into_iter().map(|(row, values)| Compared::of(row, values)).collect()
}

/// Copies a program and the examples beside it to a folder. Returns the copy of the program.
fn copied(program: &Path, to: &Path) -> Result<PathBuf> {
    let examples = to.join("examples");
    std::fs::create_dir_all(&examples)?;
    let from = program.parent().context("a program is in a folder")?.join("examples");
    for example in EXAMPLES {
        let _ = std::fs::remove_file(examples.join(example));
        if from.join(example).exists() {
            std::fs::copy(from.join(example), examples.join(example))?;
        }
    }
    let copy = to.join("crypto-tracer");
    std::fs::copy(program, &copy).with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(copy)
}

fn add(rows: &mut Vec<(Row, Values)>, row: Row, is_base: bool) {
    let at = rows.iter().position(|(known, _)| known.what == row.what).unwrap_or_else(|| {
        rows.push((row.clone(), Values::default()));
        rows.len() - 1
    });
    if let Some((_, values)) = rows.get_mut(at) {
        if is_base { values.base.push(row.value) } else { values.new.push(row.value) }
    }
}

/// Checks the commit out into a work tree of its own.
fn work_tree(root: &Path, base: &str) -> Result<PathBuf> {
    let git = |arguments: &[&str]| capture(Command::new("git").args(arguments).current_dir(root));
    let commit = format!("{base}^{{commit}}");
    let commit = git(&["rev-parse", "--verify", "--end-of-options", &commit])
        .with_context(|| format!("--compare {base}: there is no such commit"))?;
    let tree = root.join(FOLDER).join("tree");
    let path = tree.to_str().context("a path that is text")?;
    if tree.exists() {
        capture(
            Command::new("git")
                .args(["checkout", "--detach", "--force", &commit])
                .current_dir(&tree),
        )?;
    } else {
        git(&["worktree", "prune"])?;
        git(&["worktree", "add", "--detach", path, &commit])?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(row: Row, base: &[f64], new: &[f64]) -> Compared {
        let values = Values { base: base.to_vec(), new: new.to_vec() };
        Compared::of(row, values).unwrap()
    }

    #[test]
    fn only_what_exceeds_the_noise_is_worse() {
        let time = || Row::new("start", 0.0, "ms");
        assert!(!compared(time(), &[10.0, 12.0, 11.0], &[12.5, 13.0, 12.0]).is_worse());
        let worse = compared(time(), &[10.0, 12.0, 11.0], &[13.5, 14.0, 13.4]);
        assert!(worse.is_worse());
        assert_eq!(worse.line(), "start: 11 before, 13.5 now (ms; noise 2)");
        assert!(!compared(time(), &[10.0, 11.0], &[5.0, 5.0]).is_worse(), "better");
        let rate = || Row::new("flat-out", 0.0, "events/s");
        assert!(compared(rate(), &[10.0, 11.0], &[5.0, 5.0]).is_worse());
        assert!(!compared(rate(), &[10.0, 11.0], &[15.0, 15.0]).is_worse());
    }

    #[test]
    fn rows_are_joined_by_their_text() {
        let mut rows = Vec::new();
        for (what, value, is_base) in [("a", 1.0, true), ("b", 2.0, false), ("a", 3.0, false)] {
            add(&mut rows, Row::new(what, value, "ms"), is_base);
        }
        let [(a, values), (b, _)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((a.what.as_str(), b.what.as_str()), ("a", "b"));
        assert_eq!((&values.base[..], &values.new[..]), (&[1.0][..], &[3.0][..]));
    }
}
