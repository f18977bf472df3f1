//! What a classifier can ask about a file and leave out, in a live run, its recording and a document.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crypto_tracer_tests::{
    Tracer, needs_bpf, output, program, run, temp_dir, trusted_dir, workspace,
};

crypto_tracer_tests::tests![
    metadata_follows_chmod_and_is_replayed,
    blocks_beyond_the_head_are_listed_and_replayed,
    skipped_files_are_counted_and_in_no_document,
];

/// A configuration of the probe, which does this, and the bundled classifier.
fn config(dir: &Path, way: &str) -> PathBuf {
    let plugin = dir.join("probe.wasm");
    fs::copy(workspace().join("tests/fixtures/plugins/probe.wasm"), &plugin).unwrap();
    fs::set_permissions(&plugin, Permissions::from_mode(0o644)).unwrap();
    let path = dir.join("config.toml");
    let text = format!(
        "[[classifier]]\npath = {plugin:?}\nallow = [\"file-head\"]\nconfig = {{ way = \"{way}\" }}\n\
         [[classifier]]\nbundled = true\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// The opens of files with this name, as they were printed.
fn opens<'a>(lines: impl Iterator<Item = &'a str>, name: &str) -> Vec<String> {
    let is_open = |line: &&str| line.contains("\"file_open\"") && line.contains(name);
    lines.filter(is_open).map(str::to_owned).collect()
}

/// Opens the file after each of the changes, and returns its opens in the run and in a replay of the recording.
fn live_and_replayed(config: &Path, file: &Path, changes: &[&dyn Fn()]) -> [Vec<String>; 2] {
    let recording = config.with_extension("rec");
    let options =
        ["--record".as_ref(), recording.as_os_str(), "--config".as_ref(), config.as_os_str()];
    let tracer = Tracer::monitor(options);
    for change in changes {
        change();
        tracer.all_of(run(Command::new("cat").arg(file)));
    }
    let ended = tracer.finish();
    let name = file.file_name().unwrap().to_str().unwrap();
    let live = opens(ended.events.iter().map(|event| event.line()), name);
    let mut replay = Command::new(program());
    let replayed = output(replay.arg("replay").arg(&recording).arg("--config").arg(config));
    let stdout = String::from_utf8(replayed.stdout).unwrap();
    [live, opens(stdout.lines(), name)]
}

fn metadata_follows_chmod_and_is_replayed() {
    needs_bpf!();
    let (dir, files) = (trusted_dir(), temp_dir());
    let file = files.path().join("meta.probe");
    fs::write(&file, "x").unwrap();
    let chmod = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let changes: [&dyn Fn(); 4] = [&|| chmod(0o644), &|| (), &|| chmod(0o600), &|| chmod(0o4640)];
    let [live, replayed] = live_and_replayed(&config(dir.path(), "stat mode"), &file, &changes);
    let modes = [0o100_644, 0o100_644, 0o100_600, 0o104_640];
    assert_eq!(live.len(), modes.len(), "{live:?}");
    for (line, mode) in live.iter().zip(modes) {
        assert!(line.contains(&format!("\"answer\":\"{mode}\"")), "{mode}: {line}");
    }
    assert_eq!(replayed, live);
}

fn blocks_beyond_the_head_are_listed_and_replayed() {
    needs_bpf!();
    let (dir, files) = (trusted_dir(), temp_dir());
    let file = files.path().join("bundle.probe");
    let base64 = format!("{}\n", "A".repeat(64)).repeat(1200);
    let key = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A1B\n\nS3CR3T\n";
    let text = format!(
        "-----BEGIN CERTIFICATE-----\n{base64}-----END CERTIFICATE-----\n\
         -----BEGIN RSA PRIVATE KEY-----\n{key}-----END RSA PRIVATE KEY-----\n"
    );
    fs::write(&file, text).unwrap();
    let config = config(dir.path(), "blocks");
    let [live, replayed] = live_and_replayed(&config, &file, &[&|| (), &|| ()]);
    assert_eq!(live.len(), 2, "{live:?}");
    for line in &live {
        assert!(line.contains("CERTIFICATE") && line.contains("encrypted: Some(true)"), "{line}");
    }
    assert_eq!(replayed, live);
    let recording = fs::read(config.with_extension("rec")).unwrap();
    assert!(!recording.windows(6).any(|window| window == b"S3CR3T"));
}

fn skipped_files_are_counted_and_in_no_document() {
    needs_bpf!();
    let (dir, files) = (trusted_dir(), temp_dir());
    let config = config(dir.path(), "skip");
    let paths = ["left-out.probe", "shown.key"].map(|name| files.path().join(name));
    paths.iter().for_each(|path| fs::write(path, "x").unwrap());
    let [skipped, shown] = &paths;
    let tracer = Tracer::monitor(["--config".as_ref(), config.as_os_str()]);
    // The verdict on a file that has just changed is not cached.
    std::thread::sleep(std::time::Duration::from_millis(60));
    let pid = run(Command::new("cat").args([skipped, skipped, skipped, shown]));
    let events = tracer.all_of(pid);
    let opened = opens(events.iter().map(|event| event.line()), files.path().to_str().unwrap());
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(opened[0].contains("shown.key"), "{opened:?}");
    tracer.signal(libc::SIGUSR1);
    let status = tracer.wait_for("status", |event| event.kind() == "status");
    assert_eq!(status.number("skipped"), Some(3), "{}", status.line());
    assert!(status.number("filtered") >= Some(3), "{}", status.line());
    let summary = tracer.finish().summary();
    assert!(summary.filtered >= 3 && summary.lost == 0, "{summary:?}");

    let held = paths.each_ref().map(|path| File::open(path).unwrap());
    let mut snapshot = Command::new(program());
    let document = output(snapshot.arg("snapshot").arg("--config").arg(&config)).stdout;
    let document = String::from_utf8(document).unwrap();
    assert!(document.contains("shown.key") && !document.contains("left-out.probe"), "{document}");
    drop(held);
}
