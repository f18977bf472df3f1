//! The types that pass between the pipeline's stages: one type for each arrow. No stage's logic is in this crate.
//!
//! ```text
//! kernel ─► RawRecord ─► KernelEvent ─► EnrichedEvent ─► ClassifiedEvent ─► RedactedEvent ─► output
//!        ring       decode        enrich  (select)     classify  (filter)    redact
//! ```

mod ancestor;
mod asset;
pub mod bounded;
mod buffers;
mod classified;
pub mod counted;
mod enriched;
mod fast_hash;
mod file_stat;
mod flags;
pub mod interest;
mod kernel;
mod notice;
mod payload;
mod pem_block;
pub mod printable;
mod redacted;
pub mod schema;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod text;

pub use ancestor::{Ancestor, MAX_ANCESTORS};
pub use asset::{Asset, RedactedAsset};
pub use buffers::Buffers;
pub use classified::{ClassifiedEvent, FileType, HeadOutcome, Label, Verdict};
pub use enriched::{EnrichedEvent, EnrichedWhat, ProcessFacts, Timestamp};
pub use fast_hash::{FastHash, fast_hash};
pub use file_stat::FileStat;
pub use flags::OpenFlags;
pub use kernel::{
    Arguments, Comm, KernelEvent, KernelPath, KernelWhat, OpenedFile, PathState, ProcessKey,
    RawRecord, is_settled,
};
pub use notice::{
    Loss, Notice, PluginFailure, PluginKind, Status, StatusMissingHeads, StatusPlugin, StatusProbe,
    StatusRecording,
};
pub use payload::{EventKinds, Payload};
pub use pem_block::{MAX_PEM_BLOCKS, PemBlock};
pub use redacted::{
    FileVerdict, PathIdentity, ProcessSummary, RedactedEvent, RedactedFacts, RedactedFile,
    RedactedProcess, RedactedWhat,
};
pub use text::{Field, Redact, RedactedText};
