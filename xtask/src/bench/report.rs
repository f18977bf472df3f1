//! Prints the figures.

use std::fmt::Write;

use super::machine::Machine;
use super::row::{Results, Row};

/// The circumstances of a run as text.
pub(super) fn heading(machine: &Machine) -> String {
    let Machine { kernel, processor, processors, memory_gb, commit, rounds, .. } = machine;
    let kind = if machine.is_virtual { "a virtual machine" } else { "a machine" };
    format!(
        "Linux {kernel} on {kind} with {processors} processors ({processor}) and {memory_gb:.0} GB\n\
         commit {commit}, {rounds} rounds\n"
    )
}

/// What limits the use of the figures.
pub(super) fn ending(results: &Results) -> String {
    let Machine { seconds, other_load_percent, .. } = results.machine;
    let mut text = format!(
        "{seconds:.0} s; other work took {other_load_percent:.0} % of the processors meanwhile\n"
    );
    let missed = results.rows.iter().filter(|row| row.met() == Some(false));
    for row in missed {
        let _ = writeln!(text, "missed: {} {} ({})", row.what, figure(row), target(row));
    }
    text
}

/// A figure as a line of text.
pub(super) fn line(row: &Row) -> String {
    let judged = match row.met() {
        None => String::new(),
        Some(met) => format!("{} {}", target(row), if met { "met" } else { "NOT MET" }),
    };
    let Row { what, unit, detail, .. } = row;
    format!("{what:<52} {:>10} {unit:<12} {judged:<20} {detail}", number(row.value))
}

/// The value with its unit.
pub(super) fn figure(row: &Row) -> String {
    format!("{} {}", number(row.value), row.unit)
}

/// The lowest and the highest measurement.
pub(super) fn spread(row: &Row) -> String {
    row.spread
        .map_or_else(String::new, |(low, high)| format!("{} to {}", number(low), number(high)))
}

pub(super) fn target(row: &Row) -> String {
    let sign = if row.at_least { '≥' } else { '≤' };
    row.target.map_or_else(String::new, |target| format!("{sign} {}", number(target)))
}

/// Three digits, and a space between thousands.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (whole, rest) = text
        .split_once('.')
        .map_or((text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let length = whole.len();
    let grouped = whole.char_indices().flat_map(|(at, digit)| {
        let is_start =
            at > 0 && (length - at) % 3 == 0 && length > 4 && !whole[..at].ends_with('-');
        is_start.then_some('\u{a0}').into_iter().chain([digit])
    });
    grouped.collect::<String>() + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.0712, "0.071"),
            (1.2, "1.2"),
            (1.204, "1.2"),
            (12.34, "12.3"),
            (100.0, "100"),
            (5000.4, "5000"),
            (300_000.0, "300\u{a0}000"),
            (1_234_567.0, "1\u{a0}234\u{a0}567"),
            (-20.0, "-20"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_missed_target_is_reported() {
        let row = Row::new("idle", 0.1, "%").at_most(0.05);
        assert!(line(&row).contains("≤ 0.05 NOT MET"), "{}", line(&row));
        assert!(line(&Row::new("rate", 5.0, "/s").at_least(4.0)).contains("≥ 4 met"));
    }
}
