//! `files` and `libs`: events of one type, and the options that apply to them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crypto_tracer_tests::{
    KEYS_LOAD, KEYS_OPEN, Material, Tracer, actor, needs_bpf, output, program, run, temp_dir,
};

crypto_tracer_tests::tests![
    files_prints_only_opens,
    libs_prints_only_loads,
    name_over_15_bytes_matches_the_executable,
    probe_option_selects_the_probe,
    unsatisfiable_filter_causes_a_warning,
    replay_selects_the_same_descendants,
    option_of_other_commands_is_refused_with_their_names,
    help_command_prints_the_help_of_a_command,
    version_command_and_option_print_the_same,
    closed_standard_output_is_an_error,
    completions_name_commands_and_options,
];

fn files_prints_only_opens() {
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
    let events = events.iter().filter(|event| !event.is_from_reader());
    let files: Vec<_> = events.map(|event| event.text("file")).collect();
    assert_eq!(files, [first.to_str().unwrap(), last.to_str().unwrap()]);
}

fn libs_prints_only_loads() {
    needs_bpf!();
    let tracer = Tracer::command("libs", ["--library", "libcrypto"]);
    let pid = run(Command::new("openssl").arg("version"));
    tracer.wait_for("libcrypto", |event| event.pid() == Some(pid));
    let events = tracer.finish().events;
    events.iter().for_each(|event| event.assert_keys(&KEYS_LOAD));
    assert!(events.iter().all(|event| event.text("library_name") == "libcrypto"));
}

/// The kernel keeps 15 bytes of a process name, so the executable is compared instead. Only the earlier exec reports
/// it.
fn name_over_15_bytes_matches_the_executable() {
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

fn probe_option_selects_the_probe() {
    needs_bpf!();
    let tracer = Tracer::command("files", ["--probe", "tp_btf", "-F", "/nowhere/*.pem"]);
    let stderr = tracer.finish().said;
    assert!(
        stderr.iter().any(|line| line.contains("ready: ") && line.contains("sys_exit")),
        "{stderr:?}"
    );
}

fn unsatisfiable_filter_causes_a_warning() {
    needs_bpf!();
    let dir = temp_dir();
    for (command, options, word) in [
        ("files", &["-F", "*.txt"][..], "*.txt"),
        ("files", &["-F", "server.pem"], "*/server.pem"),
        ("monitor", &["-F", "*.pem", "-l", "libssl"], "--library"),
    ] {
        let mut tracer = Command::new(program());
        tracer.arg(command).args(options).args(["-d", "1"]).current_dir(dir.path());
        let stderr = output(&mut tracer);
        let stderr = String::from_utf8_lossy(&stderr.stderr).into_owned();
        let warning = stderr.lines().find(|line| line.contains("warning: "));
        assert!(warning.is_some_and(|line| line.contains(word)), "{stderr}");
    }
}

/// A replay with the same options equals the live output, both for a recording of the same descendants and for a
/// recording of all events.
fn replay_selects_the_same_descendants() {
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
    // The two runs read the clock at different times, so timestamps are not compared.
    let timeless = |line: &str| {
        let (before, after) = line.split_once("\"timestamp\"").unwrap();
        format!("{before}{}", after.split_once(',').unwrap().1)
    };
    let of_all: Vec<_> = replayed(&all).lines().map(timeless).collect();
    assert_eq!(of_all, lines.iter().map(|line| timeless(line)).collect::<Vec<_>>());
}

fn option_of_other_commands_is_refused_with_their_names() {
    for (arguments, words) in [
        (&["libs", "--file", "*.pem"][..], &["libs has no option --file", "monitor", "files"][..]),
        (&["files", "-l", "libssl"], &["files has no option -l", "monitor", "libs"]),
        (&["replay", "x", "--probe", "tp_btf"], &["replay has no option --probe", "monitor"]),
        (&["version", "--no-redact"], &["version has no option --no-redact"]),
    ] {
        let output = output(Command::new(program()).args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
    }
}

fn printed(arguments: &[&str]) -> String {
    let output = output(Command::new(program()).args(arguments));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn help_command_prints_the_help_of_a_command() {
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

fn version_command_and_option_print_the_same() {
    let text = printed(&["version"]);
    assert_eq!(text, format!("crypto-tracer {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(text, printed(&["--version"]));
}

/// Rust's runtime replaces a closed standard output with /dev/null; output must not vanish there.
fn closed_standard_output_is_an_error() {
    for arguments in ["version", "completions bash", "snapshot"] {
        let script = format!("exec \"$0\" {arguments} >&-");
        let closed = output(Command::new("sh").args(["-c", &script]).arg(program()));
        let stderr = String::from_utf8_lossy(&closed.stderr);
        assert_eq!(closed.status.code(), Some(1), "{arguments}: {stderr}");
        assert!(stderr.contains("standard output") && stderr.contains("closed"), "{stderr}");
    }
    let dir = temp_dir();
    let script = format!("exec \"$0\" snapshot -o {}/x.json >&-", dir.path().display());
    let to_file = output(Command::new("sh").args(["-c", &script]).arg(program()));
    assert_eq!(to_file.status.code(), Some(0), "the output goes to a file");
    assert!(dir.path().join("x.json").exists());
    let null =
        output(Command::new("sh").args(["-c", "exec \"$0\" version 1<>/dev/null"]).arg(program()));
    assert_eq!(null.status.code(), Some(0), "/dev/null is a valid output");
}

fn completions_name_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for word in ["monitor", "no-redact", "json-stream"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    let unknown = output(Command::new(program()).args(["completions", "dos"]));
    assert_eq!(unknown.status.code(), Some(2));
}
