//! `inventory record --from`: makes the document of a recording, or of a stream of events.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::Context;

use super::stream;
use crate::cli::InventoryRecord;
use crate::commands::replay::{self, Interrupts, ReplayOutput, ReplayRequest};
use crate::commands::{document, output_conflict, setup};
use crate::error::{ExitStatus, Failure};
use crate::interruptible_read::Input;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::Host;
use crypto_tracer_output::{DocumentTarget, NewFile};
use crypto_tracer_pipeline::recording::MAGIC;
use crypto_tracer_pipeline::{InventoryCollector, Redaction, Replayed};
use crypto_tracer_plugin::Trust;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;

/// Why a document of a recording or a stream is not complete.
pub(super) const NOTHING_BEFORE: &str = "what processes had before the start: it has only events";
/// The same for its probes.
pub(super) const NO_PROBES: &str = "which probes the run had: it does not contain them";

/// Makes the document of this file.
pub(super) fn record(
    arguments: &InventoryRecord,
    path: &Path,
    console: Console,
) -> Result<(), Failure> {
    if is_recording(path)? {
        recording(arguments, path, console)
    } else {
        stream::record(arguments, path, console)
    }
}

/// Reads the start of the file. A FIFO is read as a stream: it can be opened once.
fn is_recording(path: &Path) -> Result<bool, Failure> {
    let cannot_open = || format!("cannot open {}", path.display());
    let usage = |error| Failure { code: ExitStatus::Usage, error };
    if !fs::metadata(path).with_context(cannot_open).map_err(usage)?.is_file() {
        return Ok(false);
    }
    let input = Input::open(path, &Shutdown::default()).with_context(cannot_open).map_err(usage)?;
    let mut start = Vec::new();
    let read = input.take(MAGIC.len() as u64).read_to_end(&mut start);
    Ok(read.is_ok() && start == MAGIC)
}

fn recording(arguments: &InventoryRecord, path: &Path, console: Console) -> Result<(), Failure> {
    let InventoryRecord { trace, print, plugins, .. } = arguments;
    let request = ReplayRequest {
        recording: path,
        trace,
        plugins,
        redaction: Redaction { enabled: !print.no_redact, extended: true },
        needs_assets: true,
        output: print.to.output.as_deref(),
        console,
    };
    let mut parts: Option<(InventoryCollector, DocumentTarget, Shutdown)> = None;
    let open = |start: &replay::ReplayStart<'_>| {
        let target = document::target(&print.to, start.new_file, start.shutdown)?;
        let Some(target) = target else { return Ok(None) };
        let host = Host { hostname: None, kernel: Some(start.start.kernel.clone()), os: None };
        let mut facts = super::facts(arguments, host);
        facts.blind_spots = vec![NOTHING_BEFORE.to_owned(), NO_PROBES.to_owned()];
        let filters = &start.start.filter_options;
        if !filters.is_empty() {
            let filters = printable(&filters.join(" ")).to_string();
            facts.blind_spots.push(format!("other events: it was made with {filters}"));
        }
        let collector = InventoryCollector::new(facts, None, start.clock.clone(), console);
        let output = ReplayOutput {
            output: Box::new(collector.clone()),
            observers: vec![Box::new(collector.clone())],
        };
        parts = Some((collector, target, start.shutdown.clone()));
        Ok(Some(output))
    };
    let config = setup::config(plugins, &Trust::of_this_process())?;
    let ended = replay::run_with(&request, config, &Interrupts::start()?, open)?;
    let Some((ended, (collector, target, shutdown))) = ended.zip(parts) else { return Ok(()) };
    if let Replayed::Damaged(damage) = &ended.replayed {
        collector.add_blind_spot(&format!("what follows the damage of the recording: {damage}"));
    }
    let inventory = collector.document();
    super::report_missing(&inventory, console);
    document::print(&inventory, &print.to, target, &shutdown)?;
    ended.check(path)
}

/// Opens the target of a document that is made of `input`.
pub(super) fn target(
    arguments: &InventoryRecord,
    input: &Input,
    shutdown: &Shutdown,
) -> Result<Option<DocumentTarget>, Failure> {
    output_conflict::check_recording(input.metadata(), arguments.print.to.output.as_deref())?;
    document::target(&arguments.print.to, NewFile::default(), shutdown)
}
