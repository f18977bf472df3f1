//! The rules of ARCHITECTURE.md that the compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

use crypto_tracer_tests::workspace;

crypto_tracer_tests::tests![
    aya_and_wasmtime_are_each_used_by_one_crate,
    event_crate_depends_on_no_other_crate,
    only_bundled_plugins_and_the_cache_load_compiled_code,
    every_member_inherits_versions_and_lints,
    deferred_work_names_an_issue,
    no_test_is_marked_for_the_missing_libtest,
];

/// Returns every file below a folder with this extension, except in `target` and hidden folders.
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

/// Returns the tokens of Rust source, without comments and literals in quotes.
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

/// Length of a character literal, or of the `'` of a lifetime.
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

/// Only `capture` depends on aya, and only `plugin` depends on wasmtime.
fn aya_and_wasmtime_are_each_used_by_one_crate() {
    let root = workspace();
    for (library, home) in [("aya", "capture"), ("wasmtime", "plugin")] {
        for name in ["capture", "event", "output", "pipeline", "plugin", "reader", "system", ""] {
            let manifest = root.join("host").join(name).join("Cargo.toml");
            let manifest: toml::Table =
                toml::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
            let depends = manifest["dependencies"].get(library).is_some();
            assert_eq!(depends, name == home, "{library} in host/{name}");
        }
    }
}

/// Every step depends on the crate of events, which depends on none of them.
fn event_crate_depends_on_no_other_crate() {
    let manifest = fs::read_to_string(workspace().join("host/event/Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let own: Vec<_> = dependencies.keys().filter(|name| name.starts_with("crypto-")).collect();
    assert!(own.is_empty(), "{own:?}");
}

/// Compiled code is loaded only from the program itself, and from a directory that only root can write to: a user who can
/// change a file of compiled code can run any code.
fn only_bundled_plugins_and_the_cache_load_compiled_code() {
    let root = workspace();
    for file in files(&root.join("host"), "rs") {
        let words = tokens(&fs::read_to_string(&file).unwrap());
        let loads = |word: &String| word.starts_with("deserialize") && word != "deserialize_seq";
        let loads = words.iter().any(|word| word == "Component") && words.iter().any(loads);
        let known = ["plugin/src/bundled.rs", "plugin/src/code_cache.rs"];
        assert!(!loads || known.iter().any(|known| file.ends_with(known)), "{}", file.display());
    }
    for name in ["bundled.rs", "code_cache.rs"] {
        let text = fs::read_to_string(root.join("host/plugin/src").join(name)).unwrap();
        let loads = tokens(&text).iter().any(|word| word == "deserialize");
        assert!(loads, "{name}: the loader has moved");
    }
    // The engine's own cache is a feature; it is disabled, and its crate is not in the lock file.
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
        // The SDK is published and copied to plugin authors, so its manifest states its own versions.
        if member == "plugins/sdk" {
            continue;
        }
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

fn deferred_work_names_an_issue() {
    let root = workspace();
    // Concatenated, so that this file does not contain the marks.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for file in ["rs", "toml", "wit", "md"].iter().flat_map(|extension| files(&root, extension)) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let unnamed = |mark: &String| {
                line.split(mark.as_str()).skip(1).any(|rest| !rest.starts_with("(#"))
            };
            if marks.iter().any(unnamed) {
                wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "write MARK(#ISSUE):\n{}", wrong.join("\n"));
}

/// With our own harness, the compiler silently drops a function with `#[test]`.
fn no_test_is_marked_for_the_missing_libtest() {
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
