//! SECURITY.md and docs/reliability.md name the test that shows each promise.

use std::fs;
use std::path::Path;

use crypto_tracer_tests::workspace;

crypto_tracer_tests::tests![every_promise_names_a_test_that_exists];

/// Appends all Rust sources below a folder.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

fn every_promise_names_a_test_that_exists() {
    let root = workspace();
    let mut code = String::new();
    for folder in ["host", "host-common", "tests", "plugins"] {
        sources(&root.join(folder), &mut code);
    }
    let mut promises = 0;
    for page in ["SECURITY.md", "docs/reliability.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let mut is_table = false;
        for line in text.lines() {
            let mut cells = line.split('|').rev().skip(1);
            let Some(last) = cells.next().filter(|_| line.starts_with('|')) else {
                is_table = false;
                continue;
            };
            if last.trim() == "test" {
                is_table = true;
            } else if is_table && !line.starts_with("|---") {
                promises += 1;
                let mut names = last.split('`').skip(1).step_by(2).peekable();
                assert!(names.peek().is_some(), "{page}: no test shows this: {line}");
                for name in names.filter(|name| !name.contains('/') && *name != "fuzz") {
                    let exists = code.contains(&format!("fn {name}("));
                    assert!(exists, "{page} names the test {name}, which does not exist");
                }
            }
        }
    }
    assert!(promises > 20, "the tables were not found");
}
