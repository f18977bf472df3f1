//! What is committed in artifacts/ belongs to the sources.

use std::process::Command;

use crypto_tracer_tests::workspace;

crypto_tracer_tests::tests![artifacts_match_the_sources];

/// Hashes, and the plugins compiled ahead of time again. `.ci/run` rebuilds all of it too.
fn artifacts_match_the_sources() {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--bin", "xtask", "--", "artifacts", "--check", "--no-rebuild"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
