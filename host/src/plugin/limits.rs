//! How much a plugin may take.

use std::time::Duration;

use wasmtime::{Error, ResourceLimiter, Result};

/// Bytes that a component's file may have by default.
pub(super) const DEFAULT_COMPONENT: usize = 4 << 20;

/// The limits of every plugin, each for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: usize,
    /// Entries of tables of functions, each table for itself.
    pub table_entries: usize,
    /// Handles of resources that live at the same time.
    pub handles: usize,
    /// Bytes of stack.
    pub stack: usize,
    /// Processor time of a call, beyond the 5 to 10 ms until it is looked at for the first time.
    pub deadline: Duration,
    /// Time on the wall of a call, without what the host itself needs for an answer, nor what a call needs that only
    /// waited for a processor.
    pub wall: Duration,
    /// Time to instantiate and configure, of the processor, and on the wall unless `wall` is longer.
    pub setup: Duration,
    /// Bytes that one call or answer may hand over.
    pub copied: usize,
    /// Bytes of a text: a redactor's answer, a message.
    pub text: usize,
    /// Bytes of a component's file.
    pub component: usize,
    /// Lines of log in a second.
    pub log_lines: u32,
}

impl Limits {
    /// The same where equal questions have to get equal answers: time on the wall depends on what else the machine does,
    /// so the processor's decides alone.
    #[must_use]
    pub fn by_processor(self) -> Limits {
        let wall = self.wall.max(self.setup).max(Duration::from_secs(10));
        Limits { wall, ..self }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 16 << 20,
            table_entries: 10_000,
            handles: 64,
            stack: super::engine::DEFAULT_STACK,
            deadline: Duration::from_millis(20),
            wall: Duration::from_millis(150),
            setup: Duration::from_secs(1),
            copied: 256 << 10,
            text: 64 << 10,
            component: DEFAULT_COMPONENT,
            log_lines: 10,
        }
    }
}

/// A plugin wanted more than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("wants {wanted} bytes of memory, {most} are allowed")]
    Memory { wanted: usize, most: usize },
    #[error("wants a table of {wanted} entries, {most} are allowed")]
    Table { wanted: usize, most: usize },
}

/// What one instance holds: all its memories together.
#[derive(Debug)]
pub(super) struct Holds {
    memory: usize,
    most_memory: usize,
    most_entries: usize,
}

impl Holds {
    pub(super) fn new(limits: &Limits) -> Holds {
        Holds { memory: 0, most_memory: limits.memory, most_entries: limits.table_entries }
    }

    /// Bytes of all memories together.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

// An error and not `Ok(false)`: it comes out as it is, where a guest that gets -1 only traps somehow.
impl ResourceLimiter for Holds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let wanted = self.memory.saturating_sub(current).saturating_add(desired);
        if wanted > self.most_memory {
            return Err(Error::new(Exceeded::Memory { wanted, most: self.most_memory }));
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired > self.most_entries {
            return Err(Error::new(Exceeded::Table { wanted: desired, most: self.most_entries }));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        4
    }

    fn tables(&self) -> usize {
        16
    }
}
