//! `plugin bench`: the cost of a plugin, compared with the bundled one.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::cases::{self, PluginCase};
use super::event::event;
use super::query::{FileQuery, Query, TextQuery};
use super::report::{Report, bytes};
use super::standalone::{self, CallFailures};
use crate::cli::plugin::BenchArgs;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::PluginKind;
use crypto_tracer_plugin::{
    CompiledPlugins, Limits, LoadError, PluginSpec, Plugins, Setup, inspect,
};
use crypto_tracer_system::console::Console;

/// Duration of the measurement of each kind.
const MEASURE: Duration = Duration::from_millis(600);
/// Calls of one round; a round gives one figure.
const ROUND: u32 = 128;
/// Calls between two readings of the clock: a reading costs a tenth of a call.
const CLOCK_INTERVAL: u32 = 4;

/// Costs of a plugin as one kind.
struct Costs {
    load: Duration,
    first: Duration,
    /// Time of a call, median of the rounds.
    median: Duration,
    /// Time of a call, 99th percentile of the rounds.
    slow: Duration,
    memory: usize,
    calls: u64,
    failures: CallFailures,
}

/// Prints a table for each kind that the plugin exports.
pub(super) fn bench(arguments: &BenchArgs, console: Console) -> Result<(), Failure> {
    let BenchArgs { subject, cases, config } = arguments;
    let usage = |error: LoadError| Failure::new(ExitStatus::Usage, error);
    let limits = standalone::limits(config.as_deref())?;
    let setup = Setup { limits: limits.clone(), ..Setup::default() };
    let (kinds, queries) = match cases {
        None => {
            let found = inspect(&subject.spec(), &setup).map_err(usage)?;
            let queries = typical().into_iter().map(|query| (subject.with.clone(), query));
            (found.kinds, queries.collect())
        }
        Some(path) => {
            let (kinds, cases) = cases::load(path, subject, &setup)?;
            (kinds, cases.into_iter().flat_map(queries_of).collect::<Vec<_>>())
        }
    };
    let mut report = Report::default();
    for kind in kinds {
        let queries: Vec<(PluginSpec, Query)> = queries
            .iter()
            .filter(|(_, query)| query.kind() == kind)
            .map(|(config, query)| {
                let spec = PluginSpec { config: config.clone(), ..subject.spec() };
                (spec, query.clone())
            })
            .collect();
        if queries.is_empty() {
            report.line(format_args!("{kind}: no question for it in the cases"));
            continue;
        }
        let own = costs(kind, &queries, &limits).map_err(usage)?;
        let bundled = queries.into_iter().map(|(_, query)| (PluginSpec::bundled(), query));
        let bundled = match kind {
            PluginKind::Filter => None,
            PluginKind::Classifier | PluginKind::Inspector | PluginKind::Redactor => {
                Some(costs(kind, &bundled.collect::<Vec<_>>(), &limits).map_err(usage)?)
            }
        };
        table(kind, &own, bundled.as_ref(), &mut report);
        for line in &own.failures.log {
            console.detail(format_args!("{}: {}", line.plugin, line.message));
        }
        if let Some(summary) = own.failures.summary() {
            report.row("first failure", summary);
        }
    }
    report.print()
}

/// The queries of a case and its configuration. Empty: the case only checks the configuration.
fn queries_of(case: PluginCase) -> impl Iterator<Item = (Map<String, Value>, Query)> {
    let calls = if case.refused.is_some() { Vec::new() } else { case.calls };
    calls.into_iter().map(move |call| (case.config.clone(), call.query))
}

type Show = fn(&Costs) -> String;

fn table(kind: PluginKind, own: &Costs, bundled: Option<&Costs>, report: &mut Report) {
    let rows: [(&str, Show); 7] = [
        ("a call", |costs| time(costs.median)),
        ("slow rounds", |costs| time(costs.slow)),
        ("first call", |costs| time(costs.first)),
        ("load", |costs| time(costs.load)),
        ("memory", |costs| bytes(costs.memory as u64)),
        ("calls", |costs| costs.calls.to_string()),
        ("failed", |costs| costs.failed().to_string()),
    ];
    let line = |own: &str, bundled: &str| format!("{own:<16}{bundled}").trim_end().to_owned();
    let header = if bundled.is_some() { "the bundled one" } else { "" };
    report.line(kind);
    report.row("", line("this plugin", header));
    for (name, show) in rows {
        report.row(name, line(&show(own), &bundled.map(show).unwrap_or_default()));
    }
}

impl Costs {
    fn failed(&self) -> u64 {
        self.failures.failures.iter().map(|failure| failure.count).sum()
    }
}

/// A plugin with one of its configurations, and its queries.
struct TimedPlugin {
    plugins: Plugins,
    queries: Vec<Query>,
}

fn costs(
    kind: PluginKind,
    queries: &[(PluginSpec, Query)],
    limits: &Limits,
) -> Result<Costs, LoadError> {
    let mut all: Vec<(&PluginSpec, TimedPlugin)> = Vec::new();
    let mut load = None;
    for (spec, query) in queries {
        if let Some((_, known)) = all.iter_mut().find(|(known, _)| *known == spec) {
            known.queries.push(query.clone());
            continue;
        }
        let start = Instant::now();
        let plugins = standalone::load(kind, spec, limits, &CompiledPlugins::default())?;
        load.get_or_insert(start.elapsed());
        all.push((spec, TimedPlugin { plugins, queries: vec![query.clone()] }));
    }
    let mut all: Vec<TimedPlugin> = all.into_iter().map(|(_, timed)| timed).collect();
    let mut turns = turns(&all).into_iter().cycle();
    let mut call = || {
        let (plugin, query) = turns.next().unwrap_or_default();
        if let Some(TimedPlugin { plugins, queries }) = all.get_mut(plugin)
            && let Some(query) = queries.get_mut(query)
        {
            query.run(plugins);
        }
    };
    let start = Instant::now();
    call();
    let first = start.elapsed();
    let mut rounds = Vec::new();
    let mut calls = 1;
    let end = Instant::now() + MEASURE;
    while rounds.is_empty() || Instant::now() < end {
        let (time, count) = round(&mut call, end);
        rounds.push(time);
        calls += u64::from(count);
    }
    rounds.sort_unstable();
    let at = |part: usize| rounds.get(part).copied().unwrap_or_default();
    let mut failures = CallFailures::default();
    all.iter_mut().for_each(|timed| failures.add(CallFailures::take(&mut timed.plugins)));
    Ok(Costs {
        load: load.unwrap_or_default(),
        first,
        median: at(rounds.len() / 2),
        slow: at(rounds.len() * 99 / 100),
        memory: all.iter().map(|timed| timed.plugins.memory()).max().unwrap_or(0),
        calls,
        failures,
    })
}

/// Each query once, as the indices of its plugin and of the query.
fn turns(all: &[TimedPlugin]) -> Vec<(usize, usize)> {
    let each = all.iter().enumerate();
    each.flat_map(|(plugin, timed)| (0..timed.queries.len()).map(move |query| (plugin, query)))
        .collect()
}

/// The average time of a call in a round, and the number of calls. Slow calls end the round early, at `end`.
fn round(call: &mut impl FnMut(), end: Instant) -> (Duration, u32) {
    let start = Instant::now();
    let mut count = 0;
    while count < ROUND {
        call();
        count += 1;
        if count.is_multiple_of(CLOCK_INTERVAL) && Instant::now() >= end {
            break;
        }
    }
    (start.elapsed() / count, count)
}

fn time(time: Duration) -> String {
    match time.as_nanos() {
        nanos @ 0..10_000 => format!("{nanos} ns"),
        nanos @ 10_000..10_000_000 => format!("{} µs", nanos / 1000),
        nanos => format!("{} ms", nanos / 1_000_000),
    }
}

/// Typical queries of a busy machine, for each kind.
fn typical() -> Vec<Query> {
    let certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let file = |path: &str, content: &[u8]| {
        Query::File(FileQuery::new(path.into(), content, Some(content.len() as u64)))
    };
    let content = |path: &str, content: &[u8]| {
        Query::Content(FileQuery::new(path.into(), content, Some(content.len() as u64)))
    };
    let text = |field: &str, value: &str| {
        let (field, value) = (field.to_owned(), value.to_owned());
        Query::Text(TextQuery { field, value, arguments: Vec::new() })
    };
    let command =
        "nginx -g daemon off; -c /home/alice/nginx.conf -p /srv/www --user alice --token abc";
    let command = command.split(' ').map(str::to_owned).collect();
    let mut all = vec![
        file("/etc/ssl/certs/site.crt", certificate),
        file("/etc/ssl/private/site.key", b"-----BEGIN PRIVATE KEY-----\n"),
        file("/etc/ssl/site.pem", certificate),
        file("/srv/app/store.p12", b"\x30\x82\x0a\x00"),
        content("/etc/ssl/certs/site.crt", certificate),
        content("/etc/ssl/private/site.key", b"-----BEGIN PRIVATE KEY-----\n"),
        content("/etc/ssl/chain.pem", &certificate.repeat(4)),
        content("/srv/app/store.p12", b"\x30\x82\x0a\x00"),
        text("file", "/etc/ssl/private/site.key"),
        text("file", "/home/alice/keys/own.key"),
        text("exe", "/usr/sbin/nginx"),
        text("library", "/usr/lib/x86_64-linux-gnu/libssl.so.3"),
        Query::Text(TextQuery::command_line(command)),
    ];
    let process = json!({"process": "nginx", "exe": "/usr/sbin/nginx", "uid": 33});
    for fields in [
        json!({"event_type": "file_open", "file": "/etc/ssl/private/site.key", "file_type": "private_key"}),
        json!({"event_type": "lib_load", "library": "/usr/lib/libssl.so.3", "library_name": "libssl"}),
        json!({"event_type": "process_exec", "cmdline": ["nginx", "-t"]}),
        json!({"event_type": "process_exit", "exit_code": 0}),
    ] {
        let fields = [&process, &fields].into_iter().filter_map(Value::as_object);
        let fields: Map<String, Value> =
            fields.flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
        all.extend(event(&fields).ok().map(|event| Query::Event(Box::new(event))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_typical_queries() {
        for kind in PluginKind::ALL {
            let count = typical().iter().filter(|query| query.kind() == kind).count();
            assert!(count >= 4, "{kind}");
        }
    }

    #[test]
    fn times_have_units() {
        for (nanos, text) in
            [(0, "0 ns"), (9999, "9999 ns"), (10_000, "10 µs"), (25_000_000, "25 ms")]
        {
            assert_eq!(time(Duration::from_nanos(nanos)), text);
        }
    }
}
