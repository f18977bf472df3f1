//! Secrets in the command lines of real processes: executes the cases of `plugins/redact-default/tests/cases.rs`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crypto_tracer_tests::{Tracer, needs_bpf, run, workspace};
use serde_json::Value;

crypto_tracer_tests::tests![secrets_are_masked_in_events_of_real_processes];

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Whether a case is about paths, which the tests of homes cover.
fn is_about_paths(hide: &[String], show: &[String]) -> bool {
    let slashes = |text: &String| text.replace("://", "").contains("//") || text.contains("/../");
    hide.iter().any(|text| text.contains("alice")) || show.iter().any(slashes)
}

/// The tracer prints command lines as they are; only JSON escapes control characters.
fn secrets_are_masked_in_events_of_real_processes() {
    needs_bpf!();
    let mut cases = Vec::new();
    for file in ["cmdlines.json", "cmdlines-more.json"] {
        let path = workspace().join("tests/fixtures/cases").join(file);
        let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        cases.extend(all.into_iter().filter(|case| case["kind"] == "firm"));
    }
    let tracer = Tracer::monitor::<&str>([]);
    let mut executed = HashMap::new();
    for case in &cases {
        let (argv, hide, show) = (texts(&case["argv"]), texts(&case["hide"]), texts(&case["show"]));
        if is_about_paths(&hide, &show) {
            continue;
        }
        // `true` ignores its arguments.
        let pid = run(Command::new("/bin/true").arg0(&argv[0]).args(&argv[1..]));
        executed.insert(pid, (argv, hide, show));
    }
    assert!(executed.len() > 900, "{}", executed.len());
    let last = run(Command::new("/bin/true").arg("the-last"));
    tracer.all_of(last);
    let mut wrong = Vec::new();
    for event in tracer.events().iter().filter(|event| event.kind() == "process_exec") {
        let Some((argv, hide, show)) = event.pid().and_then(|pid| executed.remove(&pid)) else {
            continue;
        };
        let cmdline = event.text("cmdline");
        let leaked = hide.iter().any(|text| cmdline.contains(text));
        if leaked || show.iter().any(|text| !cmdline.contains(text)) {
            wrong.push(format!("{argv:?}: {cmdline}"));
        }
    }
    assert!(executed.is_empty(), "no event of {executed:?}");
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    tracer.finish();
}
