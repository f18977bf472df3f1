//! `plugin test`: compares the answers of a plugin with the expected ones or, without cases, checks that it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::anyhow;
use serde_json::{Map, Value};

use super::cases::{self, ExpectedAnswer, PluginCase};
use super::edge_inputs;
use super::query::{Query, QueryAnswer};
use super::report::Report;
use super::standalone::{self, CallFailures};
use crate::cli::plugin::{Subject, TestArgs};
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{Asset, Label, PluginKind};
use crypto_tracer_plugin::{
    Decision, Limits, LoadError, PluginSpec, Plugins, Problem, Setup, inspect,
};
use crypto_tracer_system::console::Console;

/// A test: a case of a file, or one of the built-in queries.
enum Test {
    Case(Box<PluginCase>),
    Edge(String, Query),
}

/// A plugin under test, loaded once for each kind and configuration.
struct Tested<'a> {
    subject: &'a Subject,
    kinds: Vec<PluginKind>,
    limits: Limits,
    loaded: BTreeMap<(PluginKind, String), Result<Plugins, LoadError>>,
    console: Console,
}

/// Prints the differences, and the number of passed and failed tests.
pub(super) fn test(arguments: &TestArgs, console: Console) -> Result<(), Failure> {
    let TestArgs { subject, cases, config } = arguments;
    let limits = standalone::limits(config.as_deref())?;
    let (kinds, tests) = tests(subject, cases.as_deref(), &limits)?;
    let mut tested = Tested { subject, kinds, limits, loaded: BTreeMap::new(), console };
    let mut report = Report::default();
    let mut failed = 0;
    let all = tests.len();
    for test in tests {
        let (name, problems) = match test {
            Test::Case(case) => (case.name.clone(), tested.case(&case)),
            Test::Edge(name, query) => (name, tested.edge(query)),
        };
        if problems.is_empty() {
            console.detail(format_args!("ok: {}", printable(&name)));
            continue;
        }
        failed += 1;
        report.line(format_args!("FAILED {}", printable(&name)));
        for line in problems {
            report.line(format_args!("  {}", printable(&line)));
        }
    }
    let all_cases = counted(all, "case");
    report.line(format_args!("{all_cases}: {} passed, {failed} failed", all - failed));
    report.print()?;
    match failed {
        0 => Ok(()),
        _ => {
            let error = anyhow!("{failed} of {all_cases} failed");
            Err(Failure { code: ExitStatus::Failed, error })
        }
    }
}

/// The kinds that the plugin exports, and the tests.
fn tests(
    subject: &Subject,
    cases: Option<&Path>,
    limits: &Limits,
) -> Result<(Vec<PluginKind>, Vec<Test>), Failure> {
    if let Some(path) = cases {
        let (kinds, cases) = cases::load(path, subject, limits)?;
        return Ok((kinds, cases.into_iter().map(|case| Test::Case(Box::new(case))).collect()));
    }
    let setup = Setup { limits: limits.clone(), ..Setup::default() };
    let found =
        inspect(&subject.spec(), &setup).map_err(|error| Failure::new(ExitStatus::Usage, error))?;
    let queries = edge_inputs::queries(&found.kinds, &found.interest);
    Ok((found.kinds, queries.into_iter().map(|(name, query)| Test::Edge(name, query)).collect()))
}

impl Tested<'_> {
    fn plugins(
        &mut self,
        kind: PluginKind,
        config: &Map<String, Value>,
    ) -> &mut Result<Plugins, LoadError> {
        let (subject, limits) = (self.subject, &self.limits);
        let key = (kind, Value::Object(config.clone()).to_string());
        self.loaded.entry(key).or_insert_with(|| {
            standalone::load(kind, &PluginSpec { config: config.clone(), ..subject.spec() }, limits)
        })
    }

    /// Runs a case. Returns one line for each problem.
    fn case(&mut self, case: &PluginCase) -> Vec<String> {
        let Some(query) = &case.query else {
            let kinds = self.kinds.clone();
            let each = kinds.into_iter().map(|kind| self.configured(kind, case));
            return each.flatten().collect();
        };
        if matches!(case.expected, ExpectedAnswer::Refused(_)) {
            return self.configured(query.kind(), case);
        }
        let console = self.console;
        match self.plugins(query.kind(), &case.config) {
            Ok(plugins) => match run_twice(query.clone(), plugins, console) {
                Ok(answer) => differences(&case.expected, &as_expected(answer)),
                Err(problem) => vec![problem],
            },
            Err(error) => vec![error.to_string()],
        }
    }

    /// Checks whether it accepts the configuration of a case. Returns one line for each problem.
    fn configured(&mut self, kind: PluginKind, case: &PluginCase) -> Vec<String> {
        let refusal = match self.plugins(kind, &case.config) {
            Ok(_) => None,
            Err(LoadError { problem: Problem::Refuses(text), .. }) => Some(text.clone()),
            Err(error) => return vec![error.to_string()],
        };
        match (&case.expected, refusal) {
            (ExpectedAnswer::Refused(words), Some(refusal)) if refusal.contains(words.as_str()) => {
                Vec::new()
            }
            (ExpectedAnswer::Refused(words), refusal) => {
                let given = refusal.unwrap_or_else(|| "the configuration is accepted".to_owned());
                different("refused", Some(words), Some(&given))
            }
            (_, Some(refusal)) => vec![format!("refuses its configuration: {refusal}")],
            (_, None) => Vec::new(),
        }
    }

    fn edge(&mut self, query: Query) -> Vec<String> {
        let (config, console) = (self.subject.with.clone(), self.console);
        match self.plugins(query.kind(), &config) {
            Ok(plugins) => run_twice(query, plugins, console).err().into_iter().collect(),
            Err(error) => vec![error.to_string()],
        }
    }
}

/// Makes the same call twice. Fails if the plugin fails, or if the answers differ.
fn run_twice(
    mut query: Query,
    plugins: &mut Plugins,
    console: Console,
) -> Result<QueryAnswer, String> {
    let mut run = || {
        let answer = query.run(plugins);
        let failures = CallFailures::take(plugins);
        for line in &failures.log {
            console.detail(format_args!("{}: {}", line.plugin, line.message));
        }
        failures.summary().map_or(Ok(answer), Err)
    };
    let (first, again) = (run()?, run()?);
    // Decisions of filters are never cached, so a filter may keep state.
    if first != again && !matches!(first, QueryAnswer::Decision(_)) {
        return Err(format!(
            "the answer to the same query differs: first {first:?}, then {again:?}; an answer must depend only on the query \
             and the configuration"
        ));
    }
    Ok(first)
}

/// The answer in the form of a case.
fn as_expected(answer: QueryAnswer) -> ExpectedAnswer {
    let pairs = |labels: Vec<Label>| {
        labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect()
    };
    match answer {
        QueryAnswer::Verdict { file_type, labels } => ExpectedAnswer::Verdict {
            file_type: file_type.map(|word| word.as_str().to_owned()),
            labels: pairs(labels),
        },
        QueryAnswer::Assets(assets) => {
            let facts = |asset: &Asset| {
                let facts = asset.facts.iter();
                facts.map(|(name, value)| (name.to_string(), value.to_string())).collect()
            };
            let of = |asset: &Asset| (asset.kind.to_string(), facts(asset));
            ExpectedAnswer::Assets(assets.iter().map(of).collect())
        }
        QueryAnswer::Text(text) => ExpectedAnswer::Text(text),
        QueryAnswer::Decision(decision) => {
            let (word, labels) = match decision {
                Decision::Keep => ("keep", Vec::new()),
                Decision::Drop => ("drop", Vec::new()),
                Decision::Label(labels) => ("label", labels),
            };
            ExpectedAnswer::Decision { decision: word.to_owned(), labels: pairs(labels) }
        }
    }
}

/// The differing fields: the expected value after `-`, the given one after `+`.
fn differences(wanted: &ExpectedAnswer, given: &ExpectedAnswer) -> Vec<String> {
    let (wanted, given) = (fields(wanted), fields(given));
    let names: BTreeSet<&String> = wanted.keys().chain(given.keys()).collect();
    let each = names.into_iter().map(|name| {
        let (wanted, given) = (wanted.get(name), given.get(name));
        if wanted == given { Vec::new() } else { different(name, wanted, given) }
    });
    each.flatten().collect()
}

fn different(name: &str, wanted: Option<&String>, given: Option<&String>) -> Vec<String> {
    let line = |sign, text: &String| format!("{sign} {name}: {text}");
    wanted
        .map(|text| line('-', text))
        .into_iter()
        .chain(given.map(|text| line('+', text)))
        .collect()
}

fn fields(answer: &ExpectedAnswer) -> BTreeMap<String, String> {
    let labelled = |first: (&str, String), labels: &BTreeMap<String, String>| {
        let labels = labels.iter().map(|(name, value)| (format!("labels.{name}"), quoted(value)));
        std::iter::once((first.0.to_owned(), first.1)).chain(labels).collect()
    };
    match answer {
        ExpectedAnswer::Verdict { file_type, labels } => {
            let word = file_type.as_ref().map_or("null".to_owned(), |word| quoted(word));
            labelled(("file_type", word), labels)
        }
        ExpectedAnswer::Decision { decision, labels } => {
            labelled(("decision", quoted(decision)), labels)
        }
        ExpectedAnswer::Assets(assets) => {
            let rows = assets.iter().enumerate().flat_map(|(at, (kind, facts))| {
                let facts =
                    facts.iter().map(move |(name, value)| (format!("assets[{at}].{name}"), value));
                std::iter::once((format!("assets[{at}]"), kind)).chain(facts)
            });
            rows.map(|(name, value)| (name, quoted(value))).collect()
        }
        ExpectedAnswer::Text(text) => [("text".to_owned(), quoted(text))].into(),
        ExpectedAnswer::Refused(_) | ExpectedAnswer::Accepted => BTreeMap::new(),
    }
}

/// Quoted as in cases.json.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_field() {
        let verdict = |word: Option<&str>, labels: &[(&str, &str)]| ExpectedAnswer::Verdict {
            file_type: word.map(str::to_owned),
            labels: labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
        };
        let one = verdict(Some("a"), &[("x", "1"), ("y", "2")]);
        assert!(differences(&one, &one).is_empty());
        let other = verdict(None, &[("x", "1"), ("z", "3")]);
        assert_eq!(
            differences(&one, &other),
            ["- file_type: \"a\"", "+ file_type: null", "- labels.y: \"2\"", "+ labels.z: \"3\""]
        );
    }
}
