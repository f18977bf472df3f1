//! [`RedactedEvent`] → bytes in a file or a pipe. Nothing else about a traced process gets out.

mod chunk;
pub mod document;
mod document_target;
mod escaped;
mod json;
mod object;
pub mod schema;
mod table;
mod target;
mod writer;

#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod table_tests;

pub use chunk::Chunk;
pub use document_target::{DocumentShape, DocumentTarget, WriteError, json as document_json};
pub use table::TableStyle;
pub use target::{NewFile, OpenError, Target};
pub use writer::{BUFFER_BYTES, Writer, WriterReport};

/// Schema of the objects of a stream.
pub fn schema(generator: schemars::SchemaGenerator) -> schemars::Schema {
    generator.into_root_schema_for::<object::Object<'static>>()
}

use crypto_tracer_event::{Notice, RedactedEvent};

/// How a stream is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One compact object a line.
    #[default]
    JsonStream,
    /// An array of compact objects.
    JsonArray,
    /// An array of indented objects.
    JsonPretty,
    /// Columns for people.
    Table(TableStyle),
}

impl Format {
    /// Whether a file of an earlier run can be written on: lines can, an array cannot.
    pub fn appends(self) -> bool {
        matches!(self, Format::JsonStream | Format::Table(_))
    }

    fn render(self, extended: bool) -> Render {
        match self {
            Format::JsonStream => Render::Json(json::Json::lines(extended)),
            Format::JsonArray => Render::Json(json::Json::array(extended, false)),
            Format::JsonPretty => Render::Json(json::Json::array(extended, true)),
            Format::Table(look) => Render::Table(table::Table::new(look)),
        }
    }
}

/// Turns events into bytes.
#[derive(Debug)]
enum Render {
    Json(json::Json),
    Table(table::Table),
}

/// A stream of events on its way to its target.
#[derive(Debug)]
pub struct Output {
    render: Render,
    pending: Chunk,
    writer: Writer,
}

impl Output {
    /// Starts the writer's thread. `extended`: with the fields of `--extended`.
    pub fn start(target: Target, format: Format, extended: bool) -> std::io::Result<Output> {
        let render = format.render(extended);
        let ends = match &render {
            Render::Json(json) => json.ends(),
            Render::Table(_) => chunk::Trailer::NONE,
        };
        let writer = Writer::start(target, ends)?;
        Ok(Output { render, pending: writer.spare(), writer })
    }

    /// Adds one event to what is pending.
    pub fn event(&mut self, event: &RedactedEvent) {
        self.pending.add(true, |out| match &mut self.render {
            Render::Json(json) => json.event(event, out),
            Render::Table(table) => table.event(event, out),
        });
    }

    /// Adds word of the tracer itself to what is pending.
    pub fn notice(&mut self, notice: &Notice) {
        self.pending.add(false, |out| match &mut self.render {
            Render::Json(json) => json.notice(notice, out),
            Render::Table(table) => table.notice(notice, out),
        });
    }

    /// Whether so much is pending that [`Output::flush`] should come before the next event.
    pub fn is_full(&self) -> bool {
        self.pending.is_full()
    }

    /// Hands what is pending to the writer; waits while the writer's buffer is full. Dropped while it waits, it
    /// keeps what is pending.
    pub async fn flush(&mut self) {
        if !self.pending.is_empty() {
            let place = self.writer.reserve().await;
            place.send(std::mem::replace(&mut self.pending, self.writer.spare()));
        }
    }

    /// Starts a writer's thread alone, for bytes that are rendered elsewhere.
    pub fn raw_writer(target: Target) -> std::io::Result<Writer> {
        Writer::unbuffered(target, chunk::Trailer::NONE)
    }

    /// Ends what was written so far and goes on in another file, from its beginning.
    pub async fn reopen(&mut self, target: Target) {
        self.flush().await;
        match &mut self.render {
            Render::Json(json) => json.restart(),
            Render::Table(table) => table.restart(),
        }
        self.writer.reserve().await.reopen(target);
    }

    /// The writer, to watch it.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Ends the stream: what is pending is written until `deadline`.
    pub fn finish(self, deadline: std::time::Instant) -> WriterReport {
        self.writer.finish(self.pending, deadline)
    }
}
