//! `plugin bench`: what a plugin costs, beside the bundled one.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::cases::{self, ExpectedAnswer, PluginCase};
use super::event::event;
use super::query::{FileQuery, Query, TextQuery};
use super::report::{Report, bytes};
use super::standalone::{self, CallFailures};
use crate::cli::plugin::BenchArgs;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::PluginKind;
use crypto_tracer_plugin::{Limits, LoadError, PluginSpec, Plugins, Setup, inspect};
use crypto_tracer_system::console::Console;

/// How long each kind is measured.
const MEASURE: Duration = Duration::from_millis(600);
/// Calls of which one figure is made.
const ROUND: u32 = 128;
/// Calls between two looks at the clock: a look costs a tenth of a call.
const LOOK: u32 = 4;

/// What a plugin costs as one kind.
struct Costs {
    load: Duration,
    first: Duration,
    /// A call, the median of rounds.
    median: Duration,
    /// A call, of the slowest round in a hundred.
    slow: Duration,
    memory: usize,
    calls: u64,
    trouble: CallFailures,
}

/// Prints a table for each kind that the plugin is.
pub(super) fn bench(arguments: &BenchArgs, console: Console) -> Result<(), Failure> {
    let BenchArgs { subject, cases, config } = arguments;
    let usage = |error: LoadError| Failure::new(ExitStatus::Usage, error);
    let limits = standalone::limits(config.as_deref())?;
    let (kinds, asked) = match cases {
        None => {
            let setup = Setup { limits: limits.clone(), ..Setup::default() };
            let found = inspect(&subject.spec(), &setup).map_err(usage)?;
            let asked = usual().into_iter().map(|query| (subject.with.clone(), query));
            (found.kinds, asked.collect())
        }
        Some(path) => {
            let (kinds, cases) = cases::of(path, subject, &limits)?;
            (kinds, cases.into_iter().filter_map(asked).collect::<Vec<_>>())
        }
    };
    let mut report = Report::default();
    for kind in kinds {
        let asked: Vec<(PluginSpec, Query)> = asked
            .iter()
            .filter(|(_, query)| query.kind() == kind)
            .map(|(config, query)| {
                let spec = PluginSpec { config: config.clone(), ..subject.spec() };
                (spec, query.clone())
            })
            .collect();
        if asked.is_empty() {
            report.line(format_args!("{kind}: no question for it in the cases"));
            continue;
        }
        let own = costs(kind, &asked, &limits).map_err(usage)?;
        let bundled = asked.into_iter().map(|(_, query)| (PluginSpec::bundled(), query));
        let bundled = match kind {
            PluginKind::Filter => None,
            PluginKind::Classifier | PluginKind::Redactor => {
                Some(costs(kind, &bundled.collect::<Vec<_>>(), &limits).map_err(usage)?)
            }
        };
        table(kind, &own, bundled.as_ref(), &mut report);
        for line in &own.trouble.log {
            console.detail(format_args!("{}: {}", line.plugin, line.message));
        }
        if let Some(told) = own.trouble.told() {
            report.row("first failure", told);
        }
    }
    report.print()
}

/// What a case asks, and of a plugin with which configuration.
fn asked(case: PluginCase) -> Option<(Map<String, Value>, Query)> {
    let refused = matches!(case.expected, ExpectedAnswer::Refused(_));
    case.query.filter(|_| !refused).map(|query| (case.config, query))
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
    let beside = if bundled.is_some() { "the bundled one" } else { "" };
    report.line(kind);
    report.row("", line("this plugin", beside));
    for (name, show) in rows {
        report.row(name, line(&show(own), &bundled.map(show).unwrap_or_default()));
    }
}

impl Costs {
    fn failed(&self) -> u64 {
        self.trouble.failures.iter().map(|failure| failure.count).sum()
    }
}

/// A plugin with one of its configurations, and what it is asked.
struct TimedQuery {
    plugins: Plugins,
    questions: Vec<Query>,
}

fn costs(
    kind: PluginKind,
    asked: &[(PluginSpec, Query)],
    limits: &Limits,
) -> Result<Costs, LoadError> {
    let mut all: Vec<(&PluginSpec, TimedQuery)> = Vec::new();
    let mut load = None;
    for (spec, query) in asked {
        if let Some((_, there)) = all.iter_mut().find(|(known, _)| *known == spec) {
            there.questions.push(query.clone());
            continue;
        }
        let began = Instant::now();
        let plugins = standalone::load(kind, spec, limits)?;
        load.get_or_insert(began.elapsed());
        all.push((spec, TimedQuery { plugins, questions: vec![query.clone()] }));
    }
    let mut all: Vec<TimedQuery> = all.into_iter().map(|(_, asked)| asked).collect();
    let mut turns = turns(&all).into_iter().cycle();
    let mut ask = || {
        let (who, which) = turns.next().unwrap_or_default();
        if let Some(TimedQuery { plugins, questions }) = all.get_mut(who)
            && let Some(query) = questions.get_mut(which)
        {
            query.ask(plugins);
        }
    };
    let began = Instant::now();
    ask();
    let first = began.elapsed();
    let mut rounds = Vec::new();
    let mut calls = 1;
    let end = Instant::now() + MEASURE;
    while rounds.is_empty() || Instant::now() < end {
        let (time, made) = round(&mut ask, end);
        rounds.push(time);
        calls += u64::from(made);
    }
    rounds.sort_unstable();
    let at = |part: usize| rounds.get(part).copied().unwrap_or_default();
    let mut trouble = CallFailures::default();
    all.iter_mut().for_each(|asked| trouble.add(CallFailures::take(&mut asked.plugins)));
    Ok(Costs {
        load: load.unwrap_or_default(),
        first,
        median: at(rounds.len() / 2),
        slow: at(rounds.len() * 99 / 100),
        memory: all.iter().map(|asked| asked.plugins.memory()).max().unwrap_or(0),
        calls,
        trouble,
    })
}

/// Every question once, by who is asked and its place there.
fn turns(all: &[TimedQuery]) -> Vec<(usize, usize)> {
    let each = all.iter().enumerate();
    each.flat_map(|(who, asked)| (0..asked.questions.len()).map(move |which| (who, which)))
        .collect()
}

/// The time of a call, on average over a round, and how many there were in it: calls that overrun their limits take so
/// long that the round ends before all were made.
fn round(ask: &mut impl FnMut(), end: Instant) -> (Duration, u32) {
    let began = Instant::now();
    let mut made = 0;
    while made < ROUND {
        ask();
        made += 1;
        if made.is_multiple_of(LOOK) && Instant::now() >= end {
            break;
        }
    }
    (began.elapsed() / made, made)
}

fn time(time: Duration) -> String {
    match time.as_nanos() {
        nanos @ 0..10_000 => format!("{nanos} ns"),
        nanos @ 10_000..10_000_000 => format!("{} µs", nanos / 1000),
        nanos => format!("{} ms", nanos / 1_000_000),
    }
}

/// What a busy machine asks of each kind.
fn usual() -> Vec<Query> {
    let certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let file = |path: &str, content: &[u8]| {
        Query::File(FileQuery::new(path.into(), content, Some(content.len() as u64)))
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
    fn every_kind_is_asked_something() {
        for kind in PluginKind::ALL {
            let asked = usual().iter().filter(|query| query.kind() == kind).count();
            assert!(asked >= 4, "{kind}");
        }
    }

    #[test]
    fn times_for_people() {
        for (nanos, text) in
            [(0, "0 ns"), (9999, "9999 ns"), (10_000, "10 µs"), (25_000_000, "25 ms")]
        {
            assert_eq!(time(Duration::from_nanos(nanos)), text);
        }
    }
}
