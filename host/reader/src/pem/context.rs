//! Decides by the rest of its line whether a mark begins a block, or whether it is quoted in prose or commented out.

use super::lines::{line_break, part};

/// Maximum bytes of context before and after a mark: room for the key of a key-value pair.
const MAX_CONTEXT: usize = 256;
/// Minimum bytes of base64 that cannot be a word of a sentence.
const BODY_BYTES: usize = 16;

pub(super) fn is_comment(line: &[u8]) -> bool {
    let start = line.iter().position(|&byte| !is_blank(byte)).unwrap_or(line.len());
    let text = line.get(start..).unwrap_or_default();
    text.starts_with(b"#") || text.starts_with(b";") || text.starts_with(b"//")
}

/// Whether the byte is white space, a control character, or part of a byte order mark, a no-break space or a zero-width
/// space.
fn is_blank(byte: u8) -> bool {
    let multi_byte = [0xef, 0xbb, 0xbf, 0xc2, 0xa0, 0xe2, 0x80, 0x8b];
    byte <= b' ' || byte == 0x7f || multi_byte.contains(&byte)
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// The text between a mark and the beginning of its line or the previous mark that counts.
#[derive(Debug)]
pub(super) struct LinePrefix<'a> {
    /// Up to the last byte that is not filler.
    text: &'a [u8],
    /// Blanks, quotes and punctuation after `text`.
    filler: &'a [u8],
    /// The previous mark on the line is the END of a block.
    follows_end: bool,
}

impl<'a> LinePrefix<'a> {
    pub(super) fn of(prefix: &'a [u8], follows_end: bool) -> LinePrefix<'a> {
        let is_filler = |byte: &u8| {
            is_blank(*byte)
                || is_quote(*byte)
                || b"[{(,\\".contains(byte)
                || follows_end && b"-;|]})".contains(byte)
        };
        // Linear in total: the search stops at the latest at the previous mark, whose letters are not filler.
        let text_len = prefix.iter().rposition(|byte| !is_filler(byte)).map_or(0, |at| at + 1);
        let (text, filler) = prefix.split_at(text_len);
        LinePrefix { text, filler, follows_end }
    }

    pub(super) fn is_filler(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the quote that opens the value.
    fn quote(&self) -> Option<u8> {
        self.filler.iter().copied().rfind(|&byte| is_quote(byte))
    }

    /// Whether a BEGIN mark after this prefix begins a block. The mark ends at `mark_end`, its line at `line_end`.
    pub(super) fn may_precede_begin(&self, text: &[u8], mark_end: usize, line_end: usize) -> bool {
        let quote = self.quote();
        let suffix = part(text, mark_end, line_end.min(mark_end + MAX_CONTEXT));
        let closed = quote.and_then(|quote| closed_by(quote, suffix));
        if closed == Some(Closed::Sentence) {
            return false;
        }
        if self.text.is_empty() {
            let is_blank = self.filler.iter().all(|&byte| is_blank(byte));
            return is_blank || quote.is_some() || self.follows_end;
        }
        // A value that consists of this line only has no body, but a list may have each line as a value.
        if closed == Some(Closed::Value) {
            return false;
        }
        let context = self.text.split_at(self.text.len().saturating_sub(MAX_CONTEXT)).1;
        let after = part(text, mark_end, text.len());
        match context.split_last() {
            Some((b'=', key)) => {
                let (before, key) = split_key(key);
                let is_first = is_line_start(before) || before.ends_with(b"export");
                !key.is_empty() && (quote.is_some() || is_first && has_body(after, true))
            }
            Some((b':', key)) => {
                let (before, word) = split_key(key);
                let is_quoted = key.trim_ascii_end().last().is_some_and(|&byte| is_quote(byte));
                let is_first =
                    !word.is_empty() && (is_line_start(before) || before.ends_with(b"{"));
                (is_quoted || is_first) && (quote.is_some() || has_body(after, false))
            }
            // An XML element.
            Some((b'>', before)) => {
                let tag = before.iter().rposition(|&byte| byte == b'<');
                let is_first = tag.is_some_and(|at| is_line_start(before.split_at(at).0));
                is_first && has_body(after, true)
            }
            // An item of a YAML list.
            Some((b'-', before)) => quote.is_some() && is_line_start(before),
            // An item of a JSON list after the first one.
            Some(_) => self.filler.iter().filter(|&&byte| is_quote(byte)).count() >= 2,
            None => false,
        }
    }
}

/// Splits off the last word of `text`.
fn split_key(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_end();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-/]\"'".contains(byte);
    let start = text.iter().rposition(|byte| !is_word(byte)).map_or(0, |at| at + 1);
    let (before, word) = text.split_at(start);
    (before.trim_ascii_end(), word)
}

/// Whether `before` has only bytes that may precede the first key of a line.
fn is_line_start(before: &[u8]) -> bool {
    before.iter().all(|&byte| is_blank(byte) || is_quote(byte) || b"-{[,\\".contains(&byte))
}

/// What follows the closing quote of a quoted BEGIN line.
#[derive(Debug, PartialEq, Eq)]
enum Closed {
    /// More text: the line is quoted in prose.
    Sentence,
    /// Possibly another value of a list.
    List,
    /// The end of the value.
    Value,
}

/// `None`: the quotation continues after the line.
fn closed_by(quote: u8, suffix: &[u8]) -> Option<Closed> {
    let suffix = suffix.strip_prefix(b"\\").unwrap_or(suffix);
    let suffix = suffix.strip_prefix(&[quote])?.trim_ascii_start();
    Some(match suffix.first() {
        None if quote == b'`' => Closed::Sentence,
        None => Closed::Value,
        Some(b',') if suffix.get(1..).is_some_and(|rest| rest.trim_ascii().is_empty()) => {
            Closed::List
        }
        Some(b',') if suffix.contains(&quote) => Closed::List,
        Some(b'+' | b'\\' | b';' | b']' | b'}') => Closed::Value,
        Some(_) => Closed::Sentence,
    })
}

/// Whether base64 follows a BEGIN mark, directly or after an escaped line break; with `or_next_line`, also after a real
/// line break.
fn has_body(after: &[u8], or_next_line: bool) -> bool {
    let start = match after.first() {
        Some(b'\r' | b'\n') if !or_next_line => return false,
        _ => line_break(after).unwrap_or(0),
    };
    let body = after.get(start..).unwrap_or_default();
    let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    body.iter().take(BODY_BYTES).take_while(is_base64).count() == BODY_BYTES
}
