//! `plugin list`: the plugins of a run with these options.

use super::super::setup;
use super::check::captures;
use super::report::Report;
use crate::cli::plugin;
use crate::error::Failure;
use crypto_tracer_event::printable::printable;
use crypto_tracer_plugin::{Grant, LoadedPlugin, Trust};
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;

/// Loads the plugins as a run would, and prints them.
pub(super) fn list(arguments: &plugin::ListArgs, console: Console) -> Result<(), Failure> {
    let trust = Trust::of_this_process();
    let config = setup::config(&arguments.plugins, &trust)?;
    let plugins = setup::plugins(
        &arguments.plugins,
        &config,
        &trust,
        &Shutdown::default(),
        &Clock::system(),
        true,
    )?;
    let Some(mut plugins) = plugins else { return Ok(()) };
    for line in plugins.take_log() {
        console.detail(format_args!("{}: {}", line.plugin, line.message));
    }
    let mut report = Report::default();
    for plugin in plugins.running() {
        describe(plugin, &mut report);
    }
    report.line("together");
    captures(plugins.interest(), &mut report);
    report.print()
}

fn describe(plugin: &LoadedPlugin, report: &mut Report) {
    let LoadedPlugin { kind, order, name, version, .. } = plugin;
    report.line(format_args!("{kind} {order}: {}@{version}", printable(name)));
    report.row("source", &plugin.source);
    report.row("sha256", &plugin.sha256);
    report.row("contract", &plugin.contract);
    report.row("grants", grants(plugin));
    report.row("configuration", &plugin.config);
}

fn grants(plugin: &LoadedPlugin) -> String {
    let granted = plugin.grants.contains(&Grant::FileHead);
    match (granted, plugin.asks_for_heads) {
        (true, true) => "file-head".to_owned(),
        (true, false) => "file-head (it does not ask for it)".to_owned(),
        (false, _) => "none".to_owned(),
    }
}
