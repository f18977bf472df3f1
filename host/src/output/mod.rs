//! [`RedactedEvent`] → bytes in a file or a pipe. Nothing else about a traced process gets out.

mod json;
mod target;
mod writer;

pub use target::{OpenError, Target};
pub use writer::{Chunk, Ended, Writer};

use crate::event::{Notice, RedactedEvent};

/// Bytes gathered before they are handed to the writer.
const CHUNK_BYTES: usize = 64 << 10;

/// How a stream is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One compact object a line.
    #[default]
    JsonStream,
}

/// A stream of events on its way to its target.
#[derive(Debug)]
pub struct Output {
    json: json::Json,
    pending: Chunk,
    writer: Writer,
}

impl Output {
    /// Starts the writer's thread. `extended`: with the fields of `--extended`.
    pub fn start(target: Target, format: Format, extended: bool) -> std::io::Result<Output> {
        let Format::JsonStream = format;
        let writer = Writer::start(target)?;
        Ok(Output { json: json::Json::new(extended), pending: Chunk::default(), writer })
    }

    /// Adds one event to what is pending.
    pub fn event(&mut self, event: &RedactedEvent) {
        self.json.event(event, &mut self.pending.bytes);
        self.pending.events += 1;
    }

    /// Adds word of the tracer itself to what is pending.
    pub fn notice(&mut self, notice: &Notice) {
        self.json.notice(notice, &mut self.pending.bytes);
    }

    /// Whether so much is pending that [`Output::flush`] should come before the next event.
    pub fn is_full(&self) -> bool {
        self.pending.bytes.len() >= CHUNK_BYTES
    }

    /// Hands what is pending to the writer; waits while the writer's buffer is full. Dropped while it waits, it
    /// keeps what is pending.
    pub async fn flush(&mut self) {
        if !self.pending.bytes.is_empty() {
            let place = self.writer.reserve().await;
            place.send(std::mem::take(&mut self.pending));
        }
    }

    /// The writer, to watch it.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Ends the stream: what is pending is written until `deadline`.
    pub fn finish(self, deadline: std::time::Instant) -> Ended {
        self.writer.finish(self.pending, deadline)
    }
}
