//! Command lines from practice, with their hidden and visible parts, from `tests/fixtures/cases`. The same files are run
//! live by `tests/live/events/secrets.rs`.
#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use redact_default::rules::{Homes, configure, redact};
use serde_json::Value;

const REPORTED: &str = include_str!("../../../tests/fixtures/cases/cmdlines.json");
const MORE: &str = include_str!("../../../tests/fixtures/cases/cmdlines-more.json");

/// Arguable cases that are not masked. docs/redaction.md gives the reason for each kind.
const SHOWN: &[&str] = &[
    // The identifier of a key is not a secret.
    "app AKIA",
    "app ASIA",
    // `--auth` takes a method as often as a secret; `user:secret` is masked.
    "app --auth Zq7Secret9x",
];

struct RecordedCase {
    argv: Vec<String>,
    hide: Vec<String>,
    show: Vec<String>,
    firm: bool,
}

impl RecordedCase {
    /// The rules for paths apply.
    fn is_of_paths(&self) -> bool {
        let slashes =
            |text: &String| text.replace("://", "").contains("//") || text.contains("/../");
        self.hide.iter().any(|text| text.contains("alice")) || self.show.iter().any(slashes)
    }

    fn line(&self) -> String {
        self.argv.join(" ")
    }

    /// The problem, if any.
    fn problem(&self) -> Option<String> {
        let shown = shown(&self.argv);
        let leaked: Vec<_> = self.hide.iter().filter(|text| shown.contains(*text)).collect();
        let lost: Vec<_> = self.show.iter().filter(|text| !shown.contains(*text)).collect();
        let fine = leaked.is_empty() && lost.is_empty();
        let argv = &self.argv;
        (!fine).then(|| format!("{argv:?}\n  shown: {shown}\n  leaked {leaked:?}, lost {lost:?}"))
    }
}

fn cases(text: &str) -> Vec<RecordedCase> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    let case = |case: &Value| RecordedCase {
        argv: texts(&case["argv"]),
        hide: texts(&case["hide"]),
        show: texts(&case["show"]),
        firm: case["kind"] == "firm",
    };
    cases.iter().map(case).collect()
}

fn homes() -> Homes {
    configure(r#"{"homes": ["/var/home", "/export/home", "/usr/home"], "users": []}"#).unwrap()
}

fn shown(arguments: &[String]) -> String {
    let line = arguments.join(" ");
    redact(&homes(), "cmdline", &line, arguments).unwrap_or(line)
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} cases:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn firm_cases() {
    let cases = cases(REPORTED);
    let firm: Vec<_> = cases.iter().filter(|case| case.firm && !case.is_of_paths()).collect();
    assert!(firm.len() > 400, "{}", firm.len());
    assert_none(&firm.iter().filter_map(|case| case.problem()).collect::<Vec<_>>());
}

#[test]
fn further_cases() {
    let cases = cases(MORE);
    assert!(cases.len() > 500, "{}", cases.len());
    let secrets = cases.iter().filter(|case| !case.is_of_paths());
    assert_none(&secrets.filter_map(RecordedCase::problem).collect::<Vec<_>>());
}

/// Detects changed decisions.
#[test]
fn arguable_cases_are_as_decided() {
    for case in cases(REPORTED).iter().filter(|case| !case.firm && !case.is_of_paths()) {
        let line = case.line();
        let is_shown = SHOWN.iter().any(|begin| line.starts_with(begin));
        let problem = case.problem();
        assert_eq!(problem.is_some(), is_shown, "{line}: {problem:?}");
    }
}

/// A second redactor gets the output of the first one, without the arguments.
#[test]
fn masked_text_stays_masked() {
    for case in cases(REPORTED).iter().chain(&cases(MORE)) {
        let once = shown(&case.argv);
        let twice = redact(&homes(), "cmdline", &once, &[]).unwrap_or_else(|| once.clone());
        for text in case.hide.iter().filter(|text| !once.contains(*text)) {
            assert!(!twice.contains(text), "{once}\n{twice}");
        }
    }
}

/// The kernel reports 4096 bytes. A secret that extends beyond them is masked as well.
#[test]
fn a_cut_command_line_shows_no_part_of_a_secret() {
    for case in cases(REPORTED).iter().chain(&cases(MORE)) {
        // `echo x | sudo -S`: the program that reads the secret is cut off too.
        let feeds = |argument: &String| argument.contains("echo ") || argument.contains("printf ");
        if !case.firm
            || case.is_of_paths()
            || case.problem().is_some()
            || case.argv.iter().any(feeds)
        {
            continue;
        }
        for secret in &case.hide {
            let part = &secret[..secret.len() - 3];
            let Some(at) = case.argv.iter().position(|argument| argument.contains(part)) else {
                continue;
            };
            let last = &case.argv[at];
            let end = last.find(part).unwrap() + part.len();
            let mut argv = vec!["env".to_owned(), "A=".to_owned()];
            argv.extend_from_slice(&case.argv[..at]);
            argv.push(last[..end].to_owned());
            let size: usize = argv.iter().map(|argument| argument.len() + 1).sum();
            argv[1].push_str(&"x".repeat(4096 - size));
            let shown = shown(&argv);
            let tail = &shown[4000.min(shown.len())..];
            assert!(!shown.contains(part), "{}: …{tail}", case.line());
        }
    }
}
