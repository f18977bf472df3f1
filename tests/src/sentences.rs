//! Which test holds which sentence of the specification: `tests/sentences.toml`.
//!
//! The specification lies beside the clone, where there is one. A sentence is known by the beginning of the sha256 of
//! its words; the words behind it are for people. A value is a list of tests, or a text that says why there is none.
//! Where the specification is not there, `whole` still holds: no sentence gets lost or is made up unnoticed.
//! A test is called `BINARY::MODULE::NAME`, without the `tests` in between; `bench::CASE` is a case of
//! `cargo xtask bench`, for what only a quiet machine can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What holds a sentence.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Held {
    /// These tests do.
    By(Vec<String>),
    /// Nothing, and why.
    ByNothing(String),
}

/// The files of the specification, their sentences, and what holds them.
pub type Sentences = BTreeMap<String, BTreeMap<String, Held>>;

/// What `tests/sentences.toml` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Listed {
    /// For each file, what [`whole`] gives for its sentences.
    #[serde(default)]
    pub whole: BTreeMap<String, String>,
    /// The files themselves.
    #[serde(flatten)]
    pub files: Sentences,
}

/// Where the tests of a binary are.
const HOMES: [(&str, &str); 8] = [
    ("crypto_tracer", "host/src"),
    ("crypto_tracer_common", "host-common/src"),
    ("crypto_tracer_tests", "tests/src"),
    ("classify_default", "plugins/classify-default/src"),
    ("redact_default", "plugins/redact-default/src"),
    ("source_live", "host/tests/source_live"),
    ("xtask", "xtask/src"),
    ("", "tests/tests"),
];

/// What `tests/sentences.toml` says.
///
/// # Errors
/// It cannot be read, or is none.
pub fn sentences(root: &Path) -> Result<Listed, String> {
    let path = root.join("tests/sentences.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// What is wrong with the list: sentences without a word on them, words on sentences that are gone, tests that are
/// not there. Where the specification is not beside the clone, what `whole` says stands for it.
pub fn wrong(root: &Path, listed: &Listed) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, held) in &listed.files {
        let is = whole(held.keys().map(|key| id_of(key)));
        if listed.whole.get(file) != Some(&is) {
            wrong.push(format!(
                "other sentences of {file} are listed than were; if that is right: \"{is}\""
            ));
        }
        let Some(text) = specification(root, file) else { continue };
        let there: BTreeMap<String, String> = split(&text).map(|text| (id(&text), text)).collect();
        let known: BTreeSet<&str> = held.keys().map(|key| id_of(key)).collect();
        for (id, text) in &there {
            if !known.contains(id.as_str()) {
                wrong.push(format!("{file} has a sentence that is not listed: {id} {text}"));
            }
        }
        for key in held.keys().filter(|key| !there.contains_key(id_of(key))) {
            wrong.push(format!("{file} has no such sentence any more: {key}"));
        }
    }
    for file in listed.whole.keys().filter(|file| !listed.files.contains_key(*file)) {
        wrong.push(format!("no sentence of {file} is listed any more"));
    }
    let tests = tests_in(root);
    for name in named(&listed.files) {
        if !tests.contains(&name) {
            wrong.push(format!("there is no test {name}"));
        }
    }
    wrong
}

/// Which of the named tests did not run and pass, as what `cargo test` printed says.
pub fn not_passed(listed: &Listed, printed: &str) -> Vec<String> {
    let mut passed = BTreeSet::new();
    let mut binary = "";
    for line in printed.lines().map(str::trim) {
        if let Some((_, file)) =
            line.strip_prefix("Running ").and_then(|rest| rest.rsplit_once("/deps/"))
        {
            binary = file.rsplit_once('-').map_or(file, |(name, _)| name);
        }
        let name = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok"));
        if let Some(name) = name {
            // ` - should panic` stands behind some.
            let name = name.split(' ').next().unwrap_or(name);
            passed.insert(without_tests(&format!("{binary}::{name}")));
        }
    }
    let bench = |name: &String| name.starts_with("bench::");
    named(&listed.files).into_iter().filter(|name| !bench(name) && !passed.contains(name)).collect()
}

fn named(listed: &Sentences) -> BTreeSet<String> {
    let held = listed.values().flat_map(BTreeMap::values);
    held.filter_map(|held| match held {
        Held::By(tests) => Some(tests),
        Held::ByNothing(_) => None,
    })
    .flatten()
    .cloned()
    .collect()
}

/// A file of the specification, beside the clone or beside the folder that its worktrees are in.
fn specification(root: &Path, file: &str) -> Option<String> {
    let beside = ["../shared/spec", "../../shared/spec"].map(|folder| root.join(folder).join(file));
    beside.iter().find_map(|path| fs::read_to_string(path).ok())
}

/// The number of sentences, and one hash over the names of all.
fn whole<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: BTreeSet<&str> = ids.collect();
    let all: Vec<&str> = ids.iter().copied().collect();
    format!("{} sentences, {}", all.len(), id(&all.join(" ")))
}

fn id_of(key: &str) -> &str {
    key.split(' ').next().unwrap_or_default()
}

fn id(sentence: &str) -> String {
    Sha256::digest(sentence).iter().take(4).fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// The sentences of a text: its lines without headings, rows of tables, and what stands between braces as one.
fn split(text: &str) -> impl Iterator<Item = String> {
    let mut sentences = Vec::new();
    let mut block: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if !block.is_empty() || line == "{" {
            let ends = line == "}";
            block.push(line);
            if ends {
                sentences.push(block.join(" "));
                block.clear();
            }
            continue;
        }
        let heading = line.ends_with('¶') || line.starts_with("# ") || line.starts_with("## ");
        let label = line.ends_with(':') && line.split(' ').count() <= 2;
        if line.is_empty() || heading || label || line.starts_with("|---") {
            continue;
        }
        let line = line.trim_start_matches(['-', ' ']);
        if line.starts_with('|') {
            sentences.push(line.to_owned());
        } else {
            line.split(" · ").for_each(|part| ended(part, &mut sentences));
        }
    }
    sentences.into_iter()
}

/// Cuts behind a full stop that a new sentence follows.
fn ended(line: &str, sentences: &mut Vec<String>) {
    let mut rest = line;
    let mut from = 0;
    while let Some(at) = rest.get(from..).and_then(|part| part.find(' ')).map(|at| from + at) {
        let (before, behind) = rest.split_at(at);
        let begins = |c: char| c.is_ascii_uppercase() || "`(~/".contains(c);
        if before.ends_with(['.', '!', '?']) && behind.trim_start().starts_with(begins) {
            sentences.push(before.to_owned());
            rest = behind.trim_start();
            from = 0;
        } else {
            from = at + 1;
        }
    }
    sentences.extend(Some(rest.to_owned()).filter(|rest| !rest.is_empty()));
}

/// All tests that the sources have, and the cases of the benchmark.
fn tests_in(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (binary, home) in HOMES {
        let home = root.join(home);
        for file in sources(&home) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let module = file.strip_prefix(&home).unwrap_or(&file).with_extension("");
            let module = module.to_string_lossy().replace('/', "::");
            let module = module.trim_end_matches("::mod");
            let mut lines = text.lines().map(str::trim);
            while lines.by_ref().any(|line| line == "#[test]") {
                let test = lines.by_ref().find_map(|line| line.strip_prefix("fn "));
                let name = test.and_then(|test| test.split('(').next()).unwrap_or_default();
                let name = format!("{binary}::{module}::{name}");
                found.insert(without_tests(name.trim_start_matches("::")));
            }
        }
    }
    let cases = fs::read_to_string(root.join("xtask/src/bench/cases.rs")).unwrap_or_default();
    found.extend(bench_cases(&cases).map(|case| format!("bench::{case}")));
    found
}

/// The names in the list of all cases, and nothing else that looks like one.
fn bench_cases(source: &str) -> impl Iterator<Item = &str> {
    let all = source.split_once("const ALL").map_or("", |(_, behind)| behind);
    let list = all.split_once("];").map_or("", |(list, _)| list);
    list.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next())
}

fn without_tests(name: &str) -> String {
    name.split("::").filter(|part| *part != "tests").collect::<Vec<_>>().join("::")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_falls_into_sentences() {
        let text = "# Title\n\nOne is. Two, e.g. this. `three` too\n- a · b\nHeading¶\nFields:\n{\n\"a\": 1\n}\n\
                    |---|---|\n| c. D |\n";
        let sentences: Vec<_> = split(text).collect();
        let right =
            ["One is.", "Two, e.g. this.", "`three` too", "a", "b", "{ \"a\": 1 }", "| c. D |"];
        assert_eq!(sentences, right);
    }

    #[test]
    fn a_sentence_that_is_not_listed_any_more_is_missed_without_the_specification_too() {
        let root = crate::workspace();
        let mut listed = sentences(&root).unwrap();
        assert_eq!(wrong(&root, &listed), [] as [&str; 0]);
        let dropped = listed.files.get_mut("product.md").and_then(BTreeMap::pop_first);
        let nowhere = Path::new("/nowhere");
        let said = wrong(nowhere, &listed).join("\n");
        assert!(dropped.is_some() && said.contains("other sentences of product.md"), "{said}");
        assert!(!said.contains("basic-concepts.txt"), "{said}");
        listed.files.remove("basic-concepts.txt");
        let said = wrong(nowhere, &listed).join("\n");
        assert!(said.contains("no sentence of basic-concepts.txt"), "{said}");
    }

    #[test]
    fn cases_of_the_benchmark_are_those_in_its_list() {
        let source = "    (\"before\", x),\nconst ALL: [(&str, Case); 2] = [\n    (\"one\", one),\n    \
                      (\"two\", two),\n];\n    (\"behind\", x),\n";
        assert_eq!(bench_cases(source).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn only_what_ran_and_passed_counts() {
        let listed: Listed =
            toml::from_str("[x]\n\"1 a\" = [\"one::a\", \"two::m::b\", \"one::c\", \"bench::d\"]\n\"2 b\" = \"says nothing\"")
                .unwrap();
        let printed = "     Running tests/one.rs (target/debug/deps/one-0a)\ntest a - should panic ... ok\n\
                       test c ... FAILED\n     Running unittests src/lib.rs (target/debug/deps/two-0b)\n\
                       test m::tests::b ... ok\ntest c ... ok\n";
        assert_eq!(not_passed(&listed, printed), ["one::c"]);
    }
}
