//! `files` and `libs`: the events of one type, and the options that mean something for them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crypto_tracer_tests::{
    KEYS_LOAD, KEYS_OPEN, Material, Tracer, actor, needs_bpf, output, program, run, temp_dir,
};

crypto_tracer_tests::tests![
    files_prints_opens_alone,
    libs_prints_loads_alone,
    a_name_over_15_bytes_is_the_executables,
    a_named_probe_is_the_one_that_runs,
    a_filter_that_nothing_can_meet_is_warned_about,
    a_family_is_the_same_in_a_replay,
    an_option_of_other_commands_is_refused_with_their_names,
    help_of_a_command_is_the_commands_help,
    version_and_its_option_say_the_same,
    a_standard_output_that_is_closed_is_told,
    completions_name_commands_and_options,
];

fn files_prints_opens_alone() {
    needs_bpf!();
    let dir = temp_dir();
    let (first, last) = (dir.path().join("first.key"), dir.path().join("last.key"));
    for path in [&first, &last] {
        fs::write(path, &Material::get().key).unwrap();
    }
    let tracer = Tracer::command("files", ["--file", dir.path().join("*").to_str().unwrap()]);
    run(Command::new("openssl").args(["pkey", "-noout", "-in"]).arg(&first));
    run(Command::new("cat").arg(&last));
    tracer.wait_for("the last file", |event| event.text("file") == last.to_str().unwrap());
    let events = tracer.finish().events;
    events.iter().for_each(|event| event.assert_keys(&KEYS_OPEN));
    let events = events.iter().filter(|event| !event.is_of_a_reader());
    let files: Vec<_> = events.map(|event| event.text("file")).collect();
    assert_eq!(files, [first.to_str().unwrap(), last.to_str().unwrap()]);
}

fn libs_prints_loads_alone() {
    needs_bpf!();
    let tracer = Tracer::command("libs", ["--library", "libcrypto"]);
    let pid = run(Command::new("openssl").arg("version"));
    tracer.wait_for("libcrypto", |event| event.pid() == Some(pid));
    let events = tracer.finish().events;
    events.iter().for_each(|event| event.assert_keys(&KEYS_LOAD));
    assert!(events.iter().all(|event| event.text("library_name") == "libcrypto"));
}

/// The kernel keeps 15 bytes of it, so the executable decides, which only the exec before tells.
fn a_name_over_15_bytes_is_the_executables() {
    needs_bpf!();
    let dir = temp_dir();
    let path = dir.path().join("some.key");
    fs::write(&path, &Material::get().key).unwrap();
    let named = dir.path().join("ct-a-very-long-name-of-a-program");
    fs::copy(fs::canonicalize("/bin/cat").unwrap(), &named).unwrap();
    let other = dir.path().join("ct-a-very-long-name-of-another-one");
    fs::copy(&named, &other).unwrap();
    let before = actor!["open", "1", &path];
    let tracer = Tracer::command("files", ["-n", "very-long-name-of-a-p"]);
    before.end();
    run(Command::new(&other).arg(&path));
    let pid = run(Command::new(&named).arg(&path));
    tracer.wait_for("the open", |event| event.pid() == Some(pid));
    let events = tracer.finish().events;
    assert_eq!(events.iter().map(|event| event.pid()).collect::<Vec<_>>(), [Some(pid)]);
}

fn a_named_probe_is_the_one_that_runs() {
    needs_bpf!();
    let tracer = Tracer::command("files", ["--probe", "tp_btf", "-F", "/nowhere/*.pem"]);
    let said = tracer.finish().said;
    assert!(
        said.iter().any(|line| line.contains("ready: ") && line.contains("sys_exit")),
        "{said:?}"
    );
}

fn a_filter_that_nothing_can_meet_is_warned_about() {
    needs_bpf!();
    let dir = temp_dir();
    for (command, options, word) in [
        ("files", &["-F", "*.txt"][..], "*.txt"),
        ("files", &["-F", "server.pem"], "*/server.pem"),
        ("monitor", &["-F", "*.pem", "-l", "libssl"], "--library"),
    ] {
        let mut tracer = Command::new(program());
        tracer.arg(command).args(options).args(["-d", "1"]).current_dir(dir.path());
        let said = output(&mut tracer);
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let warning = said.lines().find(|line| line.contains("warning: "));
        assert!(warning.is_some_and(|line| line.contains(word)), "{said}");
    }
}

/// The recording of a process and its descendants, replayed with the same options, is what was seen live; so is that of
/// everything.
fn a_family_is_the_same_in_a_replay() {
    needs_bpf!();
    let dir = temp_dir();
    let (family, all) = (dir.path().join("family.rec"), dir.path().join("all.rec"));
    let script = "read go; (cat /dev/null; sh -c 'openssl version; true') >/dev/null; exit 0";
    let mut shell = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let pid = shell.id().to_string();
    let whom = ["--pid", pid.as_str(), "--follow-children"];
    let record = |to: &Path| ["--record".into(), to.as_os_str().to_owned()];
    let options = whom.iter().map(OsString::from).chain(record(&family));
    let tracer = Tracer::monitor(options);
    let everything = Tracer::monitor(record(&all));
    drop(shell.stdin.take());
    shell.wait().unwrap();
    tracer.all_of(shell.id());
    everything.all_of(shell.id());
    everything.finish();
    let live = tracer.finish().events;
    assert!(live.len() > 6, "{live:#?}");
    let replayed = |recording: &Path| {
        let mut replay = Command::new(program());
        replay.args(["replay", "--quiet"]).arg(recording).args(whom);
        String::from_utf8(output(&mut replay).stdout).unwrap()
    };
    let lines: Vec<_> = live.iter().map(|event| event.line()).collect();
    assert_eq!(replayed(&family).lines().collect::<Vec<_>>(), lines);
    // Another run has read the clock at other moments.
    let timeless = |line: &str| {
        let (before, behind) = line.split_once("\"timestamp\"").unwrap();
        format!("{before}{}", behind.split_once(',').unwrap().1)
    };
    let of_all: Vec<_> = replayed(&all).lines().map(timeless).collect();
    assert_eq!(of_all, lines.iter().map(|line| timeless(line)).collect::<Vec<_>>());
}

fn an_option_of_other_commands_is_refused_with_their_names() {
    for (arguments, words) in [
        (&["libs", "--file", "*.pem"][..], &["libs has no option --file", "monitor", "files"][..]),
        (&["files", "-l", "libssl"], &["files has no option -l", "monitor", "libs"]),
        (&["replay", "x", "--probe", "tp_btf"], &["replay has no option --probe", "monitor"]),
        (&["version", "--no-redact"], &["version has no option --no-redact"]),
    ] {
        let output = output(Command::new(program()).args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

fn printed(arguments: &[&str]) -> String {
    let output = output(Command::new(program()).args(arguments));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn help_of_a_command_is_the_commands_help() {
    for command in [
        "monitor",
        "files",
        "libs",
        "profile",
        "snapshot",
        "replay",
        "doctor",
        "completions",
        "help",
        "version",
    ] {
        let text = printed(&["help", command]);
        assert_eq!(text, printed(&[command, "--help"]), "{command}");
        assert!(text.contains("Examples:"), "{text}");
    }
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    assert_eq!(printed(&["help", "plugin", "list"]), printed(&["plugin", "list", "--help"]));
    let unknown = output(Command::new(program()).args(["help", "bogus"]));
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&unknown.stderr)
            .contains("the commands of crypto-tracer are monitor, files")
    );
}

fn version_and_its_option_say_the_same() {
    let text = printed(&["version"]);
    assert_eq!(text, format!("crypto-tracer {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(text, printed(&["--version"]));
}

/// Rust's runtime puts /dev/null in the place of a closed standard output; what is printed must not vanish there.
fn a_standard_output_that_is_closed_is_told() {
    for arguments in ["version", "completions bash", "snapshot"] {
        let script = format!("exec \"$0\" {arguments} >&-");
        let closed = output(Command::new("sh").args(["-c", &script]).arg(program()));
        let said = String::from_utf8_lossy(&closed.stderr);
        assert_eq!(closed.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.contains("standard output") && said.contains("closed"), "{said}");
    }
    let dir = temp_dir();
    let script = format!("exec \"$0\" snapshot -o {}/x.json >&-", dir.path().display());
    let elsewhere = output(Command::new("sh").args(["-c", &script]).arg(program()));
    assert_eq!(elsewhere.status.code(), Some(0), "it prints to a file");
    assert!(dir.path().join("x.json").exists());
    let null =
        output(Command::new("sh").args(["-c", "exec \"$0\" version 1<>/dev/null"]).arg(program()));
    assert_eq!(null.status.code(), Some(0), "somebody wants nothing of it");
}

fn completions_name_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for word in ["monitor", "no-redact", "json-stream"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let unknown = output(Command::new(program()).args(["completions", "dos"]));
    assert_eq!(unknown.status.code(), Some(2));
}
