//! Finds the blocks of a PEM file.
//!
//! Total and linear: every byte string is read once for its lines and once for its marks, and what is looked at around
//! a mark is bounded, so a hostile file costs no more than an honest one of its size.

use super::protocol::HEAD_BYTES;

pub(super) const BEGIN: &[u8] = b"-----BEGIN ";
pub(super) const END: &[u8] = b"-----END ";
pub(super) const DASHES: &[u8] = b"-----";

/// A block that begins before this offset decides, if a block begins in the first [`HEAD_BYTES`].
pub(super) const MOST_BYTES: usize = 1 << 20;
/// Longest label in bytes. Those in use have at most 30.
const MOST_LABEL: usize = 128;
/// The longest line that begins a block. One that starts before a limit is read whole.
pub(super) const MOST_LINE: usize = BEGIN.len() + MOST_LABEL + DASHES.len();
/// What stands before a mark is looked at for this many bytes: room for the key of a key and value pair.
const MOST_KEY: usize = 256;
/// So many bytes of base64 are no word of a sentence.
const BODY_BYTES: usize = 16;

/// A block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    /// Where it begins.
    pub(super) start: usize,
    pub(super) label: &'a [u8],
    /// What follows the line that begins it, to its end or to the next block.
    pub(super) body: &'a [u8],
    pub(super) end: End,
}

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With an END line of its own label.
    Whole,
    /// With one of another label, or with the beginning of another block.
    Broken,
    /// Not within the text.
    Open,
}

/// Whether a block of this label is a certificate or a private key.
fn decides(label: &[u8]) -> bool {
    let has = |word: &[u8]| label.windows(word.len()).any(|window| window == word);
    has(b"PRIVATE KEY") || has(b"CERTIFICATE") && !has(b"REQUEST")
}

/// The place of the block that says what the file is.
pub(super) fn deciding(blocks: &[Block<'_>]) -> Option<usize> {
    let found = blocks.iter().position(|block| decides(block.label))?;
    let limit = if begins_early(blocks) { MOST_BYTES } else { 0 };
    blocks.get(found).filter(|block| block.start < limit).map(|_| found)
}

/// Whether a block begins in the first [`HEAD_BYTES`].
pub(super) fn begins_early(blocks: &[Block<'_>]) -> bool {
    blocks.first().is_some_and(|block| block.start < HEAD_BYTES)
}

/// Whether the rest of a file that begins with `text` may tell what the file is.
pub(super) fn needs_more(text: &[u8]) -> bool {
    let blocks = blocks(text);
    begins_early(&blocks) && deciding(&blocks).is_none()
}

/// The blocks of a text, in order.
pub(super) fn blocks(text: &[u8]) -> Vec<Block<'_>> {
    let mut scan = Scan { text, blocks: Vec::new(), body_at: 0, is_open: false };
    let mut in_comment = false;
    for line in Lines::of(text) {
        if !in_comment {
            in_comment = scan.line(&line) == Line::Comment;
        }
        // A comment with an escaped line end in it lasts to the line's real end.
        in_comment &= !line.is_ended_for_real;
    }
    scan.close(text.len(), End::Open);
    scan.blocks
}

/// A line without its end, which may be escaped: backslash and letter, as in JSON.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    /// Where the next line starts.
    next: usize,
    is_ended_for_real: bool,
}

/// Splits a text into lines. What follows the last line end is a line only where it has a byte.
#[derive(Debug)]
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl Lines<'_> {
    fn of(text: &[u8]) -> Lines<'_> {
        Lines { text, at: 0 }
    }
}

impl Iterator for Lines<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let mut len = 0;
        let end_len = loop {
            let near = rest.get(len..).unwrap_or_default();
            let Some(skip) = near.iter().position(|byte| b"\r\n\\".contains(byte)) else {
                len = rest.len();
                break 0;
            };
            len += skip;
            match line_end(near.get(skip..).unwrap_or_default()) {
                Some(end_len) => break end_len,
                None => len += 1,
            }
        };
        let start = self.at;
        let end = start + len;
        self.at = end + end_len;
        let is_ended_for_real = self.text.get(end) != Some(&b'\\');
        Some(Span { start, end, next: self.at, is_ended_for_real })
    }
}

/// The length of the line end that this begins with.
fn line_end(text: &[u8]) -> Option<usize> {
    match text {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r' | b'\n', ..] => Some(1),
        [b'\\', b'r', b'\\', b'n', ..] => Some(4),
        [b'\\', b'r' | b'n', ..] => Some(2),
        _ => None,
    }
}

/// The lines of a block's body, without what stands around them. What follows the last line end counts unless it is
/// blank. The flag says whether the line has an end.
pub(super) fn body_lines(body: &[u8]) -> impl Iterator<Item = (&[u8], bool)> + Clone {
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut lines = Lines { text: body, at };
        let span = lines.next()?;
        at = lines.at;
        let has_end = span.next > span.end;
        let line = body.get(span.start..span.end)?.trim_ascii();
        (has_end || !line.is_empty()).then_some((line, has_end))
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Plain,
    /// Commented out, with all that follows on the line.
    Comment,
}

#[derive(Debug)]
struct Scan<'a> {
    text: &'a [u8],
    blocks: Vec<Block<'a>>,
    /// Where the body of the last block starts.
    body_at: usize,
    /// The last block has no end yet.
    is_open: bool,
}

impl<'a> Scan<'a> {
    /// Takes in the marks of one line.
    fn line(&mut self, line: &Span) -> Line {
        let text = self.text;
        if is_comment(part(text, line.start, line.end)) {
            let next = part(text, line.next, text.len());
            let has_block = mark(text, line.start, line.end).is_some_and(|mark| mark.begins);
            // Each line of a block that is commented out has its own sign, or the block stands on one line.
            return if has_block && !is_comment(next) { Line::Comment } else { Line::Plain };
        }
        let (mut start, mut from, mut behind_end) = (line.start, line.start, false);
        while let Some(mark) = mark(text, from, line.end) {
            let before = Before::of(part(text, start, mark.at), behind_end);
            let counts = if mark.begins {
                mark.label.is_some() && before.may_precede_begin(text, mark.after, line.end)
            } else {
                self.is_open || before.is_filler()
            };
            from = mark.after;
            if counts {
                start = mark.after;
                behind_end = !mark.begins;
                self.take(&mark, line.next);
            }
        }
        Line::Plain
    }

    fn take(&mut self, mark: &Mark<'a>, next_line: usize) {
        if !mark.begins {
            let own = self.blocks.last().map(|block| block.label);
            let whole = own.is_some() && own == mark.label;
            return self.close(mark.at, if whole { End::Whole } else { End::Broken });
        }
        self.close(mark.at, End::Broken);
        let label = mark.label.unwrap_or_default();
        self.blocks.push(Block { start: mark.at, label, body: &[], end: End::Open });
        (self.body_at, self.is_open) = (next_line, true);
    }

    fn close(&mut self, at: usize, end: End) {
        let body = part(self.text, self.body_at, at);
        if let Some(last) = self.blocks.last_mut().filter(|_| self.is_open) {
            (last.body, last.end) = (body, end);
        }
        self.is_open = false;
    }
}

/// Empty where there is no such part.
fn part(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}

/// A place that may begin or end a block.
#[derive(Debug)]
struct Mark<'a> {
    begins: bool,
    at: usize,
    /// Printable, and followed by dashes; None: it is not.
    label: Option<&'a [u8]>,
    after: usize,
}

/// The first mark in this part of a line.
fn mark(text: &[u8], from: usize, to: usize) -> Option<Mark<'_>> {
    let dashes = part(text, from, to).iter().enumerate().filter(|(_, byte)| **byte == b'-');
    dashes.map(|(at, _)| from + at).find_map(|at| {
        let rest = part(text, at, to);
        let begins = rest.starts_with(BEGIN);
        if !begins && !rest.starts_with(END) {
            return None;
        }
        let label_at = at + if begins { BEGIN.len() } else { END.len() };
        let most = to.min(label_at + MOST_LABEL + DASHES.len());
        let near = part(text, label_at, most);
        let len = near.windows(DASHES.len()).position(|window| window == DASHES);
        let label = len.and_then(|len| near.get(..len));
        let label = label.filter(|label| label.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let after = label.map_or(label_at, |label| label_at + label.len() + DASHES.len());
        Some(Mark { begins, at, label, after })
    })
}

fn is_comment(line: &[u8]) -> bool {
    let start = line.iter().position(|&byte| !is_blank(byte)).unwrap_or(line.len());
    let text = line.get(start..).unwrap_or_default();
    text.starts_with(b"#") || text.starts_with(b";") || text.starts_with(b"//")
}

/// Blanks, control characters, and the bytes of a byte order mark, and of blanks that break no line or have no width.
fn is_blank(byte: u8) -> bool {
    let wide = [0xef, 0xbb, 0xbf, 0xc2, 0xa0, 0xe2, 0x80, 0x8b];
    byte <= b' ' || byte == 0x7f || wide.contains(&byte)
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// What stands between a mark and the beginning of its line, or the last mark that counts.
#[derive(Debug)]
struct Before<'a> {
    /// Up to the last byte that is text.
    text: &'a [u8],
    /// Blanks, quotes and punctuation after it.
    filler: &'a [u8],
    behind_end: bool,
}

impl<'a> Before<'a> {
    /// `behind_end`: the end of a block stands before it on the line.
    fn of(before: &'a [u8], behind_end: bool) -> Before<'a> {
        let is_filler = |byte: &u8| {
            is_blank(*byte)
                || is_quote(*byte)
                || b"[{(,\\".contains(byte)
                || behind_end && b"-;|]})".contains(byte)
        };
        // Never further than the mark before, whose letters are no filler.
        let text = before.iter().rposition(|byte| !is_filler(byte)).map_or(0, |at| at + 1);
        let (text, filler) = before.split_at(text);
        Before { text, filler, behind_end }
    }

    fn is_filler(&self) -> bool {
        self.text.is_empty()
    }

    /// The quote that opens the value.
    fn quote(&self) -> Option<u8> {
        self.filler.iter().copied().rfind(|&byte| is_quote(byte))
    }

    /// Whether a mark after this begins a block. `after`: where the mark ends; `end`: where its line ends.
    fn may_precede_begin(&self, text: &[u8], after: usize, end: usize) -> bool {
        let quote = self.quote();
        let behind = part(text, after, end.min(after + MOST_KEY));
        let closed = quote.and_then(|quote| closed_by(quote, behind));
        if closed == Some(Closed::Sentence) {
            return false;
        }
        if self.text.is_empty() {
            let is_blank = self.filler.iter().all(|&byte| is_blank(byte));
            return is_blank || quote.is_some() || self.behind_end;
        }
        // A value that is nothing but this line has no body; a list may have one line as each value.
        if closed == Some(Closed::Value) {
            return false;
        }
        let near = self.text.split_at(self.text.len().saturating_sub(MOST_KEY)).1;
        match near.split_last() {
            Some((b'=', key)) => {
                let (before, key) = key_of(key);
                let first = is_first(before) || before.ends_with(b"export");
                let body = || has_body(part(text, after, text.len()), true);
                !key.is_empty() && (quote.is_some() || first && body())
            }
            Some((b':', key)) => {
                let (before, word) = key_of(key);
                let quoted = key.trim_ascii_end().last().is_some_and(|&byte| is_quote(byte));
                let first = !word.is_empty() && (is_first(before) || before.ends_with(b"{"));
                let body = || has_body(part(text, after, text.len()), false);
                if quote.is_some() { quoted || first } else { (quoted || first) && body() }
            }
            // An element of XML.
            Some((b'>', before)) => {
                let tag = before.iter().rposition(|&byte| byte == b'<');
                let first = tag.is_some_and(|at| is_first(before.split_at(at).0));
                first && has_body(part(text, after, text.len()), true)
            }
            // An item of a list in YAML.
            Some((b'-', before)) => quote.is_some() && is_first(before),
            // An item of a list in JSON that is not the first one.
            Some(_) => self.filler.iter().filter(|&&byte| is_quote(byte)).count() >= 2,
            None => false,
        }
    }
}

/// The last word of `text`, and what stands before it.
fn key_of(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_end();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-/]\"'".contains(byte);
    let at = text.iter().rposition(|byte| !is_word(byte)).map_or(0, |at| at + 1);
    let (before, word) = text.split_at(at);
    (before.trim_ascii_end(), word)
}

/// Whether only what may stand before the first key of a line stands here.
fn is_first(before: &[u8]) -> bool {
    before.iter().all(|&byte| is_blank(byte) || is_quote(byte) || b"-{[,\\".contains(&byte))
}

#[derive(Debug, PartialEq, Eq)]
enum Closed {
    /// And the text goes on.
    Sentence,
    /// And another value may follow.
    List,
    /// And nothing follows.
    Value,
}

/// What follows the quotation of a BEGIN line; None: the quotation goes on after the line.
fn closed_by(quote: u8, behind: &[u8]) -> Option<Closed> {
    let behind = behind.strip_prefix(b"\\").unwrap_or(behind);
    let behind = behind.strip_prefix(&[quote])?.trim_ascii_start();
    Some(match behind.first() {
        None if quote == b'`' => Closed::Sentence,
        None => Closed::Value,
        Some(b',') if behind.get(1..).is_some_and(|rest| rest.trim_ascii().is_empty()) => {
            Closed::List
        }
        Some(b',') if behind.contains(&quote) => Closed::List,
        Some(b'+' | b'\\' | b';' | b']' | b'}') => Closed::Value,
        Some(_) => Closed::Sentence,
    })
}

/// Whether base64 follows a BEGIN line. `below`: on the next line counts too.
fn has_body(behind: &[u8], below: bool) -> bool {
    let at = match behind.first() {
        Some(b'\r' | b'\n') if !below => return false,
        _ => line_end(behind).unwrap_or(0),
    };
    let body = behind.get(at..).unwrap_or_default();
    let base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    body.iter().take(BODY_BYTES).take_while(base64).count() == BODY_BYTES
}

#[cfg(test)]
mod tests;
