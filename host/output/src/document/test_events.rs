//! Builders of the events that documents take. For tests only.

use crypto_tracer_event::testkit::{self, HideHomes, enriched, loads, opens, process};
use crypto_tracer_event::{ClassifiedEvent, EnrichedWhat, FileType, RedactedEvent};

pub(super) fn classified(
    at: i64,
    what: EnrichedWhat,
    file_type: Option<FileType>,
) -> ClassifiedEvent {
    testkit::classified(enriched(at, process(7, ""), what), file_type)
}

pub(super) fn open(at: i64, path: &str, flags: u32, file_type: FileType) -> ClassifiedEvent {
    classified(at, opens(path, flags), Some(file_type))
}

pub(super) fn load(at: i64, path: &str) -> ClassifiedEvent {
    classified(at, loads(path), None)
}

/// Returns the event with redacted home directories.
pub(super) fn redacted(event: ClassifiedEvent) -> RedactedEvent {
    RedactedEvent::new(event, &mut HideHomes, false)
}
