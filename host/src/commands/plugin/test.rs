//! `plugin test`: compares the answers of a plugin with the expected ones or, without cases, checks that it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::anyhow;
use serde_json::{Map, Value};

use super::cases::{self, Answer, ExpectedAnswer, PluginCase};
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
    CompiledPlugins, Decision, Limits, LoadError, LogLine, PluginSpec, Plugins, Problem, Setup,
    inspect,
};
use crypto_tracer_system::console::Console;

/// Log lines that the report of a failed case contains.
const MAX_LOG_LINES: usize = 1000;
/// Prefix of the names of labels among the fields of an answer.
const LABELS: &str = "labels.";
/// The same for removed labels.
const REMOVED: &str = "removed.";

/// A test: a case of a file, or one of the built-in queries.
enum Test {
    Case(Box<PluginCase>),
    Edge(String, Query),
}

/// A plugin under test.
struct Tested<'a> {
    subject: &'a Subject,
    kinds: Vec<PluginKind>,
    limits: Limits,
    /// It is compiled once; its instances are new for each case.
    compiled: CompiledPlugins,
    /// For the built-in queries: an instance of each kind.
    loaded: BTreeMap<PluginKind, Result<Plugins, LoadError>>,
    /// Lines that the plugin logged in this test.
    log: Vec<LogLine>,
}

/// Prints the differences, and the number of passed and failed tests.
pub(super) fn test(arguments: &TestArgs, console: Console) -> Result<(), Failure> {
    let TestArgs { subject, cases, config } = arguments;
    // A test shows every line, and those of all cases would exceed the limit of a second.
    let limits = Limits { log_lines: u32::MAX, ..standalone::limits(config.as_deref())? };
    let compiled = CompiledPlugins::default();
    let (kinds, tests) = tests(subject, cases.as_deref(), &limits, &compiled)?;
    let (loaded, log) = (BTreeMap::new(), Vec::new());
    let mut tested = Tested { subject, kinds, limits, compiled, loaded, log };
    let mut report = Report::default();
    let mut failed = 0;
    let all = tests.len();
    for test in tests {
        let (name, problems) = match test {
            Test::Case(case) => (case.name.clone(), tested.case(&case)),
            Test::Edge(name, query) => (name, tested.edge(query)),
        };
        let log = std::mem::take(&mut tested.log).into_iter();
        let mut log = log
            .filter(|line| !standalone::is_about_failure(line))
            .map(|line| format!("  log {}: {}", line.level.as_str(), printable(&line.message)));
        if problems.is_empty() {
            console.detail(format_args!("ok: {}", printable(&name)));
            log.for_each(|line| console.detail(line));
            continue;
        }
        failed += 1;
        report.line(format_args!("FAILED {}", printable(&name)));
        for line in problems {
            report.line(format_args!("  {}", printable(&line)));
        }
        log.by_ref().take(MAX_LOG_LINES).for_each(|line| report.line(line));
        let more = log.count();
        if more > 0 {
            report.line(format_args!("  and {}", counted(more, "more log line")));
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
    compiled: &CompiledPlugins,
) -> Result<(Vec<PluginKind>, Vec<Test>), Failure> {
    let setup = Setup { limits: limits.clone(), compiled: compiled.clone(), ..Setup::default() };
    if let Some(path) = cases {
        let (kinds, cases) = cases::load(path, subject, &setup)?;
        return Ok((kinds, cases.into_iter().map(|case| Test::Case(Box::new(case))).collect()));
    }
    let found =
        inspect(&subject.spec(), &setup).map_err(|error| Failure::new(ExitStatus::Usage, error))?;
    let queries = edge_inputs::queries(&found.kinds, &found.interest);
    Ok((found.kinds, queries.into_iter().map(|(name, query)| Test::Edge(name, query)).collect()))
}

impl Tested<'_> {
    /// A new instance.
    fn load(&self, kind: PluginKind, config: &Map<String, Value>) -> Result<Plugins, LoadError> {
        let spec = PluginSpec { config: config.clone(), ..self.subject.spec() };
        standalone::load(kind, &spec, &self.limits, &self.compiled)
    }

    /// Runs a case. Returns one line for each problem.
    fn case(&mut self, case: &PluginCase) -> Vec<String> {
        let Some(first) = case.calls.first() else {
            let kinds = self.kinds.clone();
            let each = kinds.into_iter().map(|kind| self.configured(kind, case));
            return each.flatten().collect();
        };
        let kind = first.query.kind();
        if case.refused.is_some() {
            return self.configured(kind, case);
        }
        let mut plugins = match self.load(kind, &case.config) {
            Ok(plugins) => plugins,
            Err(error) => return vec![error.to_string()],
        };
        let single = case.calls.len() == 1;
        let mut problems = Vec::new();
        for (at, call) in case.calls.iter().enumerate() {
            let found = match self.run(call.query.clone(), &mut plugins) {
                Ok(answer) => {
                    call.expected.as_ref().map(|wanted| differences(wanted, &as_expected(answer)))
                }
                Err(problem) => Some(vec![problem]),
            };
            let found = found.unwrap_or_default().into_iter();
            let numbered = |line| if single { line } else { format!("event {}: {line}", at + 1) };
            problems.extend(found.map(numbered));
        }
        problems
    }

    /// Checks whether it accepts the configuration of a case. Returns one line for each problem.
    fn configured(&mut self, kind: PluginKind, case: &PluginCase) -> Vec<String> {
        let refusal = match self.load(kind, &case.config) {
            Ok(mut plugins) => {
                self.log.extend(plugins.take_log());
                None
            }
            Err(LoadError { problem: Problem::Refuses(text), .. }) => Some(text),
            Err(error) => return vec![error.to_string()],
        };
        match (&case.refused, refusal) {
            (Some(words), Some(refusal)) if refusal.contains(words.as_str()) => Vec::new(),
            (Some(words), refusal) => {
                let given = refusal.unwrap_or_else(|| "the configuration is accepted".to_owned());
                different("refused", Some(words), Some(&given))
            }
            (None, Some(refusal)) => vec![format!("refuses its configuration: {refusal}")],
            (None, None) => Vec::new(),
        }
    }

    fn edge(&mut self, query: Query) -> Vec<String> {
        let kind = query.kind();
        let loaded = self.loaded.remove(&kind);
        let mut loaded = loaded.unwrap_or_else(|| self.load(kind, &self.subject.with));
        let problems = match &mut loaded {
            Ok(plugins) => self.run(query, plugins).err().into_iter().collect(),
            Err(error) => vec![error.to_string()],
        };
        self.loaded.insert(kind, loaded);
        problems
    }

    /// Makes a call. Of a classifier and a redactor, the second of two equal calls must have the same answer, because their
    /// answers are cached. A filter may keep state, so it is called once for an event, as in a run.
    fn run(&mut self, mut query: Query, plugins: &mut Plugins) -> Result<QueryAnswer, String> {
        let mut run = || {
            let answer = query.run(plugins);
            let failures = CallFailures::take(plugins);
            let summary = failures.summary();
            self.log.extend(failures.log);
            summary.map_or(Ok(answer), Err)
        };
        let first = run()?;
        if matches!(first, QueryAnswer::Decision(_)) {
            return Ok(first);
        }
        let again = run()?;
        if first == again {
            return Ok(first);
        }
        Err(format!(
            "the answer to the same query differs: first {first:?}, then {again:?}; an answer must depend only on the query \
             and the configuration"
        ))
    }
}

/// The answer in the form of a case.
fn as_expected(answer: QueryAnswer) -> ExpectedAnswer {
    let mut removed = BTreeSet::new();
    let (answer, labels) = match answer {
        QueryAnswer::Verdict { file_type, labels } => {
            (Answer::FileType(file_type.map(|word| word.as_str().to_owned())), labels)
        }
        QueryAnswer::Skipped => (Answer::Skipped, Vec::new()),
        QueryAnswer::Assets(assets) => {
            let facts = |asset: &Asset| {
                let facts = asset.facts.iter();
                facts.map(|(name, value)| (name.to_string(), value.to_string())).collect()
            };
            let of = |asset: &Asset| (asset.kind.to_string(), facts(asset));
            (Answer::Assets(assets.iter().map(of).collect()), Vec::new())
        }
        QueryAnswer::Text(text) => (Answer::Text(text), Vec::new()),
        QueryAnswer::Decision(decision) => {
            let (word, labels) = match decision {
                Decision::Keep => ("keep", Vec::new()),
                Decision::Drop => ("drop", Vec::new()),
                Decision::Label(changes) => {
                    removed = changes.removed.iter().map(|name| name.to_string()).collect();
                    (if changes.added.is_empty() { "keep" } else { "label" }, changes.added)
                }
            };
            (Answer::Decision(word.to_owned()), labels)
        }
    };
    let pair = |label: &Label| (label.name.to_string(), label.value.to_string());
    let labels = labels.iter().map(pair).collect();
    ExpectedAnswer { answer, labels, other_labels: false, removed }
}

/// The differing fields: the expected value after `-`, the given one after `+`.
fn differences(wanted: &ExpectedAnswer, given: &ExpectedAnswer) -> Vec<String> {
    let allowed = |name: &String| wanted.other_labels && name.starts_with(LABELS);
    let (wanted, given) = (fields(wanted), fields(given));
    let names: BTreeSet<&String> = wanted.keys().chain(given.keys()).collect();
    let names = names.into_iter().filter(|name| wanted.contains_key(*name) || !allowed(name));
    let each = names.map(|name| {
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
    let ExpectedAnswer { answer, labels, removed, .. } = answer;
    let (name, value) = match answer {
        Answer::FileType(None) => ("file_type", "null".to_owned()),
        Answer::FileType(Some(word)) => ("file_type", quoted(word)),
        Answer::Skipped => ("skipped", "true".to_owned()),
        Answer::Assets(assets) => {
            let rows = assets.iter().enumerate().flat_map(|(at, (kind, facts))| {
                let facts =
                    facts.iter().map(move |(name, value)| (format!("assets[{at}].{name}"), value));
                std::iter::once((format!("assets[{at}]"), kind)).chain(facts)
            });
            return rows.map(|(name, value)| (name, quoted(value))).collect();
        }
        Answer::Text(text) => ("text", quoted(text)),
        Answer::Decision(decision) => ("decision", quoted(decision)),
    };
    let labels = labels.iter().map(|(name, value)| (format!("{LABELS}{name}"), quoted(value)));
    let removed = removed.iter().map(|name| (format!("{REMOVED}{name}"), "true".to_owned()));
    labels.chain(removed).chain([(name.to_owned(), value)]).collect()
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
        let verdict = |word: Option<&str>, labels: &[(&str, &str)]| ExpectedAnswer {
            answer: Answer::FileType(word.map(str::to_owned)),
            labels: labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
            other_labels: false,
            removed: BTreeSet::new(),
        };
        let one = verdict(Some("a"), &[("x", "1"), ("y", "2")]);
        assert!(differences(&one, &one).is_empty());
        let other = verdict(None, &[("x", "1"), ("z", "3")]);
        assert_eq!(
            differences(&one, &other),
            ["- file_type: \"a\"", "+ file_type: null", "- labels.y: \"2\"", "+ labels.z: \"3\""]
        );
    }

    #[test]
    fn further_labels_can_be_allowed() {
        let answer = |labels: &[(&str, &str)], other_labels| ExpectedAnswer {
            answer: Answer::Decision("label".to_owned()),
            labels: labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
            other_labels,
            removed: BTreeSet::new(),
        };
        let given = answer(&[("a", "1"), ("b", "2")], false);
        assert!(differences(&answer(&[("a", "1")], true), &given).is_empty());
        assert_eq!(differences(&answer(&[("a", "1")], false), &given), ["+ labels.b: \"2\""]);
        let wanted = answer(&[("c", "3")], true);
        assert_eq!(differences(&wanted, &given), ["- labels.c: \"3\""]);
    }

    #[test]
    fn removed_labels_are_expected_too() {
        let answer = |removed: &[&str]| ExpectedAnswer {
            answer: Answer::Decision("keep".to_owned()),
            labels: BTreeMap::new(),
            other_labels: false,
            removed: removed.iter().map(|&name| name.to_owned()).collect(),
        };
        assert!(differences(&answer(&["a"]), &answer(&["a"])).is_empty());
        assert_eq!(
            differences(&answer(&["a"]), &answer(&["b"])),
            ["- removed.a: true", "+ removed.b: true"]
        );
    }
}
