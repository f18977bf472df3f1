//! Writes a merged document piece by piece.

use serde::Serialize;

use crypto_tracer_output::{DocumentShape, DocumentTarget, WriteError, compact_json, pretty_json};
use crypto_tracer_system::shutdown::Shutdown;

use super::MergeError;

/// Bytes that are written at once.
const CHUNK: usize = 1 << 20;

/// Receives the bytes of a document.
pub trait Sink {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// They cannot be written.
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError>;
}

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes to a file, a pipe or a terminal.
#[derive(Debug)]
pub struct TargetSink<'a> {
    /// Where to.
    pub target: &'a DocumentTarget,
    /// Ends a write to a blocked pipe.
    pub shutdown: &'a Shutdown,
}

impl Sink for TargetSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.target.write_part(bytes, self.shutdown)
    }
}

pub(super) struct Writer<'a> {
    sink: &'a mut dyn Sink,
    shape: DocumentShape,
    buffer: Vec<u8>,
    /// One value, before it is indented.
    value: Vec<u8>,
    fields: usize,
    items: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(sink: &'a mut dyn Sink, shape: DocumentShape) -> Writer<'a> {
        let begin: &[u8] = match shape {
            DocumentShape::Array => b"[\n{",
            DocumentShape::Line | DocumentShape::Pretty => b"{",
        };
        let buffer = begin.to_vec();
        Writer { sink, shape, buffer, value: Vec::new(), fields: 0, items: 0 }
    }

    fn name(&mut self, name: &str) -> Result<(), MergeError> {
        let comma = if self.fields > 0 { "," } else { "" };
        self.fields += 1;
        let text = match self.shape {
            DocumentShape::Pretty => format!("{comma}\n  \"{name}\": "),
            DocumentShape::Line | DocumentShape::Array => format!("{comma}\"{name}\":"),
        };
        self.buffer.extend_from_slice(text.as_bytes());
        self.flush(CHUNK)
    }

    /// Appends a value whose lines after the first are indented.
    fn value(&mut self, value: &impl Serialize, indent: &[u8]) -> Result<(), MergeError> {
        if self.shape != DocumentShape::Pretty {
            return compact_json(&mut self.buffer, value).map_err(MergeError::Serialize);
        }
        self.value.clear();
        pretty_json(&mut self.value, value).map_err(MergeError::Serialize)?;
        for (number, line) in self.value.split(|&byte| byte == b'\n').enumerate() {
            if number > 0 {
                self.buffer.push(b'\n');
                self.buffer.extend_from_slice(indent);
            }
            self.buffer.extend_from_slice(line);
        }
        Ok(())
    }

    pub(super) fn field(&mut self, name: &str, value: &impl Serialize) -> Result<(), MergeError> {
        self.name(name)?;
        self.value(value, b"  ")
    }

    pub(super) fn begin_list(&mut self, name: &str) -> Result<(), MergeError> {
        self.name(name)?;
        self.buffer.push(b'[');
        self.items = 0;
        Ok(())
    }

    pub(super) fn item(&mut self, value: &impl Serialize) -> Result<(), MergeError> {
        if self.items > 0 {
            self.buffer.push(b',');
        }
        self.items += 1;
        if self.shape == DocumentShape::Pretty {
            self.buffer.extend_from_slice(b"\n    ");
        }
        self.value(value, b"    ")?;
        self.flush(CHUNK)
    }

    pub(super) fn end_list(&mut self) -> Result<(), MergeError> {
        if self.items > 0 && self.shape == DocumentShape::Pretty {
            self.buffer.extend_from_slice(b"\n  ");
        }
        self.buffer.push(b']');
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<(), MergeError> {
        let end: &[u8] = match self.shape {
            DocumentShape::Pretty => b"\n}\n",
            DocumentShape::Line => b"}\n",
            DocumentShape::Array => b"}\n]\n",
        };
        self.buffer.extend_from_slice(end);
        self.flush(0)
    }

    fn flush(&mut self, room: usize) -> Result<(), MergeError> {
        if self.buffer.len() >= room {
            self.sink.write(&self.buffer).map_err(MergeError::Write)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// The whole document at once, for comparison.
#[cfg(test)]
pub(super) fn at_once(document: &impl Serialize, shape: DocumentShape) -> Vec<u8> {
    crypto_tracer_output::document_json(document, shape).unwrap_or_default()
}
