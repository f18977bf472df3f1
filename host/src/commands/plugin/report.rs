//! The output of a command on standard output.

use std::fmt::Display;

use super::super::help;
use crate::error::Failure;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;

/// Lines for standard output. Texts from outside are escaped.
#[derive(Debug, Default)]
pub(super) struct Report(String);

impl Report {
    /// Adds a line. Texts from outside in it must have been escaped by [`printable`].
    pub(super) fn line(&mut self, line: impl Display) {
        self.0.push_str(&format!("{line}\n"));
    }

    /// Adds a name and a value in two columns.
    pub(super) fn row(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("  {name:<13} {}", printable(&value.to_string())));
    }

    /// Adds a name with several values, one in each line.
    pub(super) fn rows(&mut self, name: &str, values: &[String]) {
        for (at, value) in values.iter().enumerate() {
            self.row(if at == 0 { name } else { "" }, value);
        }
    }

    /// Prints and clears all lines. A closed pipe is not an error.
    pub(super) fn print(&mut self) -> Result<(), Failure> {
        help::print(std::mem::take(&mut self.0).as_bytes())
    }
}

/// A number of bytes with its unit.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) if bytes.is_multiple_of(*size) => format!("{} {unit}", bytes / size),
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => counted(bytes, "byte").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (number, text) in
            [(0, "0 bytes"), (1023, "1023 bytes"), (4 << 20, "4 MiB"), (1536, "1.5 KiB")]
        {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn texts_from_outside_are_escaped() {
        let mut report = Report::default();
        report.row("name", "a\u{1b}[2J\nb");
        assert_eq!(report.0, "  name          a\\u{1b}[2J\\nb\n");
    }
}
