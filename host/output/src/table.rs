//! Renders events as a table. Control characters in names are escaped.

use std::borrow::Cow;

use chrono::DateTime;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{FileType, Notice, RedactedEvent, RedactedWhat, Timestamp};

/// Display capabilities of the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStyle {
    /// Columns of the terminal; `None` if lines have no limit.
    pub width: Option<u16>,
    /// Whether to use colours.
    pub color: bool,
}

/// Minimum columns of a path.
const MIN_PATH: usize = 12;
/// Columns of a process name.
const NAME: usize = 15;

/// Renders rows.
#[derive(Debug)]
pub(super) struct Table {
    style: TableStyle,
    has_heading: bool,
}

impl Table {
    pub(super) fn new(style: TableStyle) -> Table {
        Table { style, has_heading: false }
    }

    /// The next row is the first one of a new file.
    pub(super) fn restart(&mut self) {
        self.has_heading = false;
    }

    pub(super) fn event(&mut self, event: &RedactedEvent, out: &mut Vec<u8>) {
        let process = event.process();
        let name = printable(process.name.as_str());
        let (kind, color, mut details) = match event.what() {
            RedactedWhat::FileOpen { file, .. } => {
                let file_type = &event.verdict().file_type;
                let details = Details::path(file_type.as_str(), file.path.as_str());
                ("open", file_color(file_type), details)
            }
            RedactedWhat::LibLoad { file, library_name } => {
                ("load", Color::Blue, Details::path(library_name, file.path.as_str()))
            }
            RedactedWhat::Exec { arguments } => {
                ("exec", Color::Green, Details::text(arguments.as_str()))
            }
            RedactedWhat::Exit { exit_code, .. } => {
                let color = if *exit_code == 0 { Color::Plain } else { Color::Yellow };
                ("exit", color, Details::text(&format!("exit code {exit_code}")))
            }
        };
        for (label, value) in event.labels() {
            details.after.push_str(&printable(&format!("  {label}={}", value.as_str())));
        }
        self.row(event.timestamp(), Some(process.pid), &name, (kind, color), &details, out);
    }

    pub(super) fn notice(&mut self, notice: &Notice, out: &mut Vec<u8>) {
        let (at, kind, text) = match notice {
            Notice::EventsLost(at, loss) => {
                let estimate = if loss.exact { "" } else { "perhaps " };
                (*at, "lost", format!("{estimate}{}: {}", counted(loss.count, "event"), loss.cause))
            }
            Notice::PluginFailed(at, failure) => {
                let text = format!(
                    "{} {} failed {}: {}; {}",
                    failure.kind,
                    failure.plugin,
                    counted(failure.count, "time"),
                    failure.cause,
                    failure.action
                );
                (*at, "fail", text)
            }
            Notice::Status(at, status) => (*at, "stat", status.to_string()),
        };
        let color = if kind == "stat" { Color::Plain } else { Color::Red };
        self.row(at, None, "", (kind, color), &Details::text(&text), out);
    }

    fn row(
        &mut self,
        at: Timestamp,
        pid: Option<u32>,
        name: &str,
        (kind, color): (&str, Color),
        details: &Details,
        out: &mut Vec<u8>,
    ) {
        if !self.has_heading {
            self.has_heading = true;
            let heading =
                format!("{:12} {:>7} {:NAME$} {:4} DETAILS", "TIME", "PID", "PROCESS", "WHAT");
            self.write_line(&heading, Color::Plain, out);
        }
        let time = DateTime::from_timestamp_micros(at.0).unwrap_or_default().format("%H:%M:%S%.3f");
        let pid = pid.map_or(Cow::Borrowed("-"), |pid| pid.to_string().into());
        let name = fit(name, Some(NAME));
        let padding = NAME.saturating_sub(name.width());
        let mut line = format!("{time} {pid:>7} {name}{:padding$} {kind:4} ", "");
        let width = self.style.width.map(|width| usize::from(width).saturating_sub(line.width()));
        details.append_to(&mut line, width);
        self.write_line(&line, color, out);
    }

    fn write_line(&self, line: &str, color: Color, out: &mut Vec<u8>) {
        let line = fit(line, self.style.width.map(usize::from));
        match color.code().filter(|_| self.style.color) {
            Some(code) => {
                out.extend_from_slice(format!("\u{1b}[{code}m{line}\u{1b}[0m\n").as_bytes())
            }
            None => out.extend_from_slice(format!("{line}\n").as_bytes()),
        }
    }
}

/// The last column. If the terminal is too narrow, the beginning of the path is omitted: the file name is at its end.
#[derive(Debug, Default)]
struct Details {
    before: String,
    path: String,
    after: String,
}

impl Details {
    fn text(text: &str) -> Details {
        Details { before: printable(text), ..Details::default() }
    }

    fn path(before: &str, path: &str) -> Details {
        let before = printable(&format!("{before}  "));
        Details { before, path: printable(path), after: String::new() }
    }

    /// Appends the column to `line`. `width`: the remaining columns; `None` if there is no limit.
    fn append_to(&self, line: &mut String, width: Option<usize>) {
        let other = self.before.width() + self.after.width();
        let width = width.map(|width| width.saturating_sub(other).max(MIN_PATH));
        line.push_str(&self.before);
        line.push_str(&fit_end(&self.path, width));
        line.push_str(&self.after);
    }
}

#[derive(Clone, Copy, Debug)]
enum Color {
    Plain,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Color {
    fn code(self) -> Option<u8> {
        match self {
            Color::Plain => None,
            Color::Red => Some(31),
            Color::Green => Some(32),
            Color::Yellow => Some(33),
            Color::Blue => Some(34),
            Color::Magenta => Some(35),
            Color::Cyan => Some(36),
        }
    }
}

fn file_color(file_type: &FileType) -> Color {
    match file_type {
        FileType::PrivateKey => Color::Red,
        FileType::Keystore => Color::Magenta,
        FileType::Certificate => Color::Cyan,
        FileType::Unknown | FileType::Other(_) => Color::Plain,
    }
}

/// Truncates the text to `columns`; `…` marks the omitted end.
fn fit(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns.filter(|&columns| text.width() > columns) else {
        return text.into();
    };
    let mut left = columns.saturating_sub(1);
    let mut kept = String::new();
    for c in text.chars() {
        match left.checked_sub(c.width().unwrap_or(0)) {
            Some(rest) => left = rest,
            None => break,
        }
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept.into()
}

/// Truncates the text to `columns`; `…` marks the omitted beginning.
fn fit_end(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns.filter(|&columns| text.width() > columns) else {
        return text.into();
    };
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let kept: Vec<char> = text.chars().rev().take_while(fits).collect();
    let mark = (columns > 0).then_some('…');
    mark.into_iter().chain(kept.into_iter().rev()).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(fit("abc", Some(3)), "abc");
        assert_eq!(fit("abcd", Some(3)), "ab…");
        assert_eq!(fit("鍵鍵鍵", Some(4)), "鍵…");
        assert_eq!(fit("鍵鍵", Some(4)), "鍵鍵");
        assert_eq!(fit("ab", Some(1)), "…");
        assert_eq!(fit("ab", Some(0)), "");
        assert_eq!(fit("ab", None), "ab");
        assert_eq!(fit_end("abcd", Some(3)), "…cd");
        assert_eq!(fit_end("abc", Some(3)), "abc");
        assert_eq!(fit_end("鍵鍵鍵", Some(4)), "…鍵");
        assert_eq!((fit_end("ab", Some(0)), fit_end("ab", None)), ("".into(), "ab".into()));
    }

    fn lines(width: Option<u16>, rows: &[(&str, Details)]) -> Vec<String> {
        let mut table = Table::new(TableStyle { width, color: false });
        let mut out = Vec::new();
        for (name, details) in rows {
            table.row(Timestamp(0), Some(7), name, ("open", Color::Red), details, &mut out);
        }
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_aligned_for_every_name() {
        let names = ["nginx", "鍵鍵", "鍵鍵鍵鍵鍵鍵鍵鍵鍵", "a-name-of-fifteen-and-more", "é"];
        let rows = names.map(|name| (name, Details::path("private_key", "/a.key")));
        let lines = lines(None, &rows);
        let columns = |line: &str, word: &str| line.split(word).next().unwrap().width();
        assert!(lines[0].ends_with("WHAT DETAILS"), "{lines:?}");
        for line in &lines[1..] {
            assert_eq!(columns(line, "open"), columns(&lines[0], "WHAT"), "{line}");
            assert_eq!(columns(line, "private_key"), columns(&lines[0], "DETAILS"), "{line}");
        }
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let path = "/usr/share/a/folder/far/away/site.key";
        let row = || ("nginx", Details::path("private_key", path));
        let labelled = || (row().0, Details { after: "  tier=gold".to_owned(), ..row().1 });
        for (width, row, end) in [
            (200, row(), "private_key  /usr/share/a/folder/far/away/site.key"),
            (80, row(), "private_key  …folder/far/away/site.key"),
            (80, labelled(), "private_key  …away/site.key  tier=gold"),
        ] {
            let line = lines(Some(width), &[row]).pop().unwrap();
            assert!(line.ends_with(end), "{line}");
            assert!(line.width() <= width.into());
        }
    }

    proptest! {
        #[test]
        fn a_line_never_exceeds_the_terminal(text in any::<String>(), width in 0u16..40) {
            let table = Table::new(TableStyle { width: Some(width), color: false });
            let mut out = Vec::new();
            table.write_line(&printable(&text), Color::Plain, &mut out);
            let line = String::from_utf8(out).unwrap();
            prop_assert!(line.trim_end_matches('\n').width() <= width.into());
            prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        }
    }
}
