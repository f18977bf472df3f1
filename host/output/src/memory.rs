//! An in-memory output, for tests only.

use std::future::{Future, ready};
use std::time::Instant;

use super::Output;
use crypto_tracer_event::{Notice, RedactedEvent};

/// Collects every event and every notice, in order.
#[derive(Debug, Default)]
pub struct MemoryOutput {
    /// Events that passed all stages.
    pub events: Vec<RedactedEvent>,
    /// Notices of the tracer itself.
    pub notices: Vec<Notice>,
}

impl Output for MemoryOutput {
    type Finished = MemoryOutput;

    fn event(&mut self, event: &RedactedEvent) -> bool {
        self.events.push(event.clone());
        false
    }

    fn notice(&mut self, notice: &Notice) -> bool {
        self.notices.push(notice.clone());
        false
    }

    fn flush(&mut self) -> impl Future<Output = ()> {
        ready(())
    }

    fn finish(self, _deadline: Instant) -> MemoryOutput {
        self
    }
}
