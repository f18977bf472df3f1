//! An output that keeps events in memory. For tests only.

use std::cell::RefCell;
use std::rc::Rc;

use super::Output;
use crypto_tracer_event::{Notice, RedactedEvent};

/// Keeps every event and every notice. Copies share them: one is the pipeline's output, one stays with the test.
#[derive(Clone, Debug, Default)]
pub struct MemoryOutput(Rc<RefCell<(Vec<RedactedEvent>, Vec<Notice>)>>);

impl MemoryOutput {
    /// Takes out the events and notices so far, in order.
    pub fn take(&self) -> (Vec<RedactedEvent>, Vec<Notice>) {
        self.0.take()
    }
}

impl Output for MemoryOutput {
    fn event(&mut self, event: &RedactedEvent) -> bool {
        self.0.borrow_mut().0.push(event.clone());
        false
    }

    fn notice(&mut self, notice: &Notice) -> bool {
        self.0.borrow_mut().1.push(notice.clone());
        false
    }
}
