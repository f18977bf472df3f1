//! `snapshot`: prints one document about all running processes.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::document::{self, failed};
use super::process_walk::ProcessWalk;
use super::{preflight, setup};
use crate::cli;
use crate::error::Failure;
use crate::users::Users;
use crypto_tracer_event::{PathIdentity, ProcessSummary, RedactedWhat};
use crypto_tracer_output::document::{ProcessHoldings, SnapshotBuilder, SnapshotCoverage};
use crypto_tracer_pipeline::{LiveReader, PluginStages, Redaction, StaleTracker};
use crypto_tracer_plugin::{Plugins, Trust};
use crypto_tracer_reader::{ProcessDetails, ReaderClient, ReaderEvent, Spawner};
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;
use crypto_tracer_system::usage::Used;

/// Time limit for finding out what is stale.
const STALE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the reader process to report its resource usage.
const USAGE_TIMEOUT: Duration = Duration::from_millis(10);

/// Inspects all processes once and prints the document.
pub(super) fn snapshot(
    arguments: &cli::SnapshotArgs,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let _signals =
        Signals::start(shutdown.clone()).context("cannot handle signals").map_err(failed)?;
    let trust = Trust::of_this_process();
    let config = setup::config(&arguments.plugins, &trust)?;
    let clock = Clock::system();
    let plugins = setup::plugins(&arguments.plugins, &config, &trust, &shutdown, &clock, false)?;
    let Some(plugins) = plugins else { return Ok(()) };
    let new = setup::new_file(&config)?;
    document::check(&arguments.print.to)?;
    let reader = ReaderClient::start(spawner).context("cannot start the reader").map_err(failed)?;
    let target = document::target(&arguments.print.to, new, &shutdown)?;
    let Some(target) = target else { return Ok(()) };
    // Before untrusted data is read: any user may have chosen the names of processes and files.
    setup::confine(arguments.print.to.output.as_deref(), new.gid.is_some())?;
    let own = reader.pids().into_iter().chain([std::process::id()]).collect();
    let mut reader = LiveReader::new(reader, shutdown.clone());
    let redaction = Redaction { enabled: !arguments.print.no_redact, extended: false };
    let stages = PluginStages::new(Box::new(reader.clone()), plugins, redaction);
    if stages.plugins.asks_for_ancestors() {
        stages.ancestry.begin();
        stages.ancestry.add(&preflight::running(&mut reader, &shutdown, console));
    }
    let stale_reader = reader.clone();
    let mut walk = SnapshotWalk {
        own,
        reader,
        stages,
        clock: clock.clone(),
        users: Users::read(),
        builder: SnapshotBuilder::default(),
        tracker: StaleTracker::new(Some(stale_reader)),
        coverage: SnapshotCoverage { complete: true, unreadable_processes: 0 },
    };
    walk.inspect_all(&shutdown);
    let SnapshotWalk { mut builder, coverage, reader, mut stages, tracker, .. } = walk;
    builder.add_stale(&tracker.look(STALE_TIMEOUT));
    let name = rustix::system::uname();
    let hostname = stages.redact_hostname(name.nodename().to_bytes());
    report_plugins(&mut stages.plugins, console);
    if let Some(message) = stages.plugins.must_end() {
        return Err(failed(anyhow!(message)));
    }
    if shutdown.is_requested() {
        console.info("not complete: shutdown was requested");
    } else if let Some(missing) = coverage.missing() {
        let could_see_more =
            coverage.unreadable_processes > 0 && !rustix::process::geteuid().is_root();
        let more = if could_see_more { "; sudo sees more" } else { "" };
        console.info(format_args!("not complete: {missing}{more}"));
    }
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let host = (hostname, text(name.release()));
    let snapshot = builder.finish(clock.now(), host, coverage);
    document::print(&snapshot, &arguments.print.to, target, &shutdown)?;
    console.detail(Used::with(reader.usage(Instant::now() + USAGE_TIMEOUT)));
    Ok(())
}

/// Inspects every process of the system.
struct SnapshotWalk {
    reader: LiveReader,
    stages: PluginStages,
    clock: Clock,
    own: Vec<u32>,
    users: Users,
    builder: SnapshotBuilder,
    /// Finds out which libraries are stale.
    tracker: StaleTracker<(u32, PathIdentity)>,
    coverage: SnapshotCoverage,
}

impl SnapshotWalk {
    fn inspect_all(&mut self, shutdown: &Shutdown) {
        let Some(mut walk) = ProcessWalk::of_all(&mut self.reader) else {
            self.coverage.complete = false;
            return;
        };
        loop {
            let interest = self.stages.plugins.interest();
            let Some(processes) = walk.next(&mut self.reader, interest, shutdown) else { break };
            for process in &processes {
                if !self.own.contains(&process.pid) {
                    self.add(process);
                }
            }
            if let Some(ReaderEvent::Replaced(pids, _)) = self.reader.take_event() {
                self.own.extend(pids);
            }
        }
        self.coverage.complete &= walk.unidentified == 0 && !shutdown.is_requested();
        self.coverage.unreadable_processes += walk.unidentified;
    }

    fn add(&mut self, process: &ProcessDetails) {
        if !process.readable {
            self.coverage.complete = false;
            self.coverage.unreadable_processes += 1;
        }
        let holds = self.stages.existing(process, self.clock.now());
        self.tracker.add_existing(process);
        for held in &holds {
            if let RedactedWhat::LibLoad { file, .. } = held.what() {
                let key = (process.pid, file.identity);
                self.tracker.set_key(process.pid, process.start_ns, file.identity, key);
            }
        }
        let summary = ProcessSummary {
            pid: process.pid,
            start_ns: process.start_ns,
            start_time: self.clock.wall(process.start_ns),
            name: process.comm.clone(),
            exe: process.exe.clone(),
            arguments: None,
            uid: process.uid,
            gid: Some(process.gid),
        };
        let running_as = self.users.name(process.uid, self.stages.redaction.enabled);
        let process = self.stages.redact_process(summary);
        self.builder.add_process(ProcessHoldings { process, running_as, holds });
    }
}

/// Prints the plugins' failures and log lines.
fn report_plugins(plugins: &mut Plugins, console: Console) {
    for failure in plugins.take_failures() {
        console.info(failure);
    }
    for line in plugins.take_log() {
        console.info(format_args!("plugin {}: {}", line.plugin, line.message));
    }
}
