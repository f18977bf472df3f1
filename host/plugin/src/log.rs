//! Log lines of plugins: limited in number and length, with control characters escaped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto_tracer_event::counted::counted;

/// Maximum length of a line in bytes. The rest is cut.
const LINE: usize = 1024;

/// Severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is unexpected.
    Warn,
    /// Information for the operator.
    Info,
    /// For the plugin's author.
    Debug,
}

impl Level {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// A line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `name@version` of the plugin that logged it.
    pub plugin: Arc<str>,
    /// Its severity.
    pub level: Level,
    /// One line with control characters escaped; at most 1 KiB before escaping.
    pub message: String,
}

/// The log of one plugin: the number of lines in this second, and the lines not yet taken.
#[derive(Debug)]
pub(super) struct Log {
    /// Maximum lines in a second.
    max_lines: u32,
    /// The clock of a replay; None: the machine's clock.
    now: Option<Instant>,
    second: Instant,
    lines: u32,
    /// Lines were dropped. This is reported once a second.
    dropped: bool,
    drop_reported: bool,
    waiting: Vec<(Level, String)>,
    /// Bytes printed since the last line end: to standard output, and to standard error.
    printed: [Vec<u8>; 2],
}

/// One of the standard streams that a plugin may print to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestStream {
    Output,
    Error,
}

impl Log {
    /// `max_lines`: maximum lines in a second.
    pub(super) fn new(max_lines: u32) -> Log {
        Log {
            max_lines,
            now: None,
            second: Instant::now(),
            lines: 0,
            dropped: false,
            drop_reported: false,
            waiting: Vec::new(),
            printed: [Vec::new(), Vec::new()],
        }
    }

    /// Sets the clock of a replay.
    pub(super) fn set_now(&mut self, now: Option<Instant>) {
        if self.now.is_none()
            && let Some(now) = now
        {
            // Lines logged before the recording began were counted by the machine's clock, not by the replay's.
            (self.second, self.lines, self.drop_reported) = (now, 0, false);
        }
        self.now = now;
    }

    pub(super) fn line(&mut self, level: Level, message: &str) {
        let now = self.now.unwrap_or_else(Instant::now);
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.lines = 0;
            self.drop_reported = false;
        }
        // The queue is bounded even when no caller takes its lines.
        if self.lines >= self.max_lines || self.waiting.len() > self.max_lines as usize {
            self.dropped = true;
            return;
        }
        self.lines += 1;
        let end = message.floor_char_boundary(LINE);
        let kept = message.get(..end).unwrap_or_default();
        self.waiting.push((level, kept.chars().flat_map(escaped).collect()));
    }

    /// Buffers printed bytes until a line is complete: a standard library writes a line in several pieces.
    pub(super) fn print(&mut self, stream: GuestStream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let whole = piece.strip_suffix(b"\n");
            let [output, error] = &mut self.printed;
            let printed = if stream == GuestStream::Output { output } else { error };
            // A line is cut here too, so the buffer is bounded.
            let room = LINE.saturating_sub(printed.len());
            let piece = whole.unwrap_or(piece);
            printed.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
            if whole.is_some() {
                self.end_line(stream);
            }
        }
    }

    /// Ends the current lines at the end of a call.
    pub(super) fn flush(&mut self) {
        self.end_line(GuestStream::Output);
        self.end_line(GuestStream::Error);
    }

    fn end_line(&mut self, stream: GuestStream) {
        let [output, error] = &mut self.printed;
        let printed = std::mem::take(if stream == GuestStream::Output { output } else { error });
        let text = String::from_utf8_lossy(&printed);
        let text = text.trim_end();
        if !text.is_empty() {
            self.line(Level::Info, text);
        }
    }

    pub(super) fn has_lines(&self) -> bool {
        !self.waiting.is_empty() || self.dropped && !self.drop_reported
    }

    /// Takes the lines since the last call.
    pub(super) fn take(&mut self) -> Vec<(Level, String)> {
        let mut lines = std::mem::take(&mut self.waiting);
        if std::mem::take(&mut self.dropped) && !std::mem::replace(&mut self.drop_reported, true) {
            lines.push((
                Level::Warn,
                format!("logs more than {} in a second", counted(self.max_lines, "line")),
            ));
        }
        lines
    }
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let printable = c == ' ' || c == '"' || c == '\'' || c.escape_debug().nth(1).is_none();
    let (plain, escaped) = if printable { (Some(c), None) } else { (None, Some(c.escape_debug())) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_counts_lines_by_its_own_clock() {
        let mut log = Log::new(2);
        log.line(Level::Info, "from the start");
        assert_eq!(log.take().len(), 1);
        let start = Instant::now();
        for (ms, expected) in [(0, 2), (999, 0), (1000, 2), (1999, 0)] {
            log.set_now(Some(start + Duration::from_millis(ms)));
            (0..5).for_each(|_| log.line(Level::Info, "more"));
            let lines = log.take().into_iter().filter(|(level, _)| *level == Level::Info);
            assert_eq!(lines.count(), expected, "{ms}");
        }
    }

    #[test]
    fn printed_bytes_become_lines() {
        use GuestStream::{Error, Output};
        for (pieces, lines) in [
            (&[(Output, "a\n")][..], &["a"][..]),
            (&[(Output, "a")], &["a"]),
            (&[(Output, "a"), (Output, "\n")], &["a"]),
            (
                &[(Error, "thread 'x' "), (Error, "panicked at y"), (Error, ":\nz\n")],
                &["thread 'x' panicked at y:", "z"],
            ),
            (
                &[(Output, "o1 "), (Error, "e1 "), (Output, "o2\n"), (Error, "e2\n")],
                &["o1 o2", "e1 e2"],
            ),
            (&[(Output, "\n\na\n\n \n")], &["a"]),
            (&[(Output, "a\r\n")], &["a"]),
            (&[(Output, "\u{1b}[2J")], &["\\u{1b}[2J"]),
            (&[(Output, "")], &[]),
            (&[(Error, "e"), (Output, "o")], &["o", "e"]),
        ] {
            let mut log = Log::new(10);
            for &(stream, text) in pieces {
                log.print(stream, text.as_bytes());
            }
            log.flush();
            let logged: Vec<String> = log.take().into_iter().map(|(_, text)| text).collect();
            assert_eq!(logged, lines, "{pieces:?}");
        }
        let mut log = Log::new(10);
        (0..100).for_each(|_| log.print(Error, &[b'x'; 4096]));
        (0..3).for_each(|_| log.print(Error, "\u{e9}".as_bytes()));
        log.print(Error, b"\nafter\n\xff");
        log.flush();
        let logged: Vec<String> = log.take().into_iter().map(|(_, text)| text).collect();
        assert_eq!(logged, ["x".repeat(LINE), "after".to_owned(), "\u{fffd}".to_owned()]);
    }

    #[test]
    fn lines_are_limited_cut_and_escaped() {
        let mut log = Log::new(3);
        log.line(Level::Info, "it's \u{1b}[2J\n\"é\"");
        log.line(Level::Info, &"é".repeat(10_000));
        for _ in 0..10 {
            log.line(Level::Info, "more");
        }
        let lines = log.take();
        assert_eq!(lines[0].1, "it's \\u{1b}[2J\\n\"é\"");
        assert_eq!(lines[1].1.len(), 1024);
        assert_eq!(lines.len(), 4);
        assert!(lines[3].1.contains("more than 3 lines"));
        assert!(log.take().is_empty());
    }
}
