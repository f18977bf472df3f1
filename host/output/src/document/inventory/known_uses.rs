//! What an inventory knows, to find what is new.

use std::collections::HashSet;

use super::{Id, Inventory};
use crypto_tracer_event::{RedactedEvent, RedactedText, RedactedWhat};

/// The pairs of program and library or file that an inventory has.
#[derive(Clone, Debug, Default)]
pub struct KnownUses(HashSet<(Id, Id)>);

impl KnownUses {
    /// Takes the uses of an inventory.
    pub fn new(inventory: &Inventory) -> KnownUses {
        KnownUses(inventory.uses.iter().map(|it| (it.program, it.target)).collect())
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the event is a load or an open that the inventory does not have. Other events are not new: an inventory
    /// says nothing about them.
    pub fn is_new(&self, event: &RedactedEvent) -> bool {
        let target = match event.what() {
            RedactedWhat::LibLoad { file, .. } => Id::library(file.path.as_str()),
            RedactedWhat::FileOpen { file, .. } => Id::file(file.path.as_str()),
            RedactedWhat::Exec { .. } | RedactedWhat::Exit { .. } => return false,
        };
        let process = event.process();
        let (exe, name) = (process.exe.as_ref().map(RedactedText::as_str), process.name.as_str());
        // An inventory of a stream without executables has the names only.
        let programs = [Id::program(exe, name), Id::program(None, name)];
        !programs.iter().any(|program| self.0.contains(&(*program, target)))
    }
}
