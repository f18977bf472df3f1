//! An output that keeps events, for a command that compares or rewrites them.

use std::cell::RefCell;
use std::rc::Rc;

use super::Output;
use super::json::Json;
use crypto_tracer_event::{Notice, RedactedEvent};

/// Maximum number of events that are kept.
const MAX_EVENTS: usize = 200_000;
/// Maximum size of their lines, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// Keeps events, up to a bound. Clones share them: one is the pipeline's output, one stays with the command.
#[derive(Clone, Debug)]
pub struct Collector(Rc<RefCell<Inner>>);

/// The events of a run.
#[derive(Debug, Default)]
pub struct Collected {
    /// Each event with its line of JSON, in order.
    pub events: Vec<(RedactedEvent, String)>,
    /// Number of further events, which exceeded the bound.
    pub more: u64,
}

#[derive(Debug)]
struct Inner {
    json: Json,
    collected: Collected,
    bytes: usize,
}

impl Collector {
    /// `extended`: whether the lines have the fields of `--extended`.
    pub fn new(extended: bool) -> Collector {
        let (json, collected) = (Json::lines(extended), Collected::default());
        Collector(Rc::new(RefCell::new(Inner { json, collected, bytes: 0 })))
    }

    /// Takes the events so far.
    pub fn take(&self) -> Collected {
        std::mem::take(&mut self.0.borrow_mut().collected)
    }
}

impl Output for Collector {
    fn event(&mut self, event: &RedactedEvent) -> bool {
        let Inner { json, collected, bytes } = &mut *self.0.borrow_mut();
        if collected.events.len() >= MAX_EVENTS || *bytes >= MAX_BYTES {
            collected.more += 1;
            return false;
        }
        let mut line = Vec::new();
        json.event(event, &mut line);
        *bytes += line.len();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        collected.events.push((event.clone(), line));
        false
    }

    fn notice(&mut self, _notice: &Notice) -> bool {
        false
    }
}
