//! `inventory record`: traces the machine.

use crate::cli::{DocumentPrint, InventoryRecord, Watched};
use crate::commands::document::{self, failed};
use crate::commands::process_walk::ProcessWalk;
use crate::commands::run_request::RunRequest;
use crate::commands::session::{self, SessionBuilder};
use crate::commands::setup;
use crate::error::Failure;
use crate::progress::RunProgress;
use crypto_tracer_event::EventKinds;
use crypto_tracer_output::document::Host;
use crypto_tracer_output::{NewFile, OutputControl};
use crypto_tracer_pipeline::{
    EndReason, Family, InventoryCollector, InventoryFacts, InventorySink, Redaction,
};
use crypto_tracer_reader::Spawner;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;

/// Traces until a signal or the end of the duration, then writes the document.
pub(super) fn record(
    arguments: &InventoryRecord,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let InventoryRecord { trace, capture, every, print, plugins, .. } = arguments;
    let run = RunRequest {
        kinds: EventKinds::ALL,
        trace,
        plugins,
        capture,
        // The executables, by which programs are known.
        redaction: Redaction { enabled: !print.no_redact, extended: true },
        needs_assets: true,
        output: print.to.output.as_deref(),
        // The exit of a process that has changed its name must be observed.
        names_in_kernel: false,
        console,
    };
    let Some(mut builder) = SessionBuilder::attach(&run, spawner, None)? else { return Ok(()) };
    let shutdown = builder.pipeline.shutdown.clone();
    let target = document::target(&print.to, builder.new_file, &shutdown)?;
    let Some(target) = target else { return Ok(()) };
    let control = OutputControl::of_pipe(target.pipe().map_err(failed)?);
    let collector = collector(arguments, &mut builder, console);
    builder.pipeline.observers.push(Box::new(collector.clone()));
    let watched = &trace.processes.watched;
    let pids = existing_pids(watched, &builder);
    builder.confine(&run, run.output)?;
    add_existing(&collector, &mut builder, pids.as_deref());
    if let Some(every) = every {
        collector.write_every(*every, sink(print, builder.new_file, &shutdown, console));
    }
    let duration = trace.processes.duration;
    let length = (!duration.is_zero()).then_some(duration);
    let counters = collector.counters();
    let progress = RunProgress::show(console, length, counters.events, Some(counters.uses));
    let session = builder.build(&run, (Box::new(collector.clone()), control), None)?;
    let outcome = session::block_on(session)?;
    drop(progress);
    setup::report_counters(&outcome.stats, outcome.reader, console);
    if outcome.reason != EndReason::Output {
        let inventory = collector.document();
        super::report_missing(&inventory, console);
        document::print(&inventory, &print.to, target, &shutdown)?;
    }
    session::check_end(outcome.recording, outcome.reason)
}

fn collector(
    arguments: &InventoryRecord,
    builder: &mut SessionBuilder,
    console: Console,
) -> InventoryCollector {
    let name = rustix::system::uname();
    let hostname = builder.pipeline.stages.redact_hostname(name.nodename().to_bytes());
    let host = Host {
        hostname: Some(hostname.as_str().to_owned()),
        kernel: Some(name.release().to_string_lossy().into_owned()),
        os: super::os_name(),
    };
    let (probes, blind_spots) = builder.coverage();
    let facts = InventoryFacts { probes, blind_spots, ..super::facts(arguments, host) };
    let clock = builder.pipeline.clock.clone();
    InventoryCollector::new(facts, Some(builder.reader()), clock, console)
}

/// The existing processes that the options select. `None`: all of them.
fn existing_pids(watched: &Watched, builder: &SessionBuilder) -> Option<Vec<u32>> {
    match watched.pid.as_slice() {
        [] => None,
        pids if watched.follow_children => {
            let family: Family = session::family(pids, &builder.existing);
            let existing = builder.existing.iter().map(|process| process.pid);
            Some(existing.filter(|&pid| family.has(pid)).collect())
        }
        pids => Some(pids.to_vec()),
    }
}

/// Adds what the existing processes have.
fn add_existing(
    collector: &InventoryCollector,
    builder: &mut SessionBuilder,
    pids: Option<&[u32]>,
) {
    let shutdown = builder.pipeline.shutdown.clone();
    let walk = match pids {
        Some(pids) => Some(ProcessWalk::of(pids)),
        None => ProcessWalk::of_all(&mut *builder.pipeline.stages.reader),
    };
    let Some(mut walk) = walk else {
        if !shutdown.is_requested() {
            builder.pipeline.console.error("cannot list the processes: earlier uses are unknown");
            collector.add_blind_spot("what processes had before the start: /proc was not readable");
        }
        return;
    };
    let interest = builder.pipeline.stages.plugins.interest().clone();
    let select = builder.pipeline.select.clone();
    loop {
        let reader = &mut *builder.pipeline.stages.reader;
        let Some(processes) = walk.next(reader, &interest, &shutdown) else { break };
        builder.register_reader();
        for process in processes {
            if !builder.is_own(process.pid) {
                collector.add_existing(&process, &select, &mut builder.pipeline.stages);
            }
        }
    }
    collector.add_unreadable(walk.unidentified);
    collector.look_up_versions();
    builder.register_reader();
}

/// Writes the documents of `--every`. One that cannot be written does not end the run: the next one may be.
fn sink(
    print: &DocumentPrint,
    new: NewFile,
    shutdown: &Shutdown,
    console: Console,
) -> InventorySink {
    let (print, shutdown) = (print.clone(), shutdown.clone());
    Box::new(move |inventory| {
        let written = document::target(&print.to, new, &shutdown).and_then(|target| match target {
            Some(target) => document::print(&inventory, &print.to, target, &shutdown),
            None => Ok(()),
        });
        if let Err(failure) = written {
            console.error(format_args!("{:#}", failure.error));
        }
    })
}
