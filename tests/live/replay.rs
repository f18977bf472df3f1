//! A replay of a recorded run prints what the run printed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crypto_tracer_tests::{
    Ended, Event, Material, Tracer, needs_bpf, replay, run, temp_dir, until, workspace,
};

crypto_tracer_tests::tests![
    replay_equals_the_live_output,
    options_of_the_recorded_run_are_reported
];

/// The recording has all events of the machine, and opens of files whose content determines the type.
fn replay_equals_the_live_output() {
    needs_bpf!();
    let dir = temp_dir();
    let [record, live] = ["run.rec", "live.json"].map(|name| dir.path().join(name));
    let site = workspace().join("tests/fixtures/plugins/site-classifier.wasm");
    let plugins =
        ["--classifier".as_ref(), site.as_os_str(), "--classifier".as_ref(), "default".as_ref()];
    let options = ["--record".as_ref(), record.as_os_str(), "--output".as_ref(), live.as_os_str()];
    let extended = ["--extended".as_ref()];
    let tracer = Tracer::monitor(options.iter().chain(&plugins).chain(&extended));
    let material = Material::get();
    for (name, content) in [
        ("a.crt", &material.certificate[..]),
        ("b.key", &material.key),
        ("c.site", b""),
        ("d.pem", b"-----BEGIN NOTHING-----\n"),
        ("e.pem", &material.key),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        run(Command::new("cat").arg(&path));
    }
    run(Command::new("openssl").arg("version"));
    let last = run(Command::new("cat").arg(dir.path().join("b.key")));
    until("the last exit in the output", || {
        let events = Ended::events_in(&live);
        let ends = |event: &Event| event.kind() == "process_exit" && event.pid() == Some(last);
        events.iter().any(ends).then_some(())
    });
    tracer.finish();
    let mode = fs::metadata(&record).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let recorded = String::from_utf8_lossy(&fs::read(&record).unwrap()).into_owned();
    assert!(recorded.contains("-----BEGIN PRIVATE KEY-----"));
    let key = String::from_utf8_lossy(&material.key).into_owned();
    let body: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(body.len() >= 3 && body.iter().all(|line| !recorded.contains(line)), "{body:?}");

    let (code, replayed, stderr) = replay(&record, plugins.iter().chain(&extended));
    assert_eq!(code, Some(0), "{stderr}");
    let live = fs::read_to_string(&live).unwrap();
    let own = |line: &&str| !line.contains("\"plugin_failed\"") && !line.contains("\"status\"");
    let [live, replayed] =
        [&live, &replayed].map(|text| text.lines().filter(own).collect::<Vec<_>>());
    for (at, (live, replayed)) in live.iter().zip(&replayed).enumerate() {
        assert_eq!(live, replayed, "line {at}");
    }
    assert_eq!(live.len(), replayed.len());
    assert!(live.len() > 12, "{live:?}");
}

fn options_of_the_recorded_run_are_reported() {
    needs_bpf!();
    let dir = temp_dir();
    let record = dir.path().join("run.rec");
    let options = ["--record".as_ref(), record.as_os_str(), "--name".as_ref(), "nobody".as_ref()];
    Tracer::command("files", options).finish();
    let (code, _, stderr) = replay(&record, [""; 0]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("the recording was made with files --name nobody: "), "{stderr}");
}
