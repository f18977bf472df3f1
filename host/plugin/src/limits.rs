//! Resource limits of plugins.

use std::time::Duration;

use wasmtime::{Error, ResourceLimiter, Result};

/// Default limit for the size of a component's file, in bytes.
pub(super) const DEFAULT_COMPONENT: usize = 4 << 20;

/// Limits that apply to each plugin separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: usize,
    /// Entries of each table.
    pub table_entries: usize,
    /// Resource handles that exist at the same time.
    pub handles: usize,
    /// Core instances of a component. A component with an interpreter has one for each of its parts.
    pub instances: usize,
    /// Bytes of stack.
    pub stack: usize,
    /// Processor time of a call after its first check, which happens after 5 to 10 ms.
    pub deadline: Duration,
    /// Wall time of a call, without the time that the host needs. A call that only waits for a processor may exceed it.
    pub wall: Duration,
    /// Processor time to instantiate and configure. The wall time has the same limit, or `wall` if that is longer.
    pub setup: Duration,
    /// Bytes that one call copies between the plugin and the host.
    pub copied: usize,
    /// Bytes of a text, such as the answer of a redactor.
    pub text: usize,
    /// Size of a component's file in bytes.
    pub component: usize,
    /// Log lines in a second.
    pub log_lines: u32,
}

impl Limits {
    /// These limits with a wall time that processor time always reaches first. Wall time depends on the load of the machine,
    /// so reproducible results need this.
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
            instances: 16,
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
    /// Each limit as key and value of the configuration table `[plugins]`.
    pub fn settings(&self) -> [(&'static str, String); 12] {
        let ms = |span: Duration| span.as_millis().to_string();
        [
            ("memory", size(self.memory)),
            ("table_entries", self.table_entries.to_string()),
            ("handles", self.handles.to_string()),
            ("instances", self.instances.to_string()),
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

    /// One line for each limit that differs from `before`.
    pub(super) fn changes(&self, before: &Limits) -> impl Iterator<Item = String> {
        let pairs = self.settings().into_iter().zip(before.settings());
        let changed = pairs.filter(|(now, then)| now != then);
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

/// A plugin exceeded a limit of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("needs {wanted} bytes of memory, {limit} are allowed")]
    Memory { wanted: usize, limit: usize },
    #[error("needs a table of {wanted} entries, {limit} are allowed")]
    Table { wanted: usize, limit: usize },
}

/// Limits the memories and tables of one instance, and counts the bytes of all its memories.
#[derive(Debug)]
pub(super) struct MemoryMeter {
    memory: usize,
    max_memory: usize,
    max_entries: usize,
    max_instances: usize,
}

impl MemoryMeter {
    pub(super) fn new(limits: &Limits) -> MemoryMeter {
        MemoryMeter {
            memory: 0,
            max_memory: limits.memory,
            max_entries: limits.table_entries,
            max_instances: limits.instances,
        }
    }

    /// Bytes of all memories.
    pub(super) fn bytes(&self) -> usize {
        self.memory
    }
}

// Returns an error instead of `Ok(false)`: the error reaches the caller unchanged, while a guest that gets -1 from
// `memory.grow` traps with an unspecific error.
impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let wanted = self.memory.saturating_sub(current).saturating_add(desired);
        if wanted > self.max_memory {
            return Err(Error::new(Exceeded::Memory { wanted, limit: self.max_memory }));
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
        if desired > self.max_entries {
            return Err(Error::new(Exceeded::Table { wanted: desired, limit: self.max_entries }));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.max_instances
    }

    fn memories(&self) -> usize {
        4
    }

    fn tables(&self) -> usize {
        self.max_instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_reported_as_settings_of_the_configuration() {
        let before = Limits::default();
        let wall = Duration::from_millis(160);
        let after = Limits { memory: 17 << 20, copied: 5 << 10, text: 7, wall, ..before.clone() };
        let changes: Vec<String> = after.changes(&before).collect();
        let expected = [
            "now memory is \"17MiB\", it was \"16MiB\"",
            "now wall_ms is 160, it was 150",
            "now copied is \"5KiB\", it was \"256KiB\"",
            "now text is 7, it was \"64KiB\"",
        ];
        assert_eq!(changes, expected);
        assert_eq!(before.changes(&before).count(), 0);
    }

    /// The guide lists each limit with its key and its default, and no other key.
    #[test]
    fn the_guide_lists_all_limits() {
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
