//! Parses the output of the tests, and generates the tables.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The results of one rung on one kernel.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) column: String,
    pub(super) release: String,
    /// The result of each test: `ok`, `FAILED`, or the reason why it was not tried.
    cases: BTreeMap<String, String>,
    /// The result of each route, in the order in which the tests list them; `None` if there is none yet.
    routes: Vec<(String, Option<String>)>,
    /// The result of `doctor` for each rung.
    rungs: Vec<(String, String)>,
    /// The number of instructions that the verifier processed, by program.
    verified: BTreeMap<String, u64>,
    /// Each measured case with its ratio to the run without a tracer.
    pub(super) measured: Vec<(String, String)>,
    broken: Option<String>,
}

const FAILED: &str = "FAILED";

impl Outcome {
    /// The outcome of a test run that ended.
    pub(super) fn of(column: String, release: String, status: i32, printed: &str) -> Outcome {
        let mut outcome = Outcome { column, release, ..Outcome::default() };
        let mut current: Option<String> = None;
        let mut not_tried = None;
        let mut listed = Vec::new();
        for line in printed.lines() {
            // With --nocapture, the result stands on the test's line, or after the test's own output.
            let mut rest = line;
            if let Some((name, after)) =
                line.strip_prefix("test ").and_then(|l| l.split_once(" ... "))
            {
                current = Some(name.trim_end().to_owned());
                not_tried = None;
                rest = after;
            }
            if let Some((_, why)) = rest.split_once("not tried: ") {
                not_tried = Some(why.to_owned());
            }
            let ignored = rest.strip_prefix("ignored (").and_then(|why| why.strip_suffix(')'));
            if let (Some(why), Some(name)) = (ignored, &current) {
                outcome.cases.insert(name.clone(), why.to_owned());
                current = None;
            }
            outcome.verified.extend(verified(rest));
            if let Some(said) = said(rest, "route ") {
                if said.1 == "listed" {
                    listed.push(said.0.clone());
                }
                outcome.route(said);
            }
            outcome.rungs.extend(said(rest, "rung "));
            let result = rest.rsplit(' ').next().unwrap_or_default();
            if let (true, Some(name)) =
                (matches!(rest, "ok" | FAILED) || result == FAILED, &current)
            {
                let why = not_tried.take().filter(|_| result != FAILED);
                outcome.cases.insert(name.clone(), why.unwrap_or_else(|| result.to_owned()));
                current = None;
            }
        }
        outcome.routes.sort_by_key(|(name, _)| listed.iter().position(|listed| listed == name));
        if outcome.cases.is_empty() || (status != 0 && outcome.failed().is_empty()) {
            outcome.broken = Some(format!(
                "exit status {status}: {}",
                printed.lines().last().unwrap_or_default()
            ));
        }
        outcome
    }

    /// The outcome of a benchmark run that ended.
    pub(super) fn measured(column: String, release: String, status: i32, printed: &str) -> Outcome {
        let ratio = |line: &str| {
            let (before, after) = line.split_once(" × untraced")?;
            let (what, ratio) = before.trim_end().rsplit_once(' ')?;
            let detail = after.rfind("  ").and_then(|at| after.get(at..)).unwrap_or_default();
            Some((what.trim_end().to_owned(), format!("{ratio} ({})", detail.trim())))
        };
        let measured: Vec<_> = printed.lines().filter_map(ratio).collect();
        let mut outcome = Outcome { column, release, measured, ..Outcome::default() };
        if status != 0 || outcome.measured.is_empty() {
            let last = printed.lines().last().unwrap_or_default();
            outcome.broken = Some(format!("exit status {status}: {last}"));
        }
        outcome
    }

    fn route(&mut self, (name, said): (String, String)) {
        let at = self.routes.iter().position(|(known, _)| *known == name);
        let at = at.unwrap_or_else(|| {
            self.routes.push((name, None));
            self.routes.len() - 1
        });
        // "listed" is not a result. If two tests report the same route, both results must be `ok`.
        if let Some((_, known)) = self.routes.get_mut(at)
            && said != "listed"
            && known.as_deref().is_none_or(|known| known == "ok")
        {
            *known = Some(said);
        }
    }

    /// The outcome of a run that did not end.
    pub(super) fn broken(column: String, why: &str) -> Outcome {
        Outcome { column, broken: Some(why.to_owned()), ..Outcome::default() }
    }

    /// Tests that failed, and routes without a result.
    fn failed(&self) -> Vec<&str> {
        let failed = self.cases.iter().filter(|(_, result)| *result == FAILED);
        let silent = self.routes.iter().filter(|(_, said)| said.is_none());
        let silent = silent.map(|(name, _)| name);
        failed.map(|(name, _)| name).chain(silent).map(String::as_str).collect()
    }

    /// The failure of the run, if there is one.
    pub(super) fn failure(&self) -> Option<String> {
        let failed = self.failed();
        match &self.broken {
            Some(why) => Some(format!("{}: {why}", self.column)),
            None if failed.is_empty() => None,
            None => Some(format!("{}: {}", self.column, failed.join(", "))),
        }
    }

    /// One line for the progress output.
    pub(super) fn summary(&self) -> String {
        let ok = self.cases.values().filter(|result| *result == "ok").count();
        self.failure().unwrap_or_else(|| format!("{ok} of {} ok", self.cases.len()))
    }
}

/// Parses a line `WHAT NAME: RESULT`.
fn said(line: &str, what: &str) -> Option<(String, String)> {
    let at = line.find(what).filter(|&at| at == 0)?;
    // A route's name may contain a colon, so the known results mark its end.
    let rest = line.get(at + what.len()..)?;
    let begins = [": ok", ": impossible: ", ": not tried: ", ": listed"];
    let end = begins.iter().filter_map(|begin| rest.find(begin)).min()?;
    Some((rest.get(..end)?.to_owned(), rest.get(end + 2..)?.to_owned()))
}

/// Parses `NAME: Some(N) instructions verified`.
fn verified(line: &str) -> Option<(String, u64)> {
    let (name, after) = line.trim().split_once(": Some(")?;
    let count = after.strip_suffix(") instructions verified")?;
    Some((name.to_owned(), count.parse().ok()?))
}

/// Four tables with a column for each kernel and rung: routes, rungs, tests, and the number of instructions that the
/// verifier processed.
pub(super) fn table(outcomes: &[&Outcome]) -> String {
    let mut text = String::new();
    let head = |text: &mut String, first: &str| {
        let columns: Vec<_> = outcomes.iter().map(|outcome| outcome.column.as_str()).collect();
        let _ = writeln!(text, "| {first} | {} |", columns.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(columns.len()));
    };
    let row = |text: &mut String, name: &str, cell: &dyn Fn(&Outcome) -> String| {
        let cells: Vec<_> = outcomes.iter().map(|outcome| cell(outcome)).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    head(&mut text, "route");
    let mut routes: Vec<&String> = Vec::new();
    for (name, _) in outcomes.iter().flat_map(|outcome| &outcome.routes) {
        if !routes.contains(&name) {
            routes.push(name);
        }
    }
    for route in routes {
        row(&mut text, route, &|outcome| {
            let found = outcome.routes.iter().find(|(name, _)| name == route);
            found.and_then(|(_, said)| said.clone()).unwrap_or_else(|| FAILED.into())
        });
    }
    text.push_str("\nResults of `doctor` for the rungs on these kernels:\n\n");
    head(&mut text, "rung");
    for rung in ["lsm", "fexit", "tp_btf"] {
        row(&mut text, rung, &|outcome| {
            let found = outcome.rungs.iter().find(|(name, _)| name == rung);
            found.map_or_else(|| FAILED.into(), |(_, said)| said.clone())
        });
    }
    text.push_str("\nThe tests (`host/tests/source_live`):\n\n");
    head(&mut text, "test");
    let mut cases: Vec<&String> =
        outcomes.iter().flat_map(|outcome| outcome.cases.keys()).collect();
    cases.sort();
    cases.dedup();
    for case in cases {
        row(&mut text, case, &|outcome| {
            outcome.cases.get(case).cloned().unwrap_or_else(|| "–".into())
        });
    }
    text.push_str("\nInstructions that the verifier processed (its limit is 1 000 000):\n\n");
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
        "# Kernels\n\nGenerated by `cargo xtask vm`, which runs the capture tests (`host/tests/source_live`) on each rung of \
         the ladder on each\nkernel. A rung is a value of `--probe` for opens and library loads; a route is a way to open a \
         file or to load a\nlibrary.\n\n- `ok`: the rung reports the event exactly once, with the right path and flags (or does \
         not report it, if the route says so).\n- `impossible`: the rung cannot capture this route, for the reason that \
         `crypto-tracer doctor` prints on that kernel.\n- `not tried`: the kernel or the machine lacks a feature that \
         the test needs.\n\nThe tracer judges a kernel by its features (BPF helpers and fields by its BTF, probes by \
         attaching them), not by its release.\nKernels that are not listed here are not tested, for example RHEL's \
         5.14.\n\nKernels:\n\n",
    );
    let mut releases: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            (outcome.column.split('/').next().unwrap_or_default(), outcome.release.as_str())
        })
        .collect();
    releases.dedup();
    for (column, release) in releases.iter().filter(|(_, release)| !release.is_empty()) {
        writeln!(text, "- {column}: Debian's {release}")?;
    }
    let (ran, broken): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| outcome.broken.is_none());
    for why in broken.iter().filter_map(|outcome| outcome.failure()) {
        writeln!(text, "- {why}")?;
    }
    write!(text, "\n{}", table(&ran))?;
    let path = root.join("docs/kernels.md");
    fs::create_dir_all(root.join("docs"))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "running 6 tests
test a::one   ... ok
test a::two ... said before
      file_open: Some(11279) instructions verified
ok
test a::three ... route direct: x: impossible: opens: all
rung lsm: impossible: not here
rung tp_btf: ok
route open: ok
not tried: this kernel has no io_uring
ok
test a::four ... FAILED
test a::five  ... ignored
test a::six   ... route cgroup: not tried: no groups
ignored (no groups (EROFS))
test result: FAILED. 3 passed; 1 failed; 2 ignored";

    #[test]
    fn results_are_found_after_the_output_of_a_test() {
        let outcome = Outcome::of("6.1/lsm".into(), "6.1.0".into(), 101, PRINTED);
        let cases: Vec<_> = outcome.cases.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            cases,
            [
                ("a::four", "FAILED"),
                ("a::one", "ok"),
                ("a::six", "no groups (EROFS)"),
                ("a::three", "this kernel has no io_uring"),
                ("a::two", "ok")
            ]
        );
        assert_eq!(outcome.verified.get("file_open"), Some(&11279));
        assert_eq!(outcome.failure().as_deref(), Some("6.1/lsm: a::four"));
        assert_eq!(outcome.rungs[0], ("lsm".to_owned(), "impossible: not here".to_owned()));
        let table = table(&[&outcome]);
        assert!(table.contains("| direct: x | impossible: opens: all |"), "{table}");
        assert!(table.contains("| open | ok |"), "{table}");
        assert!(table.contains("| a::three | this kernel has no io_uring |"));
    }

    #[test]
    fn a_route_without_a_result_has_failed() {
        let printed = "test routes::all ... route open: listed\nroute creat: listed\nok\n\
                       test opens::x ... route open: ok\nok";
        let outcome = Outcome::of("6.1/lsm".into(), "6.1.0".into(), 0, printed);
        assert_eq!(outcome.failure().as_deref(), Some("6.1/lsm: creat"));
        assert!(table(&[&outcome]).contains("| creat | FAILED |"));
    }

    #[test]
    fn a_run_without_results_is_a_failure() {
        assert!(Outcome::of("x".into(), "y".into(), 0, "nothing").failure().is_some());
        let passed = "test a ... ok\nKilled";
        assert!(Outcome::of("x".into(), "y".into(), 137, passed).failure().is_some());
        assert!(Outcome::of("x".into(), "y".into(), 0, passed).failure().is_none());
    }
}
