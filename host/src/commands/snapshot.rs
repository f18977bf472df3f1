//! `snapshot`: one document about every running process.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::document::{self, failed};
use super::line;
use super::looking::Looking;
use crate::cli;
use crate::document::{Coverage, Seen, SnapshotBuilder};
use crate::error::Failure;
use crate::event::{Field, Shown};
use crate::pipeline::{AskHeads, ReaderHeads, judge_looked, redactor, wall_now};
use crate::plugin::{Plugins, Trust};
use crate::reader::{LookedAt, News, Nursery, Reader};
use crate::say::Say;
use crate::signals::Signals;
use crate::stats::Used;
use crate::stop::Stop;
use crate::users::Users;

/// How long the reader may take to say what it used.
const LAST_WORD: Duration = Duration::from_millis(10);

/// Looks once and prints.
pub(super) fn snapshot(
    arguments: &cli::Snapshot,
    nursery: Nursery,
    say: Say,
) -> Result<(), Failure> {
    let stop = Stop::default();
    let _signals = Signals::start(stop.clone()).context("cannot take signals").map_err(failed)?;
    let trust = Trust::of_this_process();
    let config = line::config(&arguments.plugins, &trust)?;
    let plugins = line::plugins(&arguments.plugins, &config, &trust, &stop)?;
    let Some(mut plugins) = plugins else { return Ok(()) };
    let new = line::new_file(&config)?;
    document::check(&arguments.print)?;
    let reader = Reader::start(nursery).context("cannot start the reader").map_err(failed)?;
    let target = document::target(&arguments.print, new, &stop)?;
    let Some(target) = target else { return Ok(()) };
    // What is looked at has names that anybody may have chosen.
    line::confine(arguments.print.output.as_deref(), new.gid.is_some())?;
    let redact = !arguments.print.no_redact;
    let mut look = Look {
        own: reader.pids().into_iter().chain([std::process::id()]).collect(),
        reader: ReaderHeads { reader, stop: stop.clone() },
        users: Users::read(),
        redact,
        builder: SnapshotBuilder::default(),
        coverage: Coverage { complete: true, unreadable_processes: 0 },
    };
    look.all(&mut plugins, &stop);
    let Look { builder, coverage, mut reader, .. } = look;
    let name = rustix::system::uname();
    // The host belongs to root.
    let nodename = name.nodename().to_bytes();
    let hostname = Shown::of(&mut *redactor(&mut plugins, 0, redact), Field::Hostname, nodename);
    told(&mut plugins, say);
    if let Some(why) = plugins.must_end() {
        return Err(failed(anyhow!(why)));
    }
    if stop.is_asked() {
        say.info("not complete: it was asked to end");
    } else if let Some(missing) = coverage.missing() {
        let could_see_more =
            coverage.unreadable_processes > 0 && !rustix::process::geteuid().is_root();
        let more = if could_see_more { "; sudo sees more" } else { "" };
        say.info(format_args!("not complete: {missing}{more}"));
    }
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let host = (hostname, text(name.release()));
    let snapshot = builder.finish(wall_now(), host, coverage);
    document::print(&snapshot, &arguments.print, target, &stop)?;
    say.detail(Used::with(reader.reader.usage(Instant::now() + LAST_WORD)));
    Ok(())
}

/// A look at the whole system.
struct Look {
    reader: ReaderHeads,
    own: Vec<u32>,
    users: Users,
    redact: bool,
    builder: SnapshotBuilder,
    coverage: Coverage,
}

impl Look {
    fn all(&mut self, plugins: &mut Plugins, stop: &Stop) {
        let Some(mut looking) = Looking::into_all(&mut self.reader) else {
            self.coverage.complete = false;
            return;
        };
        while let Some(processes) = looking.some(&mut self.reader, plugins.interest(), stop) {
            for process in &processes {
                if !self.own.contains(&process.pid) {
                    self.one(process, plugins);
                }
            }
            if let Some(News::Replaced(pids, _)) = self.reader.news() {
                self.own.extend(pids);
            }
        }
        self.coverage.complete &= looking.unknown == 0 && !stop.is_asked();
        self.coverage.unreadable_processes += looking.unknown;
    }

    fn one(&mut self, process: &LookedAt, plugins: &mut Plugins) {
        if !process.readable {
            self.coverage.complete = false;
            self.coverage.unreadable_processes += 1;
        }
        let holds = judge_looked(process, wall_now(), &mut self.reader, plugins);
        let seen = Seen {
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
pub(super) fn told(plugins: &mut Plugins, say: Say) {
    for failure in plugins.take_failures() {
        say.info(failure);
    }
    for line in plugins.take_log() {
        say.info(format_args!("plugin {}: {}", line.plugin, line.message));
    }
}
