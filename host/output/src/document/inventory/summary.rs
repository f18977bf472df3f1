//! The inventory as text for people.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Coverage, Host, Id, Inventory, Use};
use crate::document::{Document, stale_text};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;

impl Host {
    fn summary(&self) -> String {
        let text = |text: &Option<String>| {
            text.as_deref().map_or_else(|| "?".to_owned(), |text| printable(text).to_string())
        };
        format!("{} (Linux {}, {})", text(&self.hostname), text(&self.kernel), text(&self.os))
    }
}

impl Coverage {
    /// Returns a description of each kind of missing data; empty if the inventory is complete.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (cause, &count) in self.lost_by_cause.iter().filter(|(_, count)| **count > 0) {
            missing.push(format!("{} lost: {}", counted(count, "event"), printable(cause)));
        }
        let processes = self.unreadable_processes;
        if processes > 0 {
            missing.push(format!("{} could not be read completely", counted(processes, "process")));
        }
        missing.extend(self.blind_spots.iter().map(|spot| printable(spot).to_string()));
        let not = &self.not_listed;
        for (count, what) in [
            (not.programs, "program"),
            (not.libraries, "library"),
            (not.files, "file"),
            (not.certificates, "certificate"),
            (not.uses, "use"),
        ] {
            if count > 0 {
                missing.push(format!("{} not listed", counted(count, what)));
            }
        }
        missing
    }
}

impl Document for Inventory {
    fn summary(&self) -> String {
        let mut text = String::new();
        let hosts = self.host.iter().chain(self.hosts.iter().map(|merged| &merged.host));
        for host in hosts {
            let _ = writeln!(text, "{}", host.summary());
        }
        let _ = writeln!(
            text,
            "{} to {}: {}, {}, {}, {}",
            self.window.from.0,
            self.window.to.0,
            counted(self.programs.len(), "program"),
            counted(self.libraries.len(), "library"),
            counted(self.files.len(), "file"),
            counted(self.uses.len(), "use"),
        );
        for missing in self.coverage.missing() {
            let _ = writeln!(text, "not complete: {missing}");
        }
        let names = names(self);
        let mut uses = self.uses.as_slice();
        while let Some(first) = uses.first() {
            let program = first.program;
            let end = uses.partition_point(|it| it.program <= program);
            let (of_program, others) = uses.split_at(end);
            let name = names.get(&program).map_or("?", String::as_str);
            let _ = writeln!(text, "\n{name}");
            for it in of_program {
                write_use(&mut text, it, names.get(&it.target).map_or("?", String::as_str));
            }
            uses = others;
        }
        text
    }
}

fn write_use(text: &mut String, it: &Use, target: &str) {
    let _ = write!(text, "  {:>6}x {:<11}{target}", it.count, it.modes);
    text.push_str(&stale_text(it.stale));
    text.push('\n');
}

/// Describes each program, library and file.
fn names(inventory: &Inventory) -> HashMap<Id, String> {
    let mut names = HashMap::new();
    for program in &inventory.programs {
        let exe = program.exe.as_deref().unwrap_or("?");
        let processes = counted(program.processes, "process");
        let name = format!("{}, {} ({processes})", printable(&program.name), printable(exe));
        names.insert(program.id, name);
    }
    for library in &inventory.libraries {
        let version = library.version.as_ref().map(|it| format!(" ({})", printable(it)));
        let path = printable(&library.path);
        let name = format!("{:<12} {path}{}", "library", version.unwrap_or_default());
        names.insert(library.id, name);
    }
    for file in &inventory.files {
        let name = format!("{:<12} {}", printable(&file.r#type), printable(&file.path));
        names.insert(file.id, name);
    }
    names
}
