//! Reads what the tests print, and makes the table of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What one rung did on one kernel.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    column: String,
    release: String,
    /// Each test with what came of it: `ok`, `FAILED`, or why it was not tried.
    cases: BTreeMap<String, String>,
    /// What the verifier looked at, by program.
    verified: BTreeMap<String, u64>,
    broken: Option<String>,
}

const FAILED: &str = "FAILED";

impl Outcome {
    /// A run that came to its end.
    pub(super) fn of(column: String, release: String, status: i32, printed: &str) -> Outcome {
        let mut outcome = Outcome { column, release, ..Outcome::default() };
        let mut current: Option<String> = None;
        let mut not_tried = None;
        for line in printed.lines() {
            // With --nocapture the result stands on the test's line, or behind what the test itself printed.
            let mut rest = line;
            if let Some((name, behind)) =
                line.strip_prefix("test ").and_then(|l| l.split_once(" ... "))
            {
                current = Some(name.to_owned());
                not_tried = None;
                rest = behind;
            }
            if let Some((_, why)) = rest.split_once("not tried: ") {
                not_tried = Some(why.to_owned());
            }
            outcome.verified.extend(verified(rest));
            let result = rest.rsplit(' ').next().unwrap_or_default();
            if let (true, Some(name)) =
                (matches!(rest, "ok" | FAILED) || result == FAILED, &current)
            {
                let why = not_tried.take().filter(|_| result != FAILED);
                outcome.cases.insert(name.clone(), why.unwrap_or_else(|| result.to_owned()));
                current = None;
            }
        }
        if outcome.cases.is_empty() || (status != 0 && outcome.failed().is_empty()) {
            outcome.broken = Some(format!(
                "exit status {status}: {}",
                printed.lines().last().unwrap_or_default()
            ));
        }
        outcome
    }

    /// One that did not.
    pub(super) fn broken(column: String, why: &str) -> Outcome {
        Outcome { column, broken: Some(why.to_owned()), ..Outcome::default() }
    }

    fn failed(&self) -> Vec<&str> {
        let failed = self.cases.iter().filter(|(_, result)| *result == FAILED);
        failed.map(|(name, _)| name.as_str()).collect()
    }

    /// What is wrong, if anything is.
    pub(super) fn failure(&self) -> Option<String> {
        let failed = self.failed();
        match &self.broken {
            Some(why) => Some(format!("{}: {why}", self.column)),
            None if failed.is_empty() => None,
            None => Some(format!("{}: {}", self.column, failed.join(", "))),
        }
    }

    /// For the impatient.
    pub(super) fn summary(&self) -> String {
        let ok = self.cases.values().filter(|result| *result == "ok").count();
        self.failure().unwrap_or_else(|| format!("{ok} of {} ok", self.cases.len()))
    }
}

/// `NAME: Some(N) instructions verified`
fn verified(line: &str) -> Option<(String, u64)> {
    let (name, behind) = line.trim().split_once(": Some(")?;
    let count = behind.strip_suffix(") instructions verified")?;
    Some((name.to_owned(), count.parse().ok()?))
}

/// Case × kernel and rung, then the instructions that each verifier looked at.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let head = |text: &mut String, first: &str| {
        let columns: Vec<_> = outcomes.iter().map(|outcome| outcome.column.as_str()).collect();
        let _ = writeln!(text, "| {first} | {} |", columns.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(columns.len()));
    };
    let row = |text: &mut String, name: &str, cell: &dyn Fn(&Outcome) -> String| {
        let cells: Vec<_> = outcomes.iter().map(cell).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    head(&mut text, "case");
    let mut cases: Vec<&String> =
        outcomes.iter().flat_map(|outcome| outcome.cases.keys()).collect();
    cases.sort();
    cases.dedup();
    for case in cases {
        row(&mut text, case, &|outcome| {
            outcome.cases.get(case).cloned().unwrap_or_else(|| "–".into())
        });
    }
    text.push_str("\nInstructions that the verifier looked at (its limit is 1 000 000):\n\n");
    head(&mut text, "program");
    let mut programs: Vec<&String> = outcomes.iter().flat_map(|o| o.verified.keys()).collect();
    programs.sort();
    programs.dedup();
    for program in programs {
        row(&mut text, program, &|outcome| {
            outcome.verified.get(program).map_or_else(|| "–".into(), u64::to_string)
        });
    }
    text
}

/// Writes `docs/kernels.md`.
pub(super) fn write(root: &Path, outcomes: &[Outcome]) -> Result<()> {
    let mut text = String::from(
        "# Kernels\n\nMade by `cargo xtask vm`: the capture tests (`host/tests/source_live`) on each rung of the \
         ladder that a kernel has.\n`ok`: every route of the case is told once, with the right path and flags. A reason \
         stands where the kernel has no such route.\nfexit is no rung where the kernel preempts everywhere: its guard \
         loses events there.\n\n",
    );
    let mut releases: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            (outcome.column.split('/').next().unwrap_or_default(), outcome.release.as_str())
        })
        .collect();
    releases.dedup();
    for (column, release) in releases {
        writeln!(text, "- {column}: Debian's {release}")?;
    }
    write!(text, "\n{}", table(outcomes))?;
    let path = root.join("docs/kernels.md");
    fs::create_dir_all(root.join("docs"))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "running 4 tests
test a::one ... ok
test a::two ... said before
      file_open: Some(11279) instructions verified
ok
test a::three ... not tried: this kernel has no io_uring
ok
test a::four ... FAILED
test a::five ... ignored, by another
test result: FAILED. 3 passed; 1 failed";

    #[test]
    fn each_result_is_found_behind_what_a_test_prints() {
        let outcome = Outcome::of("6.1/lsm".into(), "6.1.0".into(), 101, PRINTED);
        let cases: Vec<_> = outcome.cases.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            cases,
            [
                ("a::four", "FAILED"),
                ("a::one", "ok"),
                ("a::three", "this kernel has no io_uring"),
                ("a::two", "ok")
            ]
        );
        assert_eq!(outcome.verified.get("file_open"), Some(&11279));
        assert_eq!(outcome.failure().as_deref(), Some("6.1/lsm: a::four"));
        assert!(table(&[outcome]).contains("| a::three | this kernel has no io_uring |"));
    }

    #[test]
    fn a_run_without_results_is_a_failure() {
        assert!(Outcome::of("x".into(), "y".into(), 0, "nothing").failure().is_some());
        let passed = "test a ... ok\nKilled";
        assert!(Outcome::of("x".into(), "y".into(), 137, passed).failure().is_some());
        assert!(Outcome::of("x".into(), "y".into(), 0, passed).failure().is_none());
    }
}
