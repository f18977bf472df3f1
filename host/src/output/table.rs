//! Events as lines for people. What a hostile name holds is shown, never obeyed.

use std::borrow::Cow;

use chrono::DateTime;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::event::{FileType, Notice, RedactedEvent, RedactedWhat, Timestamp};
use crate::printable::printable;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Columns of the terminal; None: lines have no bound.
    pub width: Option<u16>,
    /// With colours.
    pub color: bool,
}

/// Columns of a process name.
const NAME: usize = 15;

/// Renders lines.
#[derive(Debug)]
pub(super) struct Table {
    look: Look,
    headed: bool,
}

impl Table {
    pub(super) fn new(look: Look) -> Table {
        Table { look, headed: false }
    }

    /// The next line is the first one of another file.
    pub(super) fn restart(&mut self) {
        self.headed = false;
    }

    pub(super) fn event(&mut self, event: &RedactedEvent, out: &mut Vec<u8>) {
        let process = event.process();
        let name = printable(&String::from_utf8_lossy(process.comm.as_bytes()));
        let (kind, color, mut text) = match event.what() {
            RedactedWhat::FileOpen { file, file_type, .. } => (
                "open",
                file_color(file_type),
                format!("{}  {}", file_type.as_str(), file.as_str()),
            ),
            RedactedWhat::LibLoad { library, library_name, .. } => {
                ("load", Color::Blue, format!("{library_name}  {}", library.as_str()))
            }
            RedactedWhat::Exec { cmdline } => ("exec", Color::Green, cmdline.as_str().to_owned()),
            RedactedWhat::Exit { exit_code, .. } => {
                let color = if *exit_code == 0 { Color::Plain } else { Color::Yellow };
                ("exit", color, format!("exit code {exit_code}"))
            }
        };
        for (label, value) in event.labels() {
            text.push_str(&format!("  {label}={}", value.as_str()));
        }
        self.line(event.timestamp(), Some(process.pid), &name, (kind, color), &text, out);
    }

    pub(super) fn notice(&mut self, notice: &Notice, out: &mut Vec<u8>) {
        let (at, kind, text) = match notice {
            Notice::EventsLost(at, loss) => {
                let about = if loss.exact { "" } else { "perhaps " };
                (*at, "lost", format!("{about}{} events: {}", loss.count, loss.cause))
            }
            Notice::PluginFailed(at, failure) => {
                let text = format!(
                    "{} {} failed {} times: {}; {}",
                    failure.kind, failure.plugin, failure.count, failure.cause, failure.action
                );
                (*at, "fail", text)
            }
            Notice::Status(at, status) => (*at, "stat", status.to_string()),
        };
        let color = if kind == "stat" { Color::Plain } else { Color::Red };
        self.line(at, None, "", (kind, color), &text, out);
    }

    fn line(
        &mut self,
        at: Timestamp,
        pid: Option<u32>,
        name: &str,
        (kind, color): (&str, Color),
        text: &str,
        out: &mut Vec<u8>,
    ) {
        if !self.headed {
            self.headed = true;
            let heading =
                format!("{:12} {:>7} {:NAME$} {:4} {}", "TIME", "PID", "PROCESS", "WHAT", "");
            self.put(heading.trim_end(), Color::Plain, out);
        }
        let time = DateTime::from_timestamp_micros(at.0).unwrap_or_default().format("%H:%M:%S%.3f");
        let pid = pid.map_or(Cow::Borrowed("-"), |pid| pid.to_string().into());
        let name = fit(name, Some(NAME));
        let padding = NAME.saturating_sub(name.width());
        let line = format!("{time} {pid:>7} {name}{:padding$} {kind:4} {}", "", printable(text));
        self.put(&line, color, out);
    }

    fn put(&self, line: &str, color: Color, out: &mut Vec<u8>) {
        let line = fit(line, self.look.width.map(usize::from));
        match color.code().filter(|_| self.look.color) {
            Some(code) => {
                out.extend_from_slice(format!("\u{1b}[{code}m{line}\u{1b}[0m\n").as_bytes())
            }
            None => out.extend_from_slice(format!("{line}\n").as_bytes()),
        }
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

/// The text within so many columns; what is left out is marked.
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
    }

    proptest! {
        #[test]
        fn a_line_never_exceeds_the_terminal(text in any::<String>(), width in 0u16..40) {
            let table = Table::new(Look { width: Some(width), color: false });
            let mut out = Vec::new();
            table.put(&printable(&text), Color::Plain, &mut out);
            let line = String::from_utf8(out).unwrap();
            prop_assert!(line.trim_end_matches('\n').width() <= width.into());
            prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        }
    }
}
