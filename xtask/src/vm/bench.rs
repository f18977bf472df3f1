//! What each rung costs on each kernel: `cargo xtask vm --bench`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::report::Outcome;

/// Prints the table; a run of all columns writes it to `docs/rungs.md`.
pub(super) fn finish(root: &Path, outcomes: &[Outcome], all: bool) -> Result<()> {
    let table = table(outcomes);
    println!("{table}");
    let failed: Vec<_> = outcomes.iter().filter_map(Outcome::failure).collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n  "));
    }
    if all {
        let text = format!("{HEAD}{table}");
        let path = root.join("docs/rungs.md");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

const HEAD: &str = "# What a rung costs\n\nMade by `cargo xtask vm --bench`: median ratios of processor time with and \
without the tracer, each pair one after the other,\nin a machine that QEMU emulates without KVM, on hardware that \
other work shares: the ratios are comparable, the nanoseconds are not\nthose of a real machine.\n\n";

fn table(outcomes: &[Outcome]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in outcomes.iter().flat_map(|outcome| &outcome.measured) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut text = String::new();
    let _ = writeln!(text, "| kernel and rung | release | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(names.len()));
    for outcome in outcomes {
        let cell = |name: &&str| {
            let found = outcome.measured.iter().find(|(known, _)| known == name);
            found.map_or_else(|| "FAILED".to_owned(), |(_, ratio)| ratio.clone())
        };
        let cells: Vec<String> = names.iter().map(cell).collect();
        let _ =
            writeln!(text, "| {} | {} | {} |", outcome.column, outcome.release, cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_found_among_the_lines_of_the_benchmark() {
        let printed = "stat                              1.034 × untraced                    100 ns without, 103 ns with\n\
                       a system call that is no open     90.0 ns more  ≤ 90.0 met\n\
                       open+close of a file nobody asked for  1.100 × untraced  ≤ 1.150 met  10 ns without, 11 ns with";
        let outcome = Outcome::measured("6.1/lsm".into(), "6.1.0".into(), 0, printed);
        assert_eq!(outcome.measured.len(), 2);
        let table = table(&[outcome]);
        assert!(table.contains("| stat | open+close of a file nobody asked for |"), "{table}");
        assert!(table.contains("| 1.034 (100 ns without, 103 ns with) | 1.100 (10 ns"), "{table}");
        assert!(
            finish(Path::new("/"), &[Outcome::measured("x".into(), "y".into(), 1, "")], false)
                .is_err()
        );
    }
}
