//! `snapshot`: one document about every running process.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::document::{self, failed};
use super::process_walk::ProcessWalk;
use super::setup;
use crate::cli;
use crate::error::Failure;
use crate::users::Users;
use crypto_tracer_event::{Field, RedactedText};
use crypto_tracer_output::document::{ProcessHoldings, SnapshotBuilder, SnapshotCoverage};
use crypto_tracer_pipeline::{HeadReader, ReaderHeads, judge_existing, redactor, wall_now};
use crypto_tracer_plugin::{Plugins, Trust};
use crypto_tracer_reader::{ProcessDetails, ReaderClient, ReaderEvent, Spawner};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;
use crypto_tracer_system::usage::Used;

/// How long the reader may take to say what it used.
const LAST_WORD: Duration = Duration::from_millis(10);

/// Looks once and prints.
pub(super) fn snapshot(
    arguments: &cli::SnapshotArgs,
    spawner: Spawner,
    console: Console,
) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let _signals =
        Signals::start(shutdown.clone()).context("cannot take signals").map_err(failed)?;
    let trust = Trust::of_this_process();
    let config = setup::config(&arguments.plugins, &trust)?;
    let plugins = setup::plugins(&arguments.plugins, &config, &trust, &shutdown)?;
    let Some(mut plugins) = plugins else { return Ok(()) };
    let new = setup::new_file(&config)?;
    document::check(&arguments.print)?;
    let reader = ReaderClient::start(spawner).context("cannot start the reader").map_err(failed)?;
    let target = document::target(&arguments.print, new, &shutdown)?;
    let Some(target) = target else { return Ok(()) };
    // What is looked at has names that anybody may have chosen.
    setup::confine(arguments.print.output.as_deref(), new.gid.is_some())?;
    let redact = !arguments.print.no_redact;
    let mut look = SnapshotWalk {
        own: reader.pids().into_iter().chain([std::process::id()]).collect(),
        reader: ReaderHeads { reader, shutdown: shutdown.clone() },
        users: Users::read(),
        redact,
        builder: SnapshotBuilder::default(),
        coverage: SnapshotCoverage { complete: true, unreadable_processes: 0 },
    };
    look.all(&mut plugins, &shutdown);
    let SnapshotWalk { builder, coverage, mut reader, .. } = look;
    let name = rustix::system::uname();
    // The host belongs to root.
    let nodename = name.nodename().to_bytes();
    let hostname =
        RedactedText::of(&mut *redactor(&mut plugins, 0, redact), Field::Hostname, nodename);
    told(&mut plugins, console);
    if let Some(why) = plugins.must_end() {
        return Err(failed(anyhow!(why)));
    }
    if shutdown.is_requested() {
        console.info("not complete: it was asked to end");
    } else if let Some(missing) = coverage.missing() {
        let could_see_more =
            coverage.unreadable_processes > 0 && !rustix::process::geteuid().is_root();
        let more = if could_see_more { "; sudo sees more" } else { "" };
        console.info(format_args!("not complete: {missing}{more}"));
    }
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let host = (hostname, text(name.release()));
    let snapshot = builder.finish(wall_now(), host, coverage);
    document::print(&snapshot, &arguments.print, target, &shutdown)?;
    console.detail(Used::with(reader.reader.usage(Instant::now() + LAST_WORD)));
    Ok(())
}

/// A look at the whole system.
struct SnapshotWalk {
    reader: ReaderHeads,
    own: Vec<u32>,
    users: Users,
    redact: bool,
    builder: SnapshotBuilder,
    coverage: SnapshotCoverage,
}

impl SnapshotWalk {
    fn all(&mut self, plugins: &mut Plugins, shutdown: &Shutdown) {
        let Some(mut looking) = ProcessWalk::into_all(&mut self.reader) else {
            self.coverage.complete = false;
            return;
        };
        while let Some(processes) = looking.some(&mut self.reader, plugins.interest(), shutdown) {
            for process in &processes {
                if !self.own.contains(&process.pid) {
                    self.one(process, plugins);
                }
            }
            if let Some(ReaderEvent::Replaced(pids, _)) = self.reader.news() {
                self.own.extend(pids);
            }
        }
        self.coverage.complete &= looking.unknown == 0 && !shutdown.is_requested();
        self.coverage.unreadable_processes += looking.unknown;
    }

    fn one(&mut self, process: &ProcessDetails, plugins: &mut Plugins) {
        if !process.readable {
            self.coverage.complete = false;
            self.coverage.unreadable_processes += 1;
        }
        let holds = judge_existing(process, wall_now(), &mut self.reader, plugins);
        let seen = ProcessHoldings {
            pid: process.pid,
            name: &process.comm,
            exe: process.exe.as_deref(),
            running_as: self.users.name(process.uid, self.redact),
            holds,
        };
        self.builder.process(seen, &mut *redactor(plugins, process.uid, self.redact));
    }
}

/// What plugins have to say, and what failed.
pub(super) fn told(plugins: &mut Plugins, console: Console) {
    for failure in plugins.take_failures() {
        console.info(failure);
    }
    for line in plugins.take_log() {
        console.info(format_args!("plugin {}: {}", line.plugin, line.message));
    }
}
