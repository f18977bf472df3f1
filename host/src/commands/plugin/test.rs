//! `plugin test`: does a plugin answer as it should, or, without cases, does it answer at all?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde_json::{Map, Value};

use super::alone::{self, Trouble};
use super::args::Subject;
use super::cases::{self, Case, Expected};
use super::odd;
use super::page::Page;
use super::question::{Answer, Question};
use crate::cli::values;
use crate::counted::counted;
use crate::error::{Code, Failure};
use crate::event::Label;
use crate::plugin::{Decision, Limits, LoadError, PluginSpec, Plugins, Problem, Setup, inspect};
use crate::printable::printable;
use crate::say::Say;

/// `plugin test`
#[derive(Debug, Args)]
pub(super) struct Test {
    #[command(flatten)]
    subject: Subject,
    /// Questions and answers; without them odd questions are asked, and any answer within the contract will do
    #[arg(long, value_name = "FILE", allow_negative_numbers = true)]
    cases: Option<PathBuf>,
    /// Take the limits of this configuration instead of /etc/crypto-tracer/config.toml or the user's
    #[arg(long, value_name = "FILE", value_parser = values::path(), allow_negative_numbers = true)]
    config: Option<PathBuf>,
}

/// What is asked in a case of a file, or by ourselves.
enum Asked {
    Case(Box<Case>),
    Odd(String, Question),
}

/// A plugin in tests: loaded once for each kind and configuration.
struct Tested<'a> {
    subject: &'a Subject,
    kinds: Vec<&'static str>,
    limits: Limits,
    loaded: BTreeMap<(&'static str, String), Result<Plugins, LoadError>>,
    say: Say,
}

/// Prints what differs, and a count of all.
pub(super) fn test(arguments: &Test, say: Say) -> Result<(), Failure> {
    let Test { subject, cases, config } = arguments;
    let limits = alone::limits(config.as_deref())?;
    let (kinds, questions) = questions(subject, cases.as_deref(), &limits)?;
    let mut tested = Tested { subject, kinds, limits, loaded: BTreeMap::new(), say };
    let mut page = Page::default();
    let mut failed = 0;
    let all = questions.len();
    for question in questions {
        let (name, wrong) = match question {
            Asked::Case(case) => (case.name.clone(), tested.case(&case)),
            Asked::Odd(name, question) => (name, tested.odd(question)),
        };
        if wrong.is_empty() {
            say.detail(format_args!("ok: {}", printable(&name)));
            continue;
        }
        failed += 1;
        page.line(format_args!("FAILED {}", printable(&name)));
        for line in wrong {
            page.line(format_args!("  {}", printable(&line)));
        }
    }
    let all_cases = counted(all, "case");
    page.line(format_args!("{all_cases}: {} passed, {failed} failed", all - failed));
    page.print()?;
    match failed {
        0 => Ok(()),
        _ => {
            let error = anyhow!("{failed} of {all_cases} failed");
            Err(Failure { code: Code::Failed, error })
        }
    }
}

/// The kinds that the plugin is, and what it is asked.
fn questions(
    subject: &Subject,
    cases: Option<&Path>,
    limits: &Limits,
) -> Result<(Vec<&'static str>, Vec<Asked>), Failure> {
    if let Some(path) = cases {
        let (kinds, cases) = cases::of(path, subject, limits)?;
        return Ok((kinds, cases.into_iter().map(|case| Asked::Case(Box::new(case))).collect()));
    }
    let setup = Setup { limits: limits.clone(), ..Setup::default() };
    let found =
        inspect(&subject.spec(), &setup).map_err(|error| Failure::new(Code::Usage, error))?;
    let odd = odd::questions(&found.kinds, &found.interest);
    Ok((found.kinds, odd.into_iter().map(|(name, odd)| Asked::Odd(name, odd)).collect()))
}

impl Tested<'_> {
    fn plugins(
        &mut self,
        kind: &'static str,
        config: &Map<String, Value>,
    ) -> &mut Result<Plugins, LoadError> {
        let (subject, limits) = (self.subject, &self.limits);
        let key = (kind, Value::Object(config.clone()).to_string());
        self.loaded.entry(key).or_insert_with(|| {
            alone::load(kind, &PluginSpec { config: config.clone(), ..subject.spec() }, limits)
        })
    }

    /// What is wrong, a line each.
    fn case(&mut self, case: &Case) -> Vec<String> {
        let Some(question) = &case.question else {
            let kinds = self.kinds.clone();
            let each = kinds.into_iter().map(|kind| self.configured(kind, case));
            return each.flatten().collect();
        };
        if matches!(case.expected, Expected::Refused(_)) {
            return self.configured(question.kind(), case);
        }
        let say = self.say;
        match self.plugins(question.kind(), &case.config) {
            Ok(plugins) => match asked_twice(question.clone(), plugins, say) {
                Ok(answer) => differences(&case.expected, &shown(answer)),
                Err(wrong) => vec![wrong],
            },
            Err(error) => vec![error.to_string()],
        }
    }

    /// What is wrong with how it takes a case's configuration.
    fn configured(&mut self, kind: &'static str, case: &Case) -> Vec<String> {
        let told = match self.plugins(kind, &case.config) {
            Ok(_) => None,
            Err(LoadError { problem: Problem::Refuses(told), .. }) => Some(told.clone()),
            Err(error) => return vec![error.to_string()],
        };
        match (&case.expected, told) {
            (Expected::Refused(words), Some(told)) if told.contains(words.as_str()) => Vec::new(),
            (Expected::Refused(words), told) => {
                let told = told.unwrap_or_else(|| "the configuration is accepted".to_owned());
                different("refused", Some(words), Some(&told))
            }
            (_, Some(told)) => vec![format!("refuses its configuration: {told}")],
            (_, None) => Vec::new(),
        }
    }

    fn odd(&mut self, question: Question) -> Vec<String> {
        let (config, say) = (self.subject.with.clone(), self.say);
        match self.plugins(question.kind(), &config) {
            Ok(plugins) => asked_twice(question, plugins, say).err().into_iter().collect(),
            Err(error) => vec![error.to_string()],
        }
    }
}

/// The answer; an error where the plugin failed, or answers otherwise when it is asked again.
fn asked_twice(mut question: Question, plugins: &mut Plugins, say: Say) -> Result<Answer, String> {
    let mut ask = || {
        let answer = question.ask(plugins);
        let trouble = Trouble::take(plugins);
        for line in &trouble.log {
            say.detail(format_args!("{}: {}", line.plugin, line.message));
        }
        trouble.told().map_or(Ok(answer), Err)
    };
    let (first, again) = (ask()?, ask()?);
    // What filters decide is never remembered: they may count.
    if first != again && !matches!(first, Answer::Decision(_)) {
        return Err(format!(
            "asked again, it answers otherwise: first {first:?}, then {again:?}; an answer may depend on the question \
             and the configuration alone"
        ));
    }
    Ok(first)
}

/// The answer as cases are written.
fn shown(answer: Answer) -> Expected {
    let pairs = |labels: Vec<Label>| {
        labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect()
    };
    match answer {
        Answer::Verdict { file_type, labels } => Expected::Verdict {
            file_type: file_type.map(|word| word.as_str().to_owned()),
            labels: pairs(labels),
        },
        Answer::Text(text) => Expected::Text(text),
        Answer::Decision(decision) => {
            let (word, labels) = match decision {
                Decision::Keep => ("keep", Vec::new()),
                Decision::Drop => ("drop", Vec::new()),
                Decision::Label(labels) => ("label", labels),
            };
            Expected::Decision { decision: word.to_owned(), labels: pairs(labels) }
        }
    }
}

/// What differs, field by field: what should be there behind `-`, what is there behind `+`.
fn differences(wanted: &Expected, given: &Expected) -> Vec<String> {
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

fn fields(answer: &Expected) -> BTreeMap<String, String> {
    let labelled = |first: (&str, String), labels: &BTreeMap<String, String>| {
        let labels = labels.iter().map(|(name, value)| (format!("labels.{name}"), quoted(value)));
        std::iter::once((first.0.to_owned(), first.1)).chain(labels).collect()
    };
    match answer {
        Expected::Verdict { file_type, labels } => {
            let word = file_type.as_ref().map_or("null".to_owned(), |word| quoted(word));
            labelled(("file_type", word), labels)
        }
        Expected::Decision { decision, labels } => labelled(("decision", quoted(decision)), labels),
        Expected::Text(text) => [("text".to_owned(), quoted(text))].into(),
        Expected::Refused(_) | Expected::Accepted => BTreeMap::new(),
    }
}

/// As in cases.json.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_field() {
        let verdict = |word: Option<&str>, labels: &[(&str, &str)]| Expected::Verdict {
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
