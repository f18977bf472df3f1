//! Finds the blocks of a PEM file.
//!
//! The search is total and takes linear time: each byte is read once for the lines and once for the marks, and the
//! context around a mark is bounded, so a hostile file costs no more than a regular one of its size.

mod context;
mod lines;

use super::protocol::HEAD_BYTES;
use context::{LinePrefix, is_comment};
pub(super) use lines::body_lines;
use lines::{Lines, Span, part};

pub(super) const BEGIN: &[u8] = b"-----BEGIN ";
pub(super) const END: &[u8] = b"-----END ";
pub(super) const DASHES: &[u8] = b"-----";

/// The deciding block must begin before this offset, in a file with a block that begins in the first [`HEAD_BYTES`].
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Maximum length of a label in bytes. Labels in use have at most 30.
const MAX_LABEL: usize = 128;
/// Maximum length of a BEGIN line. A line that starts before a limit is read completely.
pub(super) const MAX_LINE: usize = BEGIN.len() + MAX_LABEL + DASHES.len();

/// A PEM block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    /// Offset of the BEGIN line.
    pub(super) start: usize,
    pub(super) label: &'a [u8],
    /// From the line after the BEGIN line to the END line or the next block.
    pub(super) body: &'a [u8],
    pub(super) end: End,
}

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With an END line with the same label.
    Whole,
    /// With an END line with another label, or with the beginning of another block.
    Broken,
    /// Not within the text.
    Open,
}

/// Whether a block with this label is a certificate or a private key.
fn is_deciding_label(label: &[u8]) -> bool {
    let has = |word: &[u8]| label.windows(word.len()).any(|window| window == word);
    has(b"PRIVATE KEY") || has(b"CERTIFICATE") && !has(b"REQUEST")
}

/// Returns the index of the deciding block, which determines the type of the file.
pub(super) fn deciding(blocks: &[Block<'_>]) -> Option<usize> {
    let found = blocks.iter().position(|block| is_deciding_label(block.label))?;
    let limit = if begins_early(blocks) { MAX_BYTES } else { 0 };
    blocks.get(found).filter(|block| block.start < limit).map(|_| found)
}

/// Whether a block begins in the first [`HEAD_BYTES`].
pub(super) fn begins_early(blocks: &[Block<'_>]) -> bool {
    blocks.first().is_some_and(|block| block.start < HEAD_BYTES)
}

/// Whether the deciding block of a file that begins with `text` may follow after `text`.
pub(super) fn needs_more(text: &[u8]) -> bool {
    let blocks = blocks(text);
    begins_early(&blocks) && deciding(&blocks).is_none()
}

/// Returns the blocks of a text in order.
pub(super) fn blocks(text: &[u8]) -> Vec<Block<'_>> {
    let mut scan = Scan { text, blocks: Vec::new(), body_start: 0, is_open: false };
    let mut in_comment = false;
    for line in Lines::of(text) {
        if !in_comment {
            in_comment = scan.line(&line) == Line::Comment;
        }
        // A comment with escaped line breaks ends at the next real line break.
        in_comment &= !line.has_real_break;
    }
    scan.close(text.len(), End::Open);
    scan.blocks
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Plain,
    /// The rest of the real line is commented out too.
    Comment,
}

#[derive(Debug)]
struct Scan<'a> {
    text: &'a [u8],
    blocks: Vec<Block<'a>>,
    /// Start of the last block's body.
    body_start: usize,
    /// The last block has not ended yet.
    is_open: bool,
}

impl<'a> Scan<'a> {
    /// Processes the marks of one line.
    fn line(&mut self, line: &Span) -> Line {
        let text = self.text;
        if is_comment(part(text, line.start, line.end)) {
            let next = part(text, line.next, text.len());
            let has_block = mark(text, line.start, line.end).is_some_and(|mark| mark.is_begin);
            // A commented block either has a comment sign on each line, or is on one real line.
            return if has_block && !is_comment(next) { Line::Comment } else { Line::Plain };
        }
        let (mut start, mut from, mut follows_end) = (line.start, line.start, false);
        while let Some(mark) = mark(text, from, line.end) {
            let prefix = LinePrefix::of(part(text, start, mark.start), follows_end);
            let counts = if mark.is_begin {
                mark.label.is_some() && prefix.may_precede_begin(text, mark.end, line.end)
            } else {
                self.is_open || prefix.is_filler()
            };
            from = mark.end;
            if counts {
                start = mark.end;
                follows_end = !mark.is_begin;
                self.take(&mark, line.next);
            }
        }
        Line::Plain
    }

    fn take(&mut self, mark: &Mark<'a>, next_line: usize) {
        if !mark.is_begin {
            let open_label = self.blocks.last().map(|block| block.label);
            let is_whole = open_label.is_some() && open_label == mark.label;
            return self.close(mark.start, if is_whole { End::Whole } else { End::Broken });
        }
        self.close(mark.start, End::Broken);
        let label = mark.label.unwrap_or_default();
        self.blocks.push(Block { start: mark.start, label, body: &[], end: End::Open });
        (self.body_start, self.is_open) = (next_line, true);
    }

    fn close(&mut self, offset: usize, end: End) {
        let body = part(self.text, self.body_start, offset);
        if let Some(last) = self.blocks.last_mut().filter(|_| self.is_open) {
            (last.body, last.end) = (body, end);
        }
        self.is_open = false;
    }
}

/// A BEGIN or END mark, which may begin or end a block.
#[derive(Debug)]
struct Mark<'a> {
    is_begin: bool,
    start: usize,
    /// `None` if the label is not printable or not followed by dashes.
    label: Option<&'a [u8]>,
    end: usize,
}

/// Returns the first mark in this part of a line.
fn mark(text: &[u8], from: usize, to: usize) -> Option<Mark<'_>> {
    let dashes = part(text, from, to).iter().enumerate().filter(|(_, byte)| **byte == b'-');
    dashes.map(|(offset, _)| from + offset).find_map(|start| {
        let rest = part(text, start, to);
        let is_begin = rest.starts_with(BEGIN);
        if !is_begin && !rest.starts_with(END) {
            return None;
        }
        let label_start = start + if is_begin { BEGIN.len() } else { END.len() };
        let limit = to.min(label_start + MAX_LABEL + DASHES.len());
        let window = part(text, label_start, limit);
        let len = window.windows(DASHES.len()).position(|window| window == DASHES);
        let label = len.and_then(|len| window.get(..len));
        let label = label.filter(|label| label.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let end = label.map_or(label_start, |label| label_start + label.len() + DASHES.len());
        Some(Mark { is_begin, start, label, end })
    })
}

#[cfg(test)]
mod tests;
