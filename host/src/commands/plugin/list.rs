//! `plugin list`: what runs with these options.

use super::super::line;
use super::args;
use super::check::captures;
use super::page::Page;
use crate::error::Failure;
use crate::plugin::{Grant, Running, Trust};
use crate::printable::printable;
use crate::say::Say;
use crate::stop::Stop;

/// Loads the plugins as a run would, and prints them.
pub(super) fn list(arguments: &args::List, say: Say) -> Result<(), Failure> {
    let trust = Trust::of_this_process();
    let config = line::config(&arguments.plugins, &trust)?;
    let plugins = line::plugins(&arguments.plugins, &config, &trust, &Stop::default())?;
    let Some(mut plugins) = plugins else { return Ok(()) };
    for line in plugins.take_log() {
        say.detail(format_args!("{}: {}", line.plugin, line.message));
    }
    let mut page = Page::default();
    for plugin in plugins.running() {
        describe(plugin, &mut page);
    }
    page.line("together");
    captures(plugins.interest(), &mut page);
    page.print()
}

fn describe(plugin: &Running, page: &mut Page) {
    let Running { kind, order, name, version, .. } = plugin;
    page.line(format_args!("{kind} {order}: {}@{version}", printable(name)));
    page.row("source", &plugin.source);
    page.row("sha256", &plugin.sha256);
    page.row("contract", &plugin.contract);
    page.row("grants", grants(plugin));
    page.row("configuration", &plugin.config);
}

fn grants(plugin: &Running) -> String {
    let granted = plugin.grants.contains(&Grant::FileHead);
    match (granted, plugin.asks_for_heads) {
        (true, true) => "file-head".to_owned(),
        (true, false) => "file-head (it does not ask for it)".to_owned(),
        (false, _) => "none".to_owned(),
    }
}
