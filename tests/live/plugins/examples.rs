//! The example plugins, built as plugin authors build them, with their cases. `cargo xtask plugins` also builds them
//! with `cargo component`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crypto_tracer_tests::{
    Material, Tracer, needs_bpf, needs_wasi, output, program, run, temp_dir, trusted_dir, workspace,
};

crypto_tracer_tests::tests![
    workspace_members_are_the_examples,
    native_tests_of_the_examples_pass,
    examples_pass_their_cases,
    replay_reports_heads_missing_from_a_recording,
    recording_has_heads_for_any_classifier,
];

const NAMES: [&str; 11] = [
    "certificate-expiry",
    "first-in-minute",
    "indicators",
    "key-hygiene",
    "only-listed",
    "readable-keys",
    "site-rules",
    "unencrypted-keys",
    "user-pseudonyms",
    "workload-names",
    "x509-details",
];

fn examples() -> PathBuf {
    workspace().join("plugins/examples")
}

/// Runs cargo in the examples' workspace, offline if all dependencies are available.
fn cargo(arguments: &[&str]) {
    let run = |offline: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).arg("--locked").args(offline).current_dir(examples());
        command.env("CARGO_TARGET_DIR", workspace().join("target/authoring")).output().unwrap()
    };
    let built = run(&["--offline"]);
    let built = if built.status.success() { built } else { run(&[]) };
    assert!(built.status.success(), "{}", text_of(&built));
}

fn text_of(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn test<S: AsRef<OsStr>>(built: &Path, options: impl IntoIterator<Item = S>) {
    let mut command = Command::new(program());
    let tested = output(command.args(["plugin", "test"]).arg(built).args(options));
    let text = text_of(&tested);
    assert_eq!(tested.status.code(), Some(0), "{}: {text}", built.display());
    assert!(text.contains(" passed, 0 failed\n"), "{}: {text}", built.display());
}

/// Returns the configuration at the top of an example's cases.
fn config(example: &str) -> String {
    let cases = fs::read(examples().join(example).join("cases.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&cases).unwrap();
    cases.get("config").map_or_else(|| "{}".to_owned(), ToString::to_string)
}

/// Runs the cases of every example, and tests it with edge inputs.
fn test_all(folder: &Path) {
    for example in NAMES {
        let built = folder.join(format!("{}.wasm", example.replace('-', "_")));
        let cases = examples().join(example).join("cases.json");
        test(&built, [OsStr::new("--cases"), cases.as_os_str()]);
        test(&built, ["--with", &config(example)]);
    }
}

fn workspace_members_are_the_examples() {
    let manifest = fs::read_to_string(examples().join("Cargo.toml")).unwrap();
    let quoted: Vec<String> = NAMES.iter().map(|name| format!("{name:?}")).collect();
    assert!(manifest.contains(&format!("members = [{}]", quoted.join(", "))), "{manifest}");
    let guide = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    for name in NAMES {
        assert!(guide.contains(&format!("plugins/examples/{name}")), "docs/plugins.md: {name}");
        for file in ["README.md", "cases.json", "src/lib.rs"] {
            assert!(examples().join(name).join(file).is_file(), "{name}/{file}");
        }
    }
}

fn native_tests_of_the_examples_pass() {
    cargo(&["test", "--quiet"]);
}

fn examples_pass_their_cases() {
    needs_wasi();
    cargo(&["build", "--release", "--target", "wasm32-wasip2"]);
    let built = workspace().join("target/authoring/wasm32-wasip2/release");
    test_all(&built);
    check_that_configurations_load(&built);
}

fn every_event() -> PathBuf {
    workspace().join("tests/fixtures/recordings/every-event.rec")
}

/// Replays a recording and returns the events and the text of standard error.
fn replay<S: AsRef<OsStr>>(
    recording: &Path,
    options: impl IntoIterator<Item = S>,
) -> (String, String) {
    let mut command = Command::new(program());
    let replayed = output(command.arg("replay").arg(recording).args(options));
    let stderr = String::from_utf8(replayed.stderr).unwrap();
    assert_eq!(replayed.status.code(), Some(0), "{stderr}");
    (String::from_utf8(replayed.stdout).unwrap(), stderr)
}

fn labelled<'a>(events: &'a str, name: &str) -> Vec<&'a str> {
    let of_file = |line: &&str| line.contains(name) && line.contains("\"subject\":");
    events.lines().filter(of_file).collect()
}

/// Returns the options for this classifier followed by the default one.
fn classifiers(first: &Path) -> [&OsStr; 4] {
    ["--classifier".as_ref(), first.as_os_str(), "--classifier".as_ref(), "default".as_ref()]
}

fn x509_details() -> PathBuf {
    cargo(&["build", "--release", "--target", "wasm32-wasip2"]);
    workspace().join("target/authoring/wasm32-wasip2/release/x509_details.wasm")
}

fn replay_reports_heads_missing_from_a_recording() {
    needs_wasi();
    let whole = fs::read(every_event()).unwrap();
    let (header, mut frames) = whole.split_at(12);
    let mut without_heads = header.to_vec();
    while let Some((length, _)) = frames.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
        let (frame, rest) = frames.split_at(8 + length);
        // The kind of the frame follows its length and checksum; 2 is a frame of heads.
        if frame.get(8) != Some(&2) {
            without_heads.extend(frame);
        }
        frames = rest;
    }
    assert!(without_heads.len() < whole.len());
    let dir = temp_dir();
    let recording = dir.path().join("without-heads.rec");
    fs::write(&recording, without_heads).unwrap();
    let (events, stderr) = replay(&recording, classifiers(&x509_details()));
    assert!(events.contains("certificate.pem"), "{events}");
    let wanted = " requests of classifiers; the first is for /etc/ssl/certs/ca-certificates.crt\n";
    assert!(stderr.contains(wanted), "{stderr}");
}

/// The default classifier does not read the head of a `.crt` file, but another one may.
fn recording_has_heads_for_any_classifier() {
    needs_bpf!();
    needs_wasi();
    let details = x509_details();
    let dir = temp_dir();
    let record = dir.path().join("run.rec");
    let files = ["known.crt", "other.pem"].map(|name| dir.path().join(name));
    let certificate = &Material::get().certificate;
    for (file, times) in files.iter().zip([2, 1]) {
        fs::write(file, certificate.repeat(times)).unwrap();
    }
    let tracer = Tracer::monitor(["--record".as_ref(), record.as_os_str()]);
    for file in &files {
        run(Command::new("cat").arg(file));
        // A second open: the recording contains the file once.
        let pid = run(Command::new("cat").arg(file));
        tracer.wait_for("the exit", |it| it.kind() == "process_exit" && it.pid() == Some(pid));
    }
    tracer.finish();
    let (plain, _) = replay(&record, ["--classifier", "default"]);
    let (events, stderr) = replay(&record, classifiers(&details));
    for name in ["known.crt", "other.pem"] {
        assert!(labelled(&plain, name).is_empty(), "{plain}");
        assert_eq!(labelled(&events, name).len(), 2, "{name}: {events}{stderr}");
    }
    let recorded = fs::read(&record).unwrap();
    let twice = certificate.repeat(2);
    assert_eq!(recorded.windows(twice.len()).filter(|it| *it == twice).count(), 1);
}

/// The configurations in the guide and in the examples' READMEs load.
fn check_that_configurations_load(built: &Path) {
    let pages = NAMES.map(|name| examples().join(name).join("README.md"));
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    for name in NAMES.map(|name| format!("{}.wasm", name.replace('-', "_"))) {
        fs::copy(built.join(&name), dir.path().join(&name)).unwrap();
    }
    let mut loaded = 0;
    for page in pages.into_iter().chain([workspace().join("docs/plugins.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks {
            let here = format!("{}/", dir.path().display());
            fs::write(&config, block.replace("/etc/crypto-tracer/plugins/", &here)).unwrap();
            let mut command = Command::new(program());
            let listed = output(command.args(["plugin", "list", "--config"]).arg(&config));
            assert_eq!(listed.status.code(), Some(0), "{block}{}", text_of(&listed));
            let (events, stderr) =
                replay(&every_event(), ["--config".as_ref(), config.as_os_str()]);
            assert!(events.lines().count() > 3 || block.contains("only_listed"), "{block}{events}");
            assert!(!events.contains("plugin_failed"), "{block}{events}{stderr}");
            loaded += 1;
        }
    }
    assert_eq!(loaded, 2 * NAMES.len());
}
