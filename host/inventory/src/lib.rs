//! Works on finished inventory documents: merges them, compares them with what is known, exports and renders them.
//!
//! Every document is hostile input. Its types, and the rules that make it valid, are those of
//! [`crypto_tracer_output::document::inventory`].

mod cyclonedx_input;
mod diff;
mod error;
mod export;
mod header;
mod known;
mod merge;
mod report;
mod scan;
mod source;
#[cfg(test)]
mod testkit;

pub use diff::{
    AssetKind, DIFF_VERSION, Diff, JoinedBy, KnownDocument, NotCompared, UnusedAsset, UsedAsset,
    UsedDocument, Verdict, diff,
};
pub use error::{InputError, Position};
pub use export::{CycloneDxVersion, csv, cyclonedx};
pub use known::{Known, read_inventory};
pub use merge::{MergeError, MergeReport, Sink, TargetSink, merge};
pub use report::report;
pub use source::Source;

/// Returns the JSON Schemas of the documents of this crate, with their names.
pub fn schema() -> Vec<(&'static str, schemars::Schema)> {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    vec![("inventory-diff", settings.into_generator().into_root_schema_for::<Diff>())]
}
