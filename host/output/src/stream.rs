//! A stream of events into a file, a pipe or a terminal.

use std::sync::PoisonError;
use std::time::Instant;

use super::output::NextTarget;
use super::table::TableStyle;
use super::{
    Chunk, Direct, Flush, Output, OutputControl, Target, Writer, WriterReport, chunk, json, table,
};
use crypto_tracer_event::{Notice, RedactedEvent};

/// Format of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One compact object on each line.
    #[default]
    JsonStream,
    /// An array of compact objects.
    JsonArray,
    /// An array of indented objects.
    JsonPretty,
    /// A table with aligned columns.
    Table(TableStyle),
}

impl Format {
    /// Whether the file of an earlier run can be continued: lines can, an array cannot.
    pub fn appends(self) -> bool {
        matches!(self, Format::JsonStream | Format::Table(_))
    }

    fn render(self, extended: bool) -> Render {
        match self {
            Format::JsonStream => Render::Json(json::Json::lines(extended)),
            Format::JsonArray => Render::Json(json::Json::array(extended, false)),
            Format::JsonPretty => Render::Json(json::Json::array(extended, true)),
            Format::Table(style) => Render::Table(table::Table::new(style)),
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
pub struct Stream {
    render: Render,
    pending: Chunk,
    writer: Writer,
    next: NextTarget,
}

impl Stream {
    /// Starts the writer's thread. `extended`: with the fields of `--extended`. `direct`: this thread may write itself as
    /// long as the target takes everything at once.
    ///
    /// # Errors
    /// A thread cannot be started, or the target's file descriptor cannot be duplicated.
    pub fn start(
        target: Target,
        format: Format,
        extended: bool,
        direct: Option<Direct>,
    ) -> std::io::Result<Stream> {
        let render = format.render(extended);
        let trailer = match &render {
            Render::Json(json) => json.trailer(),
            Render::Table(_) => chunk::Trailer::NONE,
        };
        let writer = Writer::start(target, trailer, direct)?;
        Ok(Stream { render, pending: writer.spare(), writer, next: NextTarget::default() })
    }

    /// Returns the control of this stream's file descriptor.
    ///
    /// # Errors
    /// The file descriptor cannot be duplicated.
    pub fn control(&self) -> std::io::Result<OutputControl> {
        let pipe = self.writer.pipe()?;
        Ok(OutputControl::of_writer(pipe, self.writer.state(), self.next.clone()))
    }

    /// Writes pending data, or passes it to the writer's thread. Returns false if its queue is full.
    fn try_pass_on(&mut self) -> bool {
        if self.pending.is_empty() || self.writer.try_write(&mut self.pending) {
            return true;
        }
        let Some(slot) = self.writer.try_reserve() else { return false };
        slot.send(std::mem::replace(&mut self.pending, self.writer.spare()));
        true
    }

    async fn pass_on(&mut self) {
        if !self.pending.is_empty() {
            let slot = self.writer.reserve().await;
            slot.send(std::mem::replace(&mut self.pending, self.writer.spare()));
        }
        if self.is_reopening_due() {
            let slot = self.writer.reserve().await;
            // Taken after the await: if this future is dropped there, the reopening remains due.
            if let Some(target) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
                match &mut self.render {
                    Render::Json(json) => json.restart(),
                    Render::Table(table) => table.restart(),
                }
                slot.reopen(target);
            }
        }
    }

    fn is_reopening_due(&self) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Output for Stream {
    fn event(&mut self, event: &RedactedEvent) -> bool {
        self.pending.add(true, |out| match &mut self.render {
            Render::Json(json) => json.event(event, out),
            Render::Table(table) => table.event(event, out),
        });
        self.pending.is_full()
    }

    fn notice(&mut self, notice: &Notice) -> bool {
        self.pending.add(false, |out| match &mut self.render {
            Render::Json(json) => json.notice(notice, out),
            Render::Table(table) => table.notice(notice, out),
        });
        self.pending.is_full()
    }

    fn flush(&mut self) -> Option<Flush<'_>> {
        if self.try_pass_on() && !self.is_reopening_due() {
            return None;
        }
        Some(Box::pin(self.pass_on()))
    }

    fn finish(self: Box<Self>, deadline: Instant) -> WriterReport {
        self.writer.finish(self.pending, deadline)
    }
}
