//! The commands for plugin authors.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crypto_tracer_tests::{program, temp_dir, trusted_dir, workspace};

crypto_tracer_tests::tests![
    check_prints_properties_of_a_plugin,
    check_refuses_an_invalid_plugin_with_a_remedy,
    check_refuses_what_a_run_refuses,
    check_passes_the_configuration_to_the_plugin,
    list_prints_the_plugins_of_a_run,
];

fn plugin<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(program()).arg("plugin").args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn check_prints_properties_of_a_plugin() {
    let classifier = workspace().join("artifacts/classify-default.wasm");
    let checked = plugin([OsStr::new("check"), classifier.as_os_str()]);
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
    let text = out(&checked);
    for row in [
        ": would load\n",
        "  kinds         classifier\n",
        "  contract      0.1.1 (this program has 0.1.1)\n",
        "  may ask for   file.path, file.size, file.head, interest.file-suffix,",
        "  needs grants  file-head\n",
        "  captures      files ending in .asc ",
        "                libraries ",
        "  limits        memory 16 MiB, stack 512 KiB\n",
    ] {
        assert!(text.contains(row), "{row:?} is not in\n{text}");
    }
    let redactor = workspace().join("artifacts/redact-default.wasm");
    let text = out(&plugin([OsStr::new("check"), redactor.as_os_str()]));
    assert!(text.contains("  kinds         redactor\n"), "{text}");
    assert!(text.contains("  needs grants  none\n") && !text.contains("captures"), "{text}");
    assert!(!text.contains("  costs "), "{text}");
    let filter = workspace().join("tests/fixtures/plugins/filter-probe.wasm");
    let text = out(&plugin([OsStr::new("check"), filter.as_os_str()]));
    assert!(text.contains("event.ancestor, event.process-key, event.number,"), "{text}");
    assert!(text.contains("  costs         a table of all processes,"), "{text}");
}

fn check_refuses_an_invalid_plugin_with_a_remedy() {
    let dir = temp_dir();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let whole = fs::read(workspace().join("artifacts/classify-default.wasm")).unwrap();
    for (path, wanted) in [
        (dir.path().join("missing.wasm"), "No such file"),
        (dir.path().to_owned(), "not a regular file"),
        (file("empty.wasm", b""), "is empty: build the plugin again"),
        (file("text.wasm", b"#!/bin/sh"), "is not WebAssembly: a plugin is a component"),
        (
            file("core.wasm", b"\0asm\x01\0\0\0"),
            "core module, not a component: build it for wasm32-wasip2",
        ),
        (file("cut.wasm", &whole[..whole.len() / 2]), "damaged or cut short"),
        (file("large.wasm", &vec![0; 5 << 20]), "4194304 bytes"),
    ] {
        let checked = plugin([OsStr::new("check"), path.as_os_str()]);
        let stderr = err(&checked);
        assert_eq!(checked.status.code(), Some(2), "{stderr}");
        assert!(out(&checked).is_empty());
        assert!(stderr.contains(wanted) && stderr.contains(&*path.to_string_lossy()), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// `plugin check` says "would load" only if a run would load the plugin: it refuses a file that others can write, and
/// uses the limits of the configuration.
fn check_refuses_what_a_run_refuses() {
    let dir = trusted_dir();
    let file = dir.path().join("site.wasm");
    fs::copy(workspace().join("artifacts/classify-default.wasm"), &file).unwrap();
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    let config = dir.path().join("config.toml");
    fs::write(&config, "[plugins]\nmemory = \"8MiB\"\ncomponent = \"1MiB\"\n").unwrap();
    mode(0o644);
    let words = [OsStr::new("check"), file.as_os_str(), OsStr::new("--config"), config.as_os_str()];
    let checked = plugin(words);
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
    assert!(out(&checked).contains("  limits        memory 8 MiB, "), "{}", out(&checked));
    mode(0o664);
    let run = [OsStr::new("list"), OsStr::new("--classifier"), file.as_os_str()];
    for words in [&words[..], &words[..2], &run] {
        let refused = plugin(words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}: {}", out(&refused));
        let stderr = err(&refused);
        assert!(
            stderr.contains("`chmod go-w ") && stderr.contains("site.wasm"),
            "{words:?}: {stderr}"
        );
    }
    mode(0o644);
    fs::write(&config, "[plugins]\ncomponent = \"4KiB\"\n").unwrap();
    let refused = plugin(words);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("4096 bytes"), "{}", err(&refused));
    fs::write(&config, "[plugin]\n").unwrap();
    let refused = plugin(words);
    assert_eq!(refused.status.code(), Some(2), "a run would not start: {}", out(&refused));
}

fn check_passes_the_configuration_to_the_plugin() {
    let classifier = workspace().join("artifacts/classify-default.wasm");
    let check = |with: &str| {
        plugin([OsStr::new("check"), classifier.as_os_str(), OsStr::new("--with"), with.as_ref()])
    };
    let refused = check(r#"{"tiers": ["gold"]}"#);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("refuses its configuration: "), "{}", err(&refused));
    let misused = check("[1]");
    assert_eq!(misused.status.code(), Some(2));
    assert!(err(&misused).contains("--with"), "{}", err(&misused));
    assert_eq!(check("{}").status.code(), Some(0));
}

fn list_prints_the_plugins_of_a_run() {
    let listed = plugin(["list"]);
    assert_eq!(listed.status.code(), Some(0), "{}", err(&listed));
    let text = out(&listed);
    for row in [
        "classifier 1: classify-default@",
        "redactor 1: redact-default@",
        "  source        default\n",
    ] {
        assert!(text.contains(row), "{row:?} is not in\n{text}");
    }
    let file = workspace().join("artifacts/classify-default.wasm");
    let listed = plugin([
        OsStr::new("list"),
        OsStr::new("--classifier"),
        file.as_os_str(),
        OsStr::new("--classifier"),
        OsStr::new("default"),
    ]);
    let text = out(&listed);
    assert!(text.contains(&format!("  source        {}\n", file.display())), "{text}");
    assert!(text.contains("classifier 2: classify-default@"), "{text}");
    let missing = plugin(["list", "--redactor", "missing.wasm"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("missing.wasm"), "{}", err(&missing));
}
