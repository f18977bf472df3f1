//! `inventory`: which programs used which crypto libraries and files.

mod from;
mod record;
mod stream;

use std::fs;

use crate::cli::{InventoryAction, InventoryCommand, InventoryRecord};
use crate::error::Failure;
use crate::users::Users;
use crypto_tracer_output::document::{Host, Inventory};
use crypto_tracer_pipeline::{InventoryFacts, UserNames};
use crypto_tracer_reader::Spawner;
use crypto_tracer_system::console::Console;

/// Maximum size of `os-release` in bytes.
const MAX_OS_RELEASE: u64 = 64 << 10;

/// Runs the subcommand. `spawner`: starts the process that starts readers.
pub(super) fn inventory(
    arguments: &InventoryCommand,
    spawner: impl FnOnce() -> Result<Spawner, Failure>,
    console: Console,
) -> Result<(), Failure> {
    match &arguments.command {
        InventoryAction::Record(arguments) => match &arguments.from {
            Some(path) => from::record(arguments, path, console),
            None => record::record(arguments, spawner()?, console),
        },
    }
}

/// Returns whether the subcommand runs without privileges.
pub(super) fn needs_no_privileges(arguments: &InventoryCommand) -> bool {
    match &arguments.command {
        InventoryAction::Record(arguments) => arguments.from.is_some(),
    }
}

/// Facts about a run of which only its options are known.
fn facts(arguments: &InventoryRecord, host: Host) -> InventoryFacts {
    InventoryFacts {
        host,
        probes: Vec::new(),
        blind_spots: Vec::new(),
        unreadable_processes: 0,
        users: user_names(!arguments.print.no_redact),
    }
}

fn user_names(redact: bool) -> UserNames {
    let users = Users::read();
    Box::new(move |uid| users.name(uid, redact))
}

/// Returns the name and version of the distribution.
fn os_name() -> Option<String> {
    let read = |path| {
        let file = fs::File::open(path).ok()?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_OS_RELEASE), &mut text)
            .ok()?;
        Some(text)
    };
    pretty_name(&read("/etc/os-release").or_else(|| read("/usr/lib/os-release"))?)
}

/// Returns `PRETTY_NAME` of an `os-release`.
fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim();
    let unquoted = value.trim_matches(['"', '\'']);
    (!unquoted.is_empty()).then(|| unquoted.to_owned())
}

/// Reports what is missing in the document.
fn report_missing(inventory: &Inventory, console: Console) {
    for missing in inventory.coverage.missing() {
        console.info(format_args!("not complete: {missing}"));
    }
}

#[cfg(test)]
mod tests {
    use super::pretty_name;

    #[test]
    fn the_name_of_the_distribution_is_unquoted() {
        let text = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n";
        assert_eq!(pretty_name(text).as_deref(), Some("Debian GNU/Linux 13 (trixie)"));
        assert_eq!(pretty_name("PRETTY_NAME=x").as_deref(), Some("x"));
        assert_eq!(pretty_name("PRETTY_NAME=\nID=x"), None);
    }
}
