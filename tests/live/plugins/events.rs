//! A site's own classifier instead of the bundled one, in a live run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crypto_tracer_tests::{Tracer, needs_bpf, run, temp_dir, workspace};

crypto_tracer_tests::tests![
    site_classifier_changes_types_and_interest,
    site_classifier_changes_reported_libraries,
];

/// Path of the plugin that `cargo xtask artifacts` builds from `tests/fixtures/site-classifier`.
fn site_classifier() -> PathBuf {
    workspace().join("tests/fixtures/plugins/site-classifier.wasm")
}

fn site_classifier_changes_types_and_interest() {
    needs_bpf!();
    let dir = temp_dir();
    for name in ["a.pem", "b.key", "c.site", "token"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let read = |tracer: &Tracer| {
        let pid =
            run(Command::new("cat").args(["a.pem", "b.key", "c.site", "token"]).current_dir(&dir));
        let events = tracer.all_of(pid);
        let opens = events.iter().filter(|event| event.kind() == "file_open");
        opens
            .map(|open| {
                open.assert_documented();
                let name = open.text("file").rsplit('/').next().unwrap_or_default();
                (name.to_owned(), open.text("file_type").to_owned())
            })
            .collect::<Vec<_>>()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|&(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    };

    let bundled = Tracer::monitor(["--classifier", "default"]);
    assert_eq!(read(&bundled), pairs(&[("a.pem", "unknown"), ("b.key", "private_key")]));
    bundled.finish();

    let site =
        Tracer::monitor([std::ffi::OsStr::new("--classifier"), site_classifier().as_os_str()]);
    assert_eq!(
        read(&site),
        pairs(&[("a.pem", "keystore"), ("c.site", "site-secret"), ("token", "unknown")])
    );
    site.finish();
}

fn site_classifier_changes_reported_libraries() {
    needs_bpf!();
    // Its interest has only the C library, which every program maps.
    let site =
        Tracer::monitor([std::ffi::OsStr::new("--classifier"), site_classifier().as_os_str()]);
    let pid = run(Command::new("openssl").arg("version"));
    let events = site.all_of(pid);
    let names: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == "lib_load")
        .map(|event| event.text("library_name"))
        .collect();
    assert_eq!(names, ["libc"]);
    site.finish();
}
