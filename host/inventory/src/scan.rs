//! Pulls values out of JSON text piece by piece. Memory is bounded by the largest value that a caller asks for, not by the
//! size of the text. The values themselves are checked by `serde_json`; this file finds where they begin and end.

use std::io::Read;

use memchr::{memchr_iter, memchr2};
use serde::Deserialize;

use crate::error::{InputError, Position};

/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Maximum size of one value in bytes. The largest value of an inventory is a file with its certificates.
pub(crate) const MAX_VALUE: usize = 16 << 20;
/// Maximum nesting of arrays and objects.
pub(crate) const MAX_DEPTH: usize = 64;

type Result<T> = std::result::Result<T, InputError>;

/// Reads JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<R> {
    name: String,
    input: R,
    buffer: Vec<u8>,
    /// Offset of the next byte in `buffer`.
    next: usize,
    /// Number of bytes before `buffer`.
    discarded: u64,
    /// Number of line ends before `buffer`.
    lines: u64,
    /// Offset in the text of the first byte of the line at the start of `buffer`.
    line_start: u64,
    at_end: bool,
}

/// Counts brackets until a value ends.
#[derive(Default)]
struct ValueEnd {
    depth: usize,
    in_string: bool,
    /// The previous byte was a backslash in a string.
    escaped: bool,
    /// A number or a word has begun.
    in_word: bool,
}

enum Step {
    /// The value ends before this offset.
    Ended(usize),
    /// The value continues after the bytes seen.
    Continues,
    TooDeep(usize),
    /// A byte that cannot begin a value.
    Unexpected(usize),
}

impl ValueEnd {
    /// Looks for the end of the value in `bytes`.
    fn search(&mut self, bytes: &[u8]) -> Step {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                    at += 1;
                    continue;
                }
                let rest = bytes.get(at..).unwrap_or_default();
                let Some(found) = memchr2(b'"', b'\\', rest) else { return Step::Continues };
                at += found + 1;
                if rest.get(found) == Some(&b'\\') {
                    self.escaped = true;
                    continue;
                }
                self.in_string = false;
                if self.depth == 0 {
                    return Step::Ended(at);
                }
                continue;
            }
            if self.in_word {
                if matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\r' | b'\n') {
                    self.in_word = false;
                    if self.depth == 0 {
                        return Step::Ended(at);
                    }
                    continue;
                }
                at += 1;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Step::TooDeep(at);
                    }
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Step::Ended(at + 1);
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b',' | b':' if self.depth > 0 => {}
                b',' | b':' | b'}' | b']' => return Step::Unexpected(at),
                _ => self.in_word = true,
            }
            at += 1;
        }
        Step::Continues
    }
}

impl<R: Read> Scanner<R> {
    pub(crate) fn new(name: &str, input: R) -> Scanner<R> {
        Scanner {
            name: name.to_owned(),
            input,
            buffer: Vec::new(),
            next: 0,
            discarded: 0,
            lines: 0,
            line_start: 0,
            at_end: false,
        }
    }

    /// Continues a text in the middle: `offset` is the offset of the first byte of `input`, `lines` and `line_start`
    /// describe its line.
    pub(crate) fn resume(name: &str, input: R, mark: Mark) -> Scanner<R> {
        let Mark { offset, lines, line_start } = mark;
        Scanner { discarded: offset, lines, line_start, ..Scanner::new(name, input) }
    }

    /// Returns the place of the next byte, for [`Scanner::resume`].
    pub(crate) fn mark(&self) -> Mark {
        self.mark_at(self.next)
    }

    /// Returns the place of a byte in the buffer.
    fn mark_at(&self, index: usize) -> Mark {
        let consumed = self.buffer.get(..index).unwrap_or_default();
        let line_start = match memchr::memrchr(b'\n', consumed) {
            Some(last) => self.discarded + last as u64 + 1,
            None => self.line_start,
        };
        let lines = self.lines + memchr_iter(b'\n', consumed).count() as u64;
        Mark { offset: self.discarded + index as u64, lines, line_start }
    }

    /// Returns the place of the next byte.
    pub(crate) fn position(&self) -> Position {
        self.mark().position()
    }

    /// Returns an error at the next byte.
    pub(crate) fn error(&self, problem: impl Into<String>) -> InputError {
        InputError::at(&self.name, self.position(), problem)
    }

    /// Reads more bytes. Returns whether there are any.
    fn fill(&mut self) -> Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let room = self.buffer.get_mut(length..).unwrap_or_default();
        let read = loop {
            match self.input.read(room) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.buffer.truncate(length);
                return Err(InputError::read(&self.name, error));
            }
        };
        self.buffer.truncate(length + read);
        self.at_end = read == 0;
        Ok(read > 0)
    }

    /// Removes the bytes before the next one.
    fn discard(&mut self) {
        let Mark { offset, lines, line_start } = self.mark();
        self.buffer.drain(..self.next);
        (self.next, self.discarded, self.lines, self.line_start) = (0, offset, lines, line_start);
    }

    /// Returns the next byte that is not white space, without consuming it.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let rest = self.buffer.get(self.next..).unwrap_or_default();
            match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
                Some(found) => {
                    self.next += found;
                    return Ok(self.buffer.get(self.next).copied());
                }
                None => {
                    self.next = self.buffer.len();
                    self.discard();
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Consumes the byte `wanted`, after white space.
    pub(crate) fn expect(&mut self, wanted: u8) -> Result<()> {
        match self.peek()? {
            Some(byte) if byte == wanted => {
                self.next += 1;
                Ok(())
            }
            found => Err(self.unexpected(found, &format!("`{}`", char::from(wanted)))),
        }
    }

    fn unexpected(&self, found: Option<u8>, wanted: &str) -> InputError {
        match found {
            None => self.error(format!("the file is cut off here: expected {wanted}")),
            Some(byte) if byte.is_ascii_graphic() => {
                self.error(format!("expected {wanted}, found `{}`", char::from(byte)))
            }
            Some(byte) => self.error(format!("expected {wanted}, found byte {byte:#04x}")),
        }
    }

    /// Moves over one value without keeping it.
    pub(crate) fn skip_value(&mut self) -> Result<()> {
        self.peek()?;
        let mut end = ValueEnd::default();
        loop {
            let rest = self.buffer.get(self.next..).unwrap_or_default();
            match end.search(rest) {
                Step::Ended(length) => {
                    self.next += length;
                    return Ok(());
                }
                Step::Continues => {
                    self.next = self.buffer.len();
                    self.discard();
                    if !self.fill()? {
                        return self.end_of_text(&end);
                    }
                }
                problem => return Err(self.value_error(&problem)),
            }
        }
    }

    /// A word may end with the text.
    fn end_of_text(&self, end: &ValueEnd) -> Result<()> {
        if end.in_word && end.depth == 0 { Ok(()) } else { Err(self.unexpected(None, "a value")) }
    }

    fn value_error(&mut self, problem: &Step) -> InputError {
        match problem {
            Step::TooDeep(at) => {
                self.next += at;
                self.error(format!("nested deeper than {MAX_DEPTH} levels"))
            }
            Step::Unexpected(at) => {
                self.next += at;
                self.unexpected(self.buffer.get(self.next).copied(), "a value")
            }
            Step::Ended(_) | Step::Continues => self.error("expected a value"),
        }
    }

    /// Finds the end of the next value. Returns its length; it starts at `self.next`.
    fn find_value(&mut self) -> Result<usize> {
        self.peek()?;
        self.discard();
        let mut end = ValueEnd::default();
        let mut seen = 0;
        loop {
            let rest = self.buffer.get(seen..).unwrap_or_default();
            match end.search(rest) {
                Step::Ended(length) => return Ok(seen + length),
                Step::Continues => {
                    seen = self.buffer.len();
                    if seen > MAX_VALUE {
                        return Err(self.error(format!("a value of over {MAX_VALUE} bytes")));
                    }
                    if !self.fill()? {
                        self.end_of_text(&end)?;
                        return Ok(seen);
                    }
                }
                problem => {
                    self.next = seen;
                    return Err(self.value_error(&problem));
                }
            }
        }
    }

    /// Consumes one value and deserialises it. `what` names it in errors.
    pub(crate) fn value<'a, T: Deserialize<'a>>(&'a mut self, what: &str) -> Result<T> {
        self.value_in(|| what.to_owned())
    }

    /// Like [`Scanner::value`], with a name that is made only for an error.
    pub(crate) fn value_in<'a, T: Deserialize<'a>>(
        &'a mut self,
        what: impl Fn() -> String,
    ) -> Result<T> {
        // Few bytes follow the value, so the buffer is moved rarely.
        let length = if self.value_in_buffer() { self.buffered_length() } else { None };
        let length = match length {
            Some(length) => length,
            None => self.find_value()?,
        };
        let begin = self.next;
        self.next += length;
        let text = self.buffer.get(begin..begin + length).unwrap_or_default();
        serde_json::from_slice(text).map_err(|error| {
            // Only here: counting lines for each value would read the buffer again and again.
            let start = self.mark_at(begin);
            let position = start.position_in(error.line() as u64, error.column() as u64);
            InputError::at(&self.name, position, format!("{}: {}", what(), message(&error)))
        })
    }

    fn value_in_buffer(&mut self) -> bool {
        matches!(self.peek(), Ok(Some(_)))
    }

    /// Length of the next value if the buffer has all of it.
    fn buffered_length(&self) -> Option<usize> {
        let rest = self.buffer.get(self.next..)?;
        match ValueEnd::default().search(rest) {
            Step::Ended(length) => Some(length),
            _ => None,
        }
    }

    /// Begins an object or an array.
    pub(crate) fn open(&mut self, bracket: u8) -> Result<()> {
        self.expect(bracket)
    }

    /// Moves to the next item of an array or an object. Returns `false` after the last.
    pub(crate) fn next_item(&mut self, first: bool, close: u8) -> Result<bool> {
        match self.peek()? {
            Some(byte) if byte == close => {
                self.next += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.next += 1;
                match self.peek()? {
                    Some(byte) if byte == close => Err(self.unexpected(Some(byte), "a value")),
                    _ => Ok(true),
                }
            }
            Some(_) if first => Ok(true),
            found => Err(self.unexpected(found, &format!("`,` or `{}`", char::from(close)))),
        }
    }

    /// Consumes the key of an object and its colon.
    pub(crate) fn key(&mut self) -> Result<String> {
        match self.peek()? {
            Some(b'"') => {}
            found => return Err(self.unexpected(found, "a name in quotes")),
        }
        let key: String = self.value("name")?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Checks that only white space follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(self.error("text after the end of the document")),
        }
    }
}

/// The message of an error of `serde_json`, without its place in the piece of text.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// A place in a text where reading can resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Offset in bytes.
    pub(crate) offset: u64,
    /// Number of line ends before.
    pub(crate) lines: u64,
    /// Offset of the first byte of the line.
    pub(crate) line_start: u64,
}

impl Mark {
    pub(crate) fn position(&self) -> Position {
        Position {
            line: self.lines + 1,
            column: self.offset - self.line_start.min(self.offset) + 1,
        }
    }

    /// Place of a line and column that are counted from this mark.
    fn position_in(&self, line: u64, column: u64) -> Position {
        let start = self.position();
        if line <= 1 {
            Position { line: start.line, column: start.column + column.saturating_sub(1) }
        } else {
            Position { line: start.line + line - 1, column }
        }
    }
}

#[cfg(test)]
mod tests;
