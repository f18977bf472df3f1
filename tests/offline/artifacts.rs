//! The committed files in artifacts/ match the sources.

use std::process::Command;

use crypto_tracer_tests::workspace;

crypto_tracer_tests::tests![artifacts_match_the_sources];

/// Compares hashes, and compiles the plugins ahead of time again. `.ci/run` also rebuilds everything.
fn artifacts_match_the_sources() {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--bin", "xtask", "--", "artifacts", "--check", "--no-rebuild"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
