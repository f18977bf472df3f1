//! The stages of crypto-tracer in their order, for live runs and recordings.
//!
//! [`Pipeline::process`] is the list: decode, sort, enrich, select, read heads, classify, filter, redact, emit.

mod coverage;
pub mod enrich;
mod family;
pub mod glob;
mod head_recording;
mod heads;
mod inventory_collector;
mod losses;
mod missing_heads;
mod observer;
mod pipeline;
mod plugin_stages;
mod profile_collector;
mod reader_events;
#[cfg(test)]
mod recorded_tests;
mod recorder;
pub mod recording;
mod redaction;
mod reload;
mod replay;
pub mod select;
mod session;
mod snapshot;
mod stale;
pub mod stats;
mod status;
mod target_watch;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use coverage::RecordingCoverage;
pub use family::Family;
use head_recording::HeadLog;
pub use head_recording::{MissingHeads, RecordedHeads, RecordingHeads};
pub use heads::{HeadReader, LiveReader, ProcessInspector, Reader};
pub use inventory_collector::{
    InventoryCollector, InventoryCounters, InventoryFacts, InventorySink, UserNames,
};
pub use observer::Observer;
pub use pipeline::{Pipeline, Scratch};
pub use plugin_stages::PluginStages;
pub use profile_collector::{ProfileCollector, ProfileTarget};
pub use reader_events::register_reader;
pub use recorder::Recorder;
pub use redaction::Redaction;
pub use reload::{OutputSettings, Reload, Reloaded, Reloader, Reopen};
pub use replay::{Replayed, replay};
pub use session::{EndReason, RunOutcome, Session};
pub use snapshot::Snapshot;
pub use stale::StaleTracker;
pub use status::StatusSchedule;
pub use target_watch::TargetWatch;
