//! `plugin check`: whether a plugin loads, and its properties.

use std::collections::BTreeSet;

use super::super::setup;
use super::report::{Report, bytes};
use crate::cli::plugin;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::PluginKind;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::printable::printable;
use crypto_tracer_plugin::{Grant, Import, Inspection, Limits, Setup, Trust, inspect};
use crypto_tracer_system::console::Console;

/// Prints the properties of a plugin. A plugin that cannot be loaded is a usage error.
pub(super) fn check(arguments: &plugin::CheckArgs, console: Console) -> Result<(), Failure> {
    let trust = Trust::of_this_process();
    let config = setup::read_config(arguments.config.as_deref(), &trust)?;
    let setup = Setup { limits: config.limits, trust, ..Setup::default() };
    let subject = &arguments.subject;
    let found =
        inspect(&subject.spec(), &setup).map_err(|error| Failure::new(ExitStatus::Usage, error))?;
    for line in &found.log {
        console.detail(format_args!("{}: {}", line.plugin, line.message));
    }
    let mut report = Report::default();
    report.line(format_args!("{}: would load", printable(&subject.file.display().to_string())));
    describe(&found, &setup.limits, &mut report);
    report.print()
}

fn describe(found: &Inspection, limits: &Limits, report: &mut Report) {
    let kinds: Vec<&str> = found.kinds.iter().map(|kind| kind.as_str()).collect();
    report.row("kinds", kinds.join(", "));
    let Inspection { contract, contract_here, .. } = found;
    report.row("contract", format_args!("{contract} (this program has {contract_here})"));
    report.row("sha256", &found.sha256);
    let most = bytes(limits.component as u64);
    report.row("size", format_args!("{} of at most {most}", bytes(found.size)));
    report.row("may ask for", contract_functions(&found.imports));
    let inert = inert(&found.imports);
    if !inert.is_empty() {
        report.row("inert", format_args!("{inert} (imported, gives nothing)"));
    }
    report
        .row("needs grants", if found.asks_for_heads { Grant::FileHead.as_str() } else { "none" });
    if found.asks_for_ancestors {
        report.row("costs", "a table of all processes, because it may ask for ancestors");
    }
    if found.kinds.contains(&PluginKind::Classifier) {
        if found.interest == Interest::default() {
            let never = "nothing, so it is never called: `configure` declares no interest";
            report.row("captures", never);
        } else {
            captures(&found.interest, report);
        }
    }
    report.rows("limits", &limit_lines(limits));
}

/// The functions of the contract that it imports, which are all that it can call.
fn contract_functions(imports: &[Import]) -> String {
    let contract = imports.iter().filter(|import| import.interface.starts_with("crypto-tracer:"));
    let functions: Vec<&str> = contract
        .flat_map(|import| &import.functions)
        .map(|name| name.strip_prefix("[method]").unwrap_or(name))
        .collect();
    if functions.is_empty() { "nothing".to_owned() } else { functions.join(", ") }
}

fn inert(imports: &[Import]) -> String {
    let names = imports.iter().filter_map(|import| {
        let name = import.interface.strip_prefix("wasi:")?;
        Some(name.split('@').next().unwrap_or(name))
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Prints which files and libraries the kernel reports for this interest.
pub(super) fn captures(interest: &Interest, report: &mut Report) {
    let words = |what: &str, words: &BTreeSet<String>| {
        let listed: Vec<&str> = words.iter().map(String::as_str).collect();
        (!listed.is_empty()).then(|| format!("{what} {}", listed.join(" ")))
    };
    let parts = [
        words("files ending in", &interest.suffixes),
        words("files named", &interest.names),
        words("files beginning with", &interest.prefixes),
        words("libraries", &interest.libraries),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        report.row("captures", "nothing");
    }
    report.rows("captures", &parts);
}

fn limit_lines(limits: &Limits) -> [String; 4] {
    let Limits { memory, stack, deadline, wall, setup, copied, log_lines, .. } = limits;
    [
        format!("memory {}, stack {}", bytes(*memory as u64), bytes(*stack as u64)),
        format!("a call: {deadline:?} of processor time, {wall:?} in all"),
        format!("start and configure: {setup:?}"),
        format!(
            "{} copied a call, {} a second",
            bytes(*copied as u64),
            counted(*log_lines, "log line")
        ),
    ]
}
