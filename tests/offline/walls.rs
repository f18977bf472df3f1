//! The rules of ARCHITECTURE.md that a compiler does not hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crypto_tracer_tests::workspace;

crypto_tracer_tests::tests![
    words_are_told_from_comments_and_quotes,
    no_step_names_another,
    what_travels_knows_no_step,
    the_kernels_library_stays_in_source,
    the_engine_stays_in_plugin,
    compiled_code_is_loaded_from_nowhere_but_the_program,
    every_member_inherits_versions_and_lints,
    nothing_is_left_for_later_without_a_name,
    no_test_is_left_to_a_harness_that_is_not_there,
];

/// The steps of the pipeline and what serves one of them. None may name another: only the pipeline knows them all.
const STEPS: [&str; 8] =
    ["decode", "document", "enrich", "select", "output", "plugin", "reader", "source"];
/// What may know all steps.
const KNOW_ALL: [&str; 5] = ["pipeline", "commands", "lib.rs", "main.rs", "cli.rs"];

/// Every file below a folder with this extension, without what is built or fetched.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The words and signs of Rust source, without comments and without what stands in quotes.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => quoted(rest),
            'r' if rest[1..].trim_start_matches('#').starts_with('"') => raw(rest),
            '\'' => character(rest),
            c if c == '_' || c.is_alphanumeric() => {
                let word = |c: char| c == '_' || c.is_alphanumeric();
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                tokens.push(rest[..end].to_owned());
                end
            }
            ':' if rest.starts_with("::") => {
                tokens.push("::".to_owned());
                2
            }
            c if c.is_whitespace() => c.len_utf8(),
            c => {
                tokens.push(c.to_string());
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    rest.len()
}

fn raw(rest: &str) -> usize {
    let hashes = rest[1..].find('"').unwrap();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 1 + hashes + 1;
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

/// A character in quotes, or the sign of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => rest[2..].find('\'').map_or(rest.len(), |at| {
            // `'\''`
            if at == 0 { 4 } else { at + 3 }
        }),
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The modules of its own crate that a file names: `X` of `crate::X` and of `crate::{X, …}`.
fn named(tokens: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| *token == "crate") {
        let behind = &tokens[at + 1..];
        match behind {
            [colons, open, group @ ..] if colons == "::" && open == "{" => {
                let mut depth = 0;
                let mut first = true;
                for token in group {
                    match token.as_str() {
                        "}" if depth == 0 => break,
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        "," if depth == 0 => first = true,
                        _ if first => {
                            names.insert(token.clone());
                            first = false;
                        }
                        _ => {}
                    }
                }
            }
            [colons, name, ..] if colons == "::" => {
                names.insert(name.clone());
            }
            _ => {}
        }
    }
    names
}

/// The top module that a file of host/src belongs to.
fn step_of(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root.join("host/src")).unwrap();
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn words_are_told_from_comments_and_quotes() {
    let source = r##"use crate::{a, b::{c, d}, e}; // crate::f
        /* crate::g */ let x: &'static str = "crate::h \" crate::i"; crate::j::k('\'', '"', r#"crate::l"#);"##;
    let names: Vec<_> = named(&tokens(source)).into_iter().collect();
    assert_eq!(names, ["a", "b", "e", "j"]);
}

fn no_step_names_another() {
    let root = workspace();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files(&root.join("host/src"), "rs") {
        let own = step_of(&root, &file);
        if !STEPS.contains(&own.as_str()) {
            continue;
        }
        seen.insert(own.clone());
        for name in named(&tokens(&fs::read_to_string(&file).unwrap())) {
            let other = STEPS.contains(&name.as_str()) && name != own;
            if other || KNOW_ALL.contains(&name.as_str()) {
                wrong.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "a step names another:\n{}", wrong.join("\n"));
    assert_eq!(seen.len(), STEPS.len(), "not all steps are where this test looks: {seen:?}");
}

fn what_travels_knows_no_step() {
    let root = workspace();
    for file in files(&root.join("host/src/event"), "rs") {
        for name in named(&tokens(&fs::read_to_string(&file).unwrap())) {
            assert!(!STEPS.contains(&name.as_str()), "{}: {name}", file.display());
        }
    }
}

/// Files outside `home` that name a crate.
fn strangers(crate_name: &str, homes: &[&str]) -> Vec<String> {
    let root = workspace();
    let mut wrong = Vec::new();
    for file in files(&root, "rs") {
        let path = file.strip_prefix(&root).unwrap();
        if homes.iter().any(|home| path.starts_with(home)) {
            continue;
        }
        let tokens = tokens(&fs::read_to_string(&file).unwrap());
        let names = tokens.windows(2).any(|pair| match pair {
            [first, second] => {
                (first == crate_name && second == "::") || (first == "use" && second == crate_name)
            }
            _ => false,
        });
        if names {
            wrong.push(path.display().to_string());
        }
    }
    wrong
}

fn the_kernels_library_stays_in_source() {
    assert_eq!(strangers("aya", &["host/src/source"]), [""; 0]);
    assert_eq!(strangers("aya_ebpf", &["host-ebpf"]), [""; 0]);
}

fn the_engine_stays_in_plugin() {
    assert_eq!(strangers("wasmtime", &["host/src/plugin"]), [""; 0]);
}

/// Code that was compiled before comes from inside the program alone: whoever can change a file of it runs anything.
fn compiled_code_is_loaded_from_nowhere_but_the_program() {
    let root = workspace();
    for file in files(&root.join("host/src"), "rs") {
        let words = tokens(&fs::read_to_string(&file).unwrap());
        let loads = |word: &String| word.starts_with("deserialize") && word != "deserialize_seq";
        let loads = words.iter().any(|word| word == "Component") && words.iter().any(loads);
        assert!(!loads || file.ends_with("plugin/bundled.rs"), "{}", file.display());
    }
    let bundled = fs::read_to_string(root.join("host/src/plugin/bundled.rs")).unwrap();
    assert!(tokens(&bundled).iter().any(|word| word == "deserialize"), "it has moved");
    // The engine's own cache is a feature, and its crate is not even there.
    let manifest: toml::Table =
        toml::from_str(&fs::read_to_string(root.join("Cargo.toml")).unwrap()).unwrap();
    let features = &manifest["workspace"]["dependencies"]["wasmtime"]["features"];
    let features: Vec<_> =
        features.as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    assert!(!features.contains(&"cache") && !features.contains(&"default"), "{features:?}");
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    assert!(!lock.contains("name = \"wasmtime-internal-cache\""));
}

fn every_member_inherits_versions_and_lints() {
    let root = workspace();
    let read = |path: &Path| -> toml::Table {
        toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let workspace = read(&root.join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().unwrap();
    assert!(members.len() >= 7);
    for member in members.iter().map(|member| member.as_str().unwrap()) {
        let manifest = read(&root.join(member).join("Cargo.toml"));
        let inherits = |table: &toml::Value| table.get("workspace") == Some(&true.into());
        assert!(manifest.get("lints").is_some_and(inherits), "{member}: lints");
        for key in ["version", "edition", "license", "rust-version", "publish"] {
            assert!(manifest["package"].get(key).is_some_and(inherits), "{member}: {key}");
        }
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(kind) else { continue };
            for (name, wanted) in dependencies.as_table().unwrap() {
                assert!(inherits(wanted), "{member}: {name} has a version of its own");
            }
        }
    }
}

fn nothing_is_left_for_later_without_a_name() {
    let root = workspace();
    // Put together, so that this file does not name them.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for file in ["rs", "toml", "wit", "md"].iter().flat_map(|extension| files(&root, extension)) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let unnamed = |mark: &String| {
                line.split(mark.as_str()).skip(1).any(|behind| !behind.starts_with("(#"))
            };
            if marks.iter().any(unnamed) {
                wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "write MARK(#ISSUE):\n{}", wrong.join("\n"));
}

/// Where the harness is ours, the compiler drops a function that is marked for libtest's, without a word.
fn no_test_is_left_to_a_harness_that_is_not_there() {
    let root = workspace();
    for folder in ["tests/offline", "tests/live", "host/tests/source_live"] {
        let all = files(&root.join(folder), "rs");
        assert!(all.len() > 1, "{folder} has moved");
        for file in all {
            let text = fs::read_to_string(&file).unwrap();
            let marked = text.lines().any(|line| line.trim_start().starts_with("#[test]"));
            assert!(!marked, "{}: list it in tests![], without #[test]", file.display());
        }
    }
}
