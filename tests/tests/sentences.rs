//! Each sentence of the specification is held by a test, or it is said why by none.

use crypto_tracer_tests::{sentences, workspace};

#[test]
fn every_sentence_is_held_by_tests_that_are_there() {
    let root = workspace();
    let listed = sentences::sentences(&root).unwrap();
    assert!(listed.files.len() == 2 && listed.whole.len() == 2, "both files are listed");
    let wrong = sentences::wrong(&root, &listed);
    assert!(wrong.is_empty(), "tests/sentences.toml:\n{}", wrong.join("\n"));
}
