//! Writes [`RedactedEvent`](crypto_tracer_event::RedactedEvent)s to a file, a pipe or a terminal. Nothing else about a
//! traced process leaves the program.
//!
//! Every kind of output implements [`Output`]: a [`Stream`] of events in a [`Format`], or a [`document`].

mod chunk;
mod collector;
pub mod document;
mod document_target;
mod escaped;
mod json;
#[cfg(any(test, feature = "testkit"))]
pub mod memory;
mod object;
mod output;
pub mod schema;
mod stream;
mod table;
mod target;
mod writer;

#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod table_tests;

pub use chunk::Chunk;
pub use collector::{Collected, Collector};
pub use document_target::{DocumentShape, DocumentTarget, WriteError, json as document_json};
pub use output::{Discard, Flush, Output, OutputControl};
pub use stream::{Format, Stream};
pub use table::TableStyle;
pub use target::{NewFile, OpenError, Target};
pub use writer::{BUFFER_BYTES, Writer, WriterReport};

/// JSON Schema of the objects in a stream.
fn stream_schema(generator: schemars::SchemaGenerator) -> schemars::Schema {
    generator.into_root_schema_for::<object::Object<'static>>()
}
