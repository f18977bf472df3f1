//! Splits a text into lines. A line break may be escaped: backslash and letter, as in JSON.

/// A line, without its line break.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Start of the next line.
    pub(super) next: usize,
    /// The line break is not escaped.
    pub(super) has_real_break: bool,
}

/// Iterator over the lines of a text. An empty rest after the last line break is not a line.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
}

impl Lines<'_> {
    pub(super) fn of(text: &[u8]) -> Lines<'_> {
        Lines { text, offset: 0 }
    }
}

impl Iterator for Lines<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let rest = self.text.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let mut len = 0;
        let break_len = loop {
            let tail = rest.get(len..).unwrap_or_default();
            let Some(skip) = tail.iter().position(|byte| b"\r\n\\".contains(byte)) else {
                len = rest.len();
                break 0;
            };
            len += skip;
            match line_break(tail.get(skip..).unwrap_or_default()) {
                Some(break_len) => break break_len,
                None => len += 1,
            }
        };
        let start = self.offset;
        let end = start + len;
        self.offset = end + break_len;
        let has_real_break = self.text.get(end) != Some(&b'\\');
        Some(Span { start, end, next: self.offset, has_real_break })
    }
}

/// Returns the length of the line break at the start of `text`.
pub(super) fn line_break(text: &[u8]) -> Option<usize> {
    match text {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r' | b'\n', ..] => Some(1),
        [b'\\', b'r', b'\\', b'n', ..] => Some(4),
        [b'\\', b'r' | b'n', ..] => Some(2),
        _ => None,
    }
}

/// Returns the trimmed lines of a block's body, each with whether it has a line break. A blank rest after the last line
/// break is omitted.
pub(crate) fn body_lines(body: &[u8]) -> impl Iterator<Item = (&[u8], bool)> + Clone {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let mut lines = Lines { text: body, offset };
        let span = lines.next()?;
        offset = lines.offset;
        let has_break = span.next > span.end;
        let line = body.get(span.start..span.end)?.trim_ascii();
        (has_break || !line.is_empty()).then_some((line, has_break))
    })
}

/// Returns this part of a text; empty if the range is invalid.
pub(super) fn part(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}
