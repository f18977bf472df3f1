//! The steps of a plugin author, from an empty folder to a tested plugin.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crypto_tracer_tests::{needs_program, needs_wasi, output, program, skip, temp_dir, workspace};

crypto_tracer_tests::tests![
    new_plugin_of_each_kind_builds_and_passes_its_tests,
    new_plugin_in_c_builds_and_passes_its_cases,
    plugin_new_refuses_existing_paths_and_invalid_names,
    plugin_contract_prints_the_contract,
    plugin_head_prints_what_a_plugin_sees,
    sequence_of_events_uses_one_instance_and_each_case_a_new_one,
    bundled_plugins_accept_edge_inputs,
    failing_case_is_reported_and_the_others_run,
    cases_have_ancestors_numbers_and_removed_labels,
    malformed_cases_are_refused,
    bench_measures_a_plugin_that_exceeds_its_deadline,
];

const TARGET: &str = "wasm32-wasip2";

fn plugin<S: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = S>) -> Output {
    output(Command::new(program()).arg("plugin").args(arguments).current_dir(dir))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn artifact(name: &str) -> PathBuf {
    workspace().join("artifacts").join(name)
}

/// Runs cargo as an author does, but with the dependency versions of the examples, which are already downloaded.
fn cargo(dir: &Path, arguments: &[&str]) {
    let versions = workspace().join("plugins/examples/Cargo.lock");
    fs::copy(versions, dir.join("Cargo.lock")).unwrap();
    let run = |offline: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).args(offline).current_dir(dir);
        command.env("CARGO_TARGET_DIR", workspace().join("target/authoring")).output().unwrap()
    };
    let built = run(&["--offline"]);
    let built = if built.status.success() { built } else { run(&[]) };
    assert!(built.status.success(), "{}\n{}", out(&built), err(&built));
}

fn new_plugin_of_each_kind_builds_and_passes_its_tests() {
    needs_wasi();
    let dir = temp_dir();
    for kind in ["classifier", "redactor", "filter"] {
        let name = format!("acme-{kind}");
        let made = plugin(dir.path(), ["new", &name, "--kind", kind]);
        assert_eq!(made.status.code(), Some(0), "{}", err(&made));
        let root = dir.path().join(&name);
        cargo(&root, &["test"]);
        cargo(&root, &["build", "--release", "--target", TARGET]);
        let built = format!("target/authoring/{TARGET}/release/acme_{kind}.wasm");
        let built = workspace().join(built);
        let built = built.as_os_str();

        let checked = out(&plugin(&root, ["check".as_ref(), built]));
        assert!(checked.contains(&format!("  kinds         {kind}\n")), "{checked}");
        let test = ["test".as_ref(), built, "--cases".as_ref(), "cases.json".as_ref()];
        let tested = plugin(&root, test);
        assert_eq!(tested.status.code(), Some(0), "{}", out(&tested));
        assert!(out(&tested).contains(" passed, 0 failed\n"), "{}", out(&tested));
        assert_eq!(out(&plugin(&root, test)), out(&tested), "the second run prints something else");
        let edge = plugin(&root, ["test".as_ref(), built]);
        assert_eq!(edge.status.code(), Some(0), "{}", out(&edge));
        // Cases with wrong expected values.
        let cases = fs::read_to_string(root.join("cases.json")).unwrap();
        let wrong = cases.replace("site_key", "other").replace("CUSTOMER/", "NOBODY/");
        fs::write(root.join("wrong.json"), wrong.replace("\"drop\"", "\"keep\"")).unwrap();
        let tested =
            plugin(&root, ["test".as_ref(), built, "--cases".as_ref(), "wrong.json".as_ref()]);
        assert_eq!(tested.status.code(), Some(1), "{}", out(&tested));
        assert!(out(&tested).contains("\n  - ") && out(&tested).contains("\n  + "));
        let measured = plugin(&root, ["bench".as_ref(), built]);
        let text = out(&measured);
        assert_eq!(measured.status.code(), Some(0), "{}", err(&measured));
        for row in ["a call", "first call", "load", "memory"] {
            assert!(text.contains(&format!("\n  {row:<13} ")), "{row}: {text}");
        }
        assert_eq!(text.contains("the bundled one"), kind != "filter", "{text}");
    }
}

fn new_plugin_in_c_builds_and_passes_its_cases() {
    needs_wasi();
    for needed in ["clang", "wasm-ld", "make"] {
        needs_program(needed);
    }
    // Debian's package wasi-libc.
    if !Path::new("/usr/include/wasm32-wasi").is_dir() {
        skip("no wasi-libc");
    }
    let dir = temp_dir();
    for kind in ["classifier", "redactor", "filter"] {
        let name = format!("c-{kind}");
        let made = plugin(dir.path(), ["new", &name, "--kind", kind, "--language", "c"]);
        assert_eq!(made.status.code(), Some(0), "{}", err(&made));
        let root = dir.path().join(&name);
        let built = output(Command::new("make").current_dir(&root));
        assert_eq!(built.status.code(), Some(0), "{}{}", out(&built), err(&built));
        assert!(!err(&built).contains("warning"), "{}", err(&built));
        let component = format!("{name}.wasm");
        let checked = out(&plugin(&root, ["check", &component]));
        assert!(checked.contains(&format!("  kinds         {kind}\n")), "{checked}");
        let tested = plugin(&root, ["test", &component, "--cases", "cases.json"]);
        assert!(out(&tested).contains(" passed, 0 failed\n"), "{}", out(&tested));
        let edge = plugin(&root, ["test", &component]);
        assert_eq!(edge.status.code(), Some(0), "{}", out(&edge));
    }
}

fn plugin_contract_prints_the_contract() {
    let printed = plugin(&workspace(), ["contract"]);
    assert_eq!(printed.status.code(), Some(0));
    assert_eq!(printed.stdout, fs::read(workspace().join("wit/plugin.wit")).unwrap());
}

fn plugin_head_prints_what_a_plugin_sees() {
    let dir = temp_dir();
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEsecret\n-----END PRIVATE KEY-----\n";
    fs::write(dir.path().join("a.key"), key).unwrap();
    let head = plugin(dir.path(), ["head", "a.key"]);
    assert_eq!(head.status.code(), Some(0), "{}", err(&head));
    assert_eq!(out(&head), "-----BEGIN PRIVATE KEY-----\n");
    assert!(err(&head).contains("a.key: a plugin with the grant file-head sees 28 bytes of "));
    for odd in [".", "none"] {
        assert_eq!(plugin(dir.path(), ["head", odd]).status.code(), Some(2), "{odd}");
    }
}

/// The filter of the fixture counts its calls.
fn sequence_of_events_uses_one_instance_and_each_case_a_new_one() {
    needs_wasi();
    let dir = temp_dir();
    let made = plugin(dir.path(), ["new", "counting", "--kind", "filter"]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let root = dir.path().join("counting");
    let source = r#"
use crypto_tracer_plugin::{Decision, Event, Filter, log, serde_json::Value};
struct Counting(u32);
impl Filter for Counting {
    fn new(_: Value) -> Result<Counting, String> {
        Ok(Counting(0))
    }
    fn decide(&mut self, event: &Event) -> Decision {
        self.0 += 1;
        (0..100).for_each(|line| log!(info, "line {line} of call {}", self.0));
        Decision::label("call", self.0.to_string()).and("process", event.process())
    }
}
crypto_tracer_plugin::filter!(Counting);
"#;
    fs::write(root.join("src/lib.rs"), source).unwrap();
    let event = r#"{"event_type": "process_exit", "process": "a", "exit_code": 0}"#;
    let expect =
        |call: u32| format!(r#"{{"decision": "label", "labels_include": {{"call": "{call}"}}}}"#);
    let step = |call| format!(r#"{{"event": {event}, "expect": {}}}"#, expect(call));
    let sequence = |name: &str, last: u32| {
        let steps = [step(1), format!(r#"{{"event": {event}}}"#), step(last)];
        format!(r#"{{"name": "{name}", "events": [{}]}}"#, steps.join(", "))
    };
    let single = format!(r#"{{"name": "single", "event": {event}, "expect": {}}}"#, expect(1));
    let cases = [sequence("right", 3), single, sequence("wrong", 2)].join(", ");
    fs::write(root.join("cases.json"), format!(r#"{{"cases": [{cases}]}}"#)).unwrap();
    cargo(&root, &["build", "--release", "--target", TARGET]);
    let built = workspace().join("target/authoring").join(TARGET).join("release/counting.wasm");
    let test = ["test".as_ref(), built.as_os_str(), "--cases".as_ref(), "cases.json".as_ref()];
    let tested = plugin(&root, test);
    let text = out(&tested);
    assert_eq!(tested.status.code(), Some(1), "{text}{}", err(&tested));
    let failed = "FAILED wrong\n  event 3: - labels.call: \"2\"\n  event 3: + labels.call: \"3\"\n  log info: line 0 of call 1\n";
    assert!(text.starts_with(failed), "{text}");
    // Every line of all three calls, and those of no other case.
    assert_eq!(text.matches("  log info: ").count(), 300, "{text}");
    assert!(text.ends_with("3 cases: 2 passed, 1 failed\n"), "{text}");
}

fn plugin_new_refuses_existing_paths_and_invalid_names() {
    let dir = temp_dir();
    let root = dir.path().join("acme");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("Cargo.toml"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
    for name in ["acme", "link"] {
        let made = plugin(dir.path(), ["new", name, "--kind", "filter"]);
        assert_eq!(made.status.code(), Some(2), "{}", err(&made));
        assert!(err(&made).contains("already exists"), "{}", err(&made));
    }
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    assert_eq!(fs::read(root.join("Cargo.toml")).unwrap(), b"mine");
    for name in ["", "..", "a/b", "2a", "a b", "fn", "wit-bindgen"] {
        let made = plugin(dir.path(), ["new", "--kind", "filter", "--", name]);
        assert_eq!(made.status.code(), Some(2), "{name:?}: {}", err(&made));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

fn bundled_plugins_accept_edge_inputs() {
    for name in ["classify-default.wasm", "redact-default.wasm"] {
        let path = artifact(name);
        let tested = plugin(&workspace(), ["test".as_ref(), path.as_os_str()]);
        assert_eq!(tested.status.code(), Some(0), "{}", out(&tested));
        assert!(out(&tested).contains(" passed, 0 failed\n"));
    }
}

fn failing_case_is_reported_and_the_others_run() {
    let hostile = workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm");
    let dir = temp_dir();
    let cases = dir.path().join("cases.json");
    fs::write(
        &cases,
        r#"{"config": {"mode": "panic"}, "cases": [
            {"name": "one", "file": {"path": "/a.pem"}, "expect": {"file_type": null}},
            {"name": "two", "event": {"event_type": "process_exit", "exit_code": 0}, "expect": {"decision": "keep"}}
        ]}"#,
    )
    .unwrap();
    let test = ["test".as_ref(), hostile.as_os_str(), "--cases".as_ref(), cases.as_os_str()];
    let tested = plugin(dir.path(), test);
    let text = out(&tested);
    assert_eq!(tested.status.code(), Some(1), "{text}{}", err(&tested));
    assert!(text.contains("FAILED one\n  failed as a classifier: "), "{text}");
    assert!(text.contains("FAILED two\n  failed as a filter: "), "{text}");
    assert!(text.ends_with("2 cases: 0 passed, 2 failed\n"), "{text}");
    let with_cases = plugin(
        dir.path(),
        ["bench", "--cases"]
            .map(OsStr::new)
            .iter()
            .chain([&cases.as_os_str(), &hostile.as_os_str()]),
    );
    // The cases have their configuration, so `--with` is not needed.
    assert_eq!(with_cases.status.code(), Some(0), "{}", err(&with_cases));
    assert!(out(&with_cases).contains("  first failure failed as a "), "{}", out(&with_cases));
    let config = r#"{"mode": "panic"}"#;
    let bench = ["bench".as_ref(), hostile.as_os_str(), "--with".as_ref(), config.as_ref()];
    let measured = plugin(dir.path(), bench);
    assert_eq!(measured.status.code(), Some(0), "{}", err(&measured));
    assert!(out(&measured).contains("  first failure failed as a "), "{}", out(&measured));
}

fn cases_have_ancestors_numbers_and_removed_labels() {
    let dir = temp_dir();
    let filter = workspace().join("tests/fixtures/plugins/filter-probe.wasm");
    let cases = dir.path().join("cases.json");
    let run = |way: &str, event: &str, expect: &str| {
        let case = format!(
            r#"{{"cases": [{{"name": "a", "config": {{"way": "{way}"}}, "event": {{{event}}}, "expect": {{{expect}}}}}]}}"#
        );
        fs::write(&cases, case).unwrap();
        out(&plugin(
            dir.path(),
            ["test".as_ref(), filter.as_os_str(), "--cases".as_ref(), cases.as_os_str()],
        ))
    };
    let open = r#""event_type": "file_open", "file": "/a", "start": 77, "inode": 9, "labels": {"a": "1", "b": "2"}"#;
    let child = r#""event_type": "process_exit", "exit_code": 137, "signal": 9,
        "ancestors": [{"pid": 5, "process": "sh", "exe": "/bin/sh", "uid": 3, "start": 8}, {"pid": 1}]"#;
    for (way, event, expect) in [
        ("remove a", open, r#""decision": "keep", "removed": ["a"]"#),
        ("replace a", open, r#""decision": "label", "labels": {"a": "none"}, "removed": ["a"]"#),
        ("key", open, r#""decision": "label", "labels": {"key": "1000:77"}"#),
        ("number inode", open, r#""decision": "label", "labels": {"number": "9"}"#),
        ("number signal", child, r#""decision": "label", "labels": {"number": "9"}"#),
        ("number ppid", child, r#""decision": "label", "labels": {"number": "5"}"#),
        (
            "ancestors",
            child,
            r#""decision": "label", "labels": {"ancestor_1": "5 sh /bin/sh 3 8 5:8", "ancestor_2": "1  none 0 0 1:0"}"#,
        ),
    ] {
        assert_eq!(run(way, event, expect), "1 case: 1 passed, 0 failed\n", "{way}");
    }
    let text = run("remove a", open, r#""decision": "keep""#);
    assert!(text.starts_with("FAILED a\n  + removed.a: true\n"), "{text}");
}

fn malformed_cases_are_refused() {
    let classifier = artifact("classify-default.wasm");
    let dir = temp_dir();
    let cases = dir.path().join("cases.json");
    let one = |case: &str| format!(r#"{{"cases": [{{"name": "a", {case}}}]}}"#);
    let malformed = [
        ("{", "line 1 column 1: not valid JSON, expected an object with `cases`"),
        ("[]", "expected an object with `cases`"),
        (r#"{"cases": [[]]}"#, "expected an object with `name` and `expect`"),
        (r#"{"cases": [], "case": 1}"#, "unknown field `case`"),
        (r#"{"cases": []}"#, "at least one"),
        (
            r#"{"cases": [{"name": "a", "file": {"pat": ""}, "expect": {}}]}"#,
            "unknown field `pat`, expected one of `path`",
        ),
        (r#"{"cases": [{"name": "a", "file": {"path": "/a"}, "expect": {}}]}"#, "case 1 (\"a\")"),
        ("", "EOF"),
        (r#"{"config": []}"#, "expected a map"),
        (r#"{"cases": [{"file": {"path": "/a"}, "expect": {}}]}"#, "missing field `name`"),
        (&one(r#""file": {"path": "/a"}, "expect": {"type": null}"#), "unknown field `type`"),
        (&one(r#""file": {"path": "/a", "size": -1}, "expect": {}"#), "`-1`, expected u64"),
        (
            &one(
                r#""file": {"path": "/a", "content_file": "gone"}, "expect": {"file_type": null}"#,
            ),
            "gone: No such file",
        ),
        (
            &one(r#""file": {"path": "/a", "content_base64": "!"}, "expect": {"file_type": null}"#),
            "`content_base64`",
        ),
        (
            &one(r#""file": {"path": "/a", "content": "", "content_file": "a"}, "expect": {}"#),
            "expected only one of `content`, `content_base64`, `content_file`",
        ),
        (
            &one(r#""file": {"path": "/a"}, "text": {"field": "file", "value": ""}, "expect": {}"#),
            "expected only one of `file`, `text`, `event`",
        ),
        (&one(r#""file": {"path": "/a"}, "expect": {"decision": "keep"}"#), "`file_type` (a word"),
        (
            &one(r#""text": {"field": "file", "value": ""}, "expect": {"text": ""}"#),
            "the case \"a\" is for a redactor, but the plugin is a classifier",
        ),
        (
            &one(r#""event": {"event_type": "file_opened"}, "expect": {"decision": "keep"}"#),
            "expected file_open, lib_load, process_exec or process_exit",
        ),
        (
            &one(
                r#""event": {"event_type": "process_exit", "fil": ""}, "expect": {"decision": "keep"}"#,
            ),
            "unknown field `fil`: this event has event_type, ",
        ),
    ];
    for (at, (text, wanted)) in malformed.into_iter().enumerate() {
        fs::write(&cases, text).unwrap();
        // Both commands read the file in the same way.
        let commands = if at == 0 { &["test", "bench"][..] } else { &["test"] };
        for command in commands {
            let arguments =
                [command.as_ref(), classifier.as_os_str(), "--cases".as_ref(), cases.as_os_str()];
            let tested = plugin(dir.path(), arguments);
            let stderr = err(&tested);
            assert_eq!(tested.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains(wanted) && stderr.contains("cases.json"), "{stderr}");
            assert!(out(&tested).is_empty());
        }
    }
    let missing = ["test".as_ref(), classifier.as_os_str(), "--cases".as_ref(), "none".as_ref()];
    let tested = plugin(dir.path(), missing);
    assert_eq!(tested.status.code(), Some(2));
    assert!(err(&tested).contains("none: No such file"), "{}", err(&tested));
}

/// Every call ends at its deadline, but the benchmark ends in time and reports the failures.
fn bench_measures_a_plugin_that_exceeds_its_deadline() {
    let hostile = workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm");
    let dir = temp_dir();
    let cases = dir.path().join("cases.json");
    let case = r#"{"cases": [{"name": "one", "file": {"path": "/a.pem"}, "expect": {"file_type": null}}]}"#;
    fs::write(&cases, case).unwrap();
    let with = r#"{"way": "spin"}"#;
    let bench = ["bench".as_ref(), hostile.as_os_str(), "--with".as_ref(), with.as_ref()];
    let measured =
        plugin(dir.path(), bench.into_iter().chain(["--cases".as_ref(), cases.as_os_str()]));
    let text = out(&measured);
    assert_eq!(measured.status.code(), Some(0), "{text}{}", err(&measured));
    let row = |name: &str| {
        let row = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
        row.unwrap_or_else(|| panic!("no {name}: {text}")).trim_start().to_owned()
    };
    let number = |name| row(name).split_whitespace().next().unwrap().parse::<u64>().unwrap();
    assert!(number("calls") >= 4, "{text}");
    assert_eq!(number("failed"), number("calls"), "{text}");
    // Each of these is at least the deadline of 20 ms.
    for name in ["a call", "slow rounds", "first call"] {
        assert!(number(name) >= 20 && row(name).contains(" ms"), "{name}: {text}");
    }
    let expected = "failed as a classifier: ran for more than 20ms of processor time (deadline)";
    assert_eq!(row("first failure"), expected, "{text}");
}
