//! `replay`: runs a recording through the current plugins and options.

mod cases;
mod diff;
mod run;

use std::path::Path;

use super::{help, setup};
use crate::cli::{self, PluginArgs};
use crate::config::Config;
use crate::error::Failure;
use crypto_tracer_event::PluginKind;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::{Collected, Collector};
use crypto_tracer_pipeline::Redaction;
use crypto_tracer_plugin::Trust;
use crypto_tracer_system::console::Console;

pub(super) use run::{Interrupts, ReplayEnd, ReplayOutput, ReplayRequest, ReplayStart, run_with};

/// Cases that `--cases` prints.
const MAX_CASES: usize = 1000;

/// Replays to the end of the recording.
pub(super) fn replay(arguments: &cli::Replay, console: Console) -> Result<(), Failure> {
    let run = ReplayCommand { arguments, console, interrupts: Interrupts::start()? };
    if let [old, new] = arguments.diff.as_slice() {
        return run.diff(old, new);
    }
    if arguments.cases { run.cases() } else { run.print() }
}

/// A command that replays a recording, once or several times.
struct ReplayCommand<'a> {
    arguments: &'a cli::Replay,
    console: Console,
    interrupts: Interrupts,
}

impl ReplayCommand<'_> {
    fn print(&self) -> Result<(), Failure> {
        let print = &self.arguments.print;
        let plugins = &self.arguments.plugins;
        let config = setup::config(plugins, &Trust::of_this_process())?;
        let open = |start: &ReplayStart<'_>| {
            let target = setup::target(print, start.new_file, start.shutdown)?;
            let Some(target) = target else { return Ok(None) };
            // A replay ends with its recording, so its output is not watched.
            let (output, _) = setup::output(target, print, None)?;
            Ok(Some(ReplayOutput { output, observers: Vec::new() }))
        };
        let ended = run_with(&self.request(plugins, false), config, &self.interrupts, open)?;
        ended.map_or(Ok(()), |ended| ended.check(&self.arguments.recording))
    }

    /// Prints cases for a filter, so the filters of the configuration do not run.
    fn cases(&self) -> Result<(), Failure> {
        let plugins = &self.arguments.plugins;
        let mut config = setup::config(plugins, &Trust::of_this_process())?;
        config.chains.insert(PluginKind::Filter, Vec::new());
        let events = Collector::new(false);
        if self.collect(config, plugins, &events)?.is_none() {
            return Ok(());
        }
        let Collected { events, more } = events.take();
        let surplus = events.len().saturating_sub(MAX_CASES) as u64 + more;
        if surplus > 0 {
            let surplus = counted(surplus, "further event");
            self.console
                .info(format_args!("{surplus} omitted: select fewer, for example with --name"));
        }
        let cases = cases::cases(events.iter().map(|(event, _)| event).take(MAX_CASES));
        help::print(format!("{cases:#}\n").as_bytes())
    }

    fn diff(&self, old: &Path, new: &Path) -> Result<(), Failure> {
        let Some(old) = self.side(old)? else { return Ok(()) };
        let Some(new) = self.side(new)? else { return Ok(()) };
        help::print(diff::summary(&old, &new).as_bytes())
    }

    /// Replays with one configuration. Returns `None` on shutdown.
    fn side(&self, config: &Path) -> Result<Option<diff::Side>, Failure> {
        let plugins = PluginArgs { config: Some(config.to_owned()), ..PluginArgs::default() };
        let read = setup::config(&plugins, &Trust::of_this_process())?;
        let events = Collector::new(self.arguments.print.extended);
        let ended = self.collect(read, &plugins, &events)?;
        let name = printable(&config.display().to_string()).to_string();
        Ok(ended.map(|ended| diff::Side { name, events: events.take(), drops: ended.drops }))
    }

    /// Replays the recording into `events`. Returns `None` on shutdown.
    fn collect(
        &self,
        config: Config,
        plugins: &PluginArgs,
        events: &Collector,
    ) -> Result<Option<ReplayEnd>, Failure> {
        let open = |_: &ReplayStart<'_>| {
            let output = Box::new(events.clone());
            Ok(Some(ReplayOutput { output, observers: Vec::new() }))
        };
        let ended = run_with(&self.request(plugins, true), config, &self.interrupts, open)?;
        let Some(mut ended) = ended else { return Ok(None) };
        ended.failure(&self.arguments.recording)?;
        Ok((!self.interrupts.shutdown.is_requested()).then_some(ended))
    }

    /// `extended`: whether the events have the texts of `--extended`, even without that option.
    fn request<'a>(&'a self, plugins: &'a PluginArgs, extended: bool) -> ReplayRequest<'a> {
        let cli::Replay { recording, trace, print, .. } = self.arguments;
        ReplayRequest {
            recording,
            trace,
            plugins,
            redaction: Redaction {
                enabled: !print.no_redact,
                extended: print.extended || extended,
            },
            needs_assets: false,
            output: print.output.as_deref(),
            console: self.console,
        }
    }
}
