//! Reads inventories that the command line names.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::error::{ExitStatus, Failure};
use crate::interruptible_read::Input;
use crypto_tracer_output::document::inventory::MAX_INVENTORY_BYTES;
use crypto_tracer_output::document::{Inventory, KnownUses};
use crypto_tracer_system::confine;
use crypto_tracer_system::shutdown::Shutdown;

/// Reads an inventory with the permissions of the caller. One that cannot be read is a usage error.
pub(super) fn read(path: &Path, shutdown: &Shutdown) -> Result<Inventory, Failure> {
    let read = || -> anyhow::Result<Inventory> {
        let input = confine::as_invoker(|| Input::open(path, shutdown))??;
        let mut text = Vec::new();
        input.take(MAX_INVENTORY_BYTES + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_INVENTORY_BYTES {
            return Err(anyhow!("an inventory has at most {MAX_INVENTORY_BYTES} bytes"));
        }
        Ok(Inventory::from_json(&text)?)
    };
    let read = read().with_context(|| format!("cannot read the inventory {}", path.display()));
    read.map_err(|error| Failure { code: ExitStatus::Usage, error })
}

/// Reads the file of `--baseline`.
pub(super) fn baseline(path: &Path) -> Result<KnownUses, Failure> {
    Ok(KnownUses::new(&read(path, &Shutdown::default())?))
}
