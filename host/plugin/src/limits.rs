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

impl Limits {
    /// Each limit as `[plugins]` of the configuration says it: its key, and its value.
    pub fn settings(&self) -> [(&'static str, String); 11] {
        let ms = |span: Duration| span.as_millis().to_string();
        [
            ("memory", size(self.memory)),
            ("table_entries", self.table_entries.to_string()),
            ("handles", self.handles.to_string()),
            ("stack", size(self.stack)),
            ("deadline_ms", ms(self.deadline)),
            ("wall_ms", ms(self.wall)),
            ("setup_ms", ms(self.setup)),
            ("copied", size(self.copied)),
            ("text", size(self.text)),
            ("component", size(self.component)),
            ("log_lines", self.log_lines.to_string()),
        ]
    }

    /// What differs from these, a line for each.
    pub(super) fn changes(&self, before: &Limits) -> impl Iterator<Item = String> {
        let both = self.settings().into_iter().zip(before.settings());
        let changed = both.filter(|(now, then)| now != then);
        changed.map(|((key, now), (_, then))| format!("now {key} is {now}, it was {then}"))
    }
}

fn size(bytes: usize) -> String {
    match (bytes >> 20, bytes >> 10) {
        (mib, _) if bytes == mib << 20 => format!("\"{mib}MiB\""),
        (_, kib) if bytes == kib << 10 => format!("\"{kib}KiB\""),
        _ => bytes.to_string(),
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
pub(super) struct MemoryMeter {
    memory: usize,
    most_memory: usize,
    most_entries: usize,
}

impl MemoryMeter {
    pub(super) fn new(limits: &Limits) -> MemoryMeter {
        MemoryMeter { memory: 0, most_memory: limits.memory, most_entries: limits.table_entries }
    }

    /// Bytes of all memories together.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

// An error and not `Ok(false)`: it comes out as it is, where a guest that gets -1 only traps somehow.
impl ResourceLimiter for MemoryMeter {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_otherwise_is_told_as_the_configuration_says_it() {
        let before = Limits::default();
        let wall = Duration::from_millis(160);
        let after = Limits { memory: 17 << 20, copied: 5 << 10, text: 7, wall, ..before.clone() };
        let changes: Vec<String> = after.changes(&before).collect();
        let told = [
            "now memory is \"17MiB\", it was \"16MiB\"",
            "now wall_ms is 160, it was 150",
            "now copied is \"5KiB\", it was \"256KiB\"",
            "now text is 7, it was \"64KiB\"",
        ];
        assert_eq!(changes, told);
        assert_eq!(before.changes(&before).count(), 0);
    }

    /// Each limit that can be set, with its key and its value by default, and no other key.
    #[test]
    fn the_guide_has_them_all() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        let (_, table) = guide.split_once("| what | how much | in `[plugins]` |\n").unwrap();
        let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
        let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        let written = cells.filter(|cells| !cells[3].is_empty()).map(|cells| {
            let key = cells[3].trim_matches('`').to_owned();
            let (value, unit) = cells[2].split_once([',', ' ']).unwrap_or((cells[2], ""));
            let unit = unit.split([',', ' ']).next().unwrap();
            let value = match unit {
                "MiB" | "KiB" => format!("\"{value}{unit}\""),
                "s" => format!("{value}000"),
                thousands if thousands.len() == 3 => format!("{value}{thousands}"),
                _ => value.to_owned(),
            };
            (key, value)
        });
        let limits = Limits::default().settings().map(|(key, value)| (key.to_owned(), value));
        assert_eq!(written.collect::<Vec<_>>(), limits);
    }
}
