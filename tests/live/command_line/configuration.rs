//! The configuration file, and the effects of SIGHUP on a run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crypto_tracer_tests::{
    Ended, Event, Material, Tracer, actor, needs_bpf, output, program, run, temp_dir, trusted_dir,
    until, workspace,
};

crypto_tracer_tests::tests![
    reload_replaces_the_plugins,
    reload_under_load_loses_no_event,
    reload_reopens_the_output,
    reload_reports_changed_settings,
    new_output_files_have_the_configured_mode_and_group,
    configuration_errors_name_the_remedy,
    reload_applies_changed_output_settings,
];

/// Group id of `adm` on Debian.
const ADM: u32 = 4;
/// Opens during which a run is reloaded: five seconds at [`RATE`]. The ring can hold them all.
const OPENS: u64 = 25_000;
/// Opens per second.
const RATE: &str = "5000";

/// Copies the site classifier to a folder where a configuration may name it.
fn install_site_classifier(dir: &Path) -> PathBuf {
    let to = dir.join("site.wasm");
    fs::copy(workspace().join("tests/fixtures/plugins/site-classifier.wasm"), &to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o644)).unwrap();
    to
}

/// Starts a tracer without a controlling terminal, like a service.
fn start_service(options: &[&str]) -> Tracer {
    let mut command = Command::new(program());
    command.arg("monitor").args(options);
    // SAFETY: the closure makes only a system call, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    Tracer::start(command)
}

fn wait_for_line(tracer: &Tracer, text: &str) {
    until(text, || tracer.said().iter().any(|line| line.contains(text)).then_some(()));
}

fn reload_replaces_the_plugins() {
    needs_bpf!();
    let dir = trusted_dir();
    install_site_classifier(dir.path());
    let config = dir.path().join("config.toml");
    fs::write(&config, "").unwrap();
    let files = temp_dir();
    let file = files.path().join("c.site");
    fs::write(&file, "").unwrap();
    let seen = |tracer: &Tracer| {
        let pid = run(Command::new("cat").arg(&file));
        tracer.all_of(pid).iter().any(|event| event.kind() == "file_open")
    };

    let record = files.path().join("run.rec");
    let [configured, recorded] = [&config, &record].map(|path| path.to_str().unwrap());
    let tracer = start_service(&["--config", configured, "--record", recorded]);
    assert!(!seen(&tracer), ".site is not in the bundled classifier's interest");
    fs::write(&config, "[[classifier]]\npath = \"site.wasm\"\n[[classifier]]\nbundled = true\n")
        .unwrap();
    tracer.signal(libc::SIGHUP);
    wait_for_line(&tracer, "reloaded: ");
    assert!(seen(&tracer), ".site is in the site classifier's interest: {:?}", tracer.said());

    fs::write(&config, "[[classifier]]\npath = \"gone.wasm\"\n").unwrap();
    tracer.signal(libc::SIGHUP);
    wait_for_line(&tracer, "the plugins are unchanged");
    assert!(seen(&tracer), "{:?}", tracer.said());
    tracer.finish();

    // A replay reports from what time on the recording has the site classifier's interest.
    let site = dir.path().join("site.wasm");
    let mut replay = Command::new(program());
    let replayed = output(replay.args(["replay", recorded, "--classifier"]).arg(site));
    let stderr = String::from_utf8(replayed.stderr).unwrap();
    let reported: Vec<&str> = stderr.lines().filter(|line| line.contains("\".site\"")).collect();
    let [before, reloaded] = reported[..] else { panic!("{stderr}") };
    assert!(before.contains("the recording did not capture "), "{stderr}");
    assert!(reloaded.contains("from 20"), "{stderr}");
    assert!(reloaded.contains(" on the recording captured "), "{stderr}");
}

fn reload_under_load_loses_no_event() {
    needs_bpf!();
    let dir = trusted_dir();
    install_site_classifier(dir.path());
    let config = dir.path().join("config.toml");
    let one = "[[classifier]]\nbundled = true\n";
    // A site plugin of each kind, in addition to the bundled ones.
    let both = "[[classifier]]\npath = \"site.wasm\"\n[[classifier]]\nbundled = true\n\
        [[redactor]]\nbundled = true\n\
        [[redactor]]\npath = \"other.wasm\"\nallow = [\"file-head\"]\nconfig = { way = \"upper\" }\n\
        [[filter]]\npath = \"other.wasm\"\nallow = [\"file-head\"]\nconfig = { way = \"label\" }\n";
    let other = dir.path().join("other.wasm");
    fs::copy(workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm"), &other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&config, one).unwrap();
    let files = temp_dir();
    let key = files.path().join("load.key");
    fs::write(&key, &Material::get().key).unwrap();
    let opener = actor!["paced", RATE, OPENS.to_string().as_str(), &key];
    let pid = opener.pid();
    let tracer = start_service(&["--config", config.to_str().unwrap(), "--pid", &pid.to_string()]);
    let opening = std::thread::spawn(move || opener.end());
    for text in [both, one, both] {
        fs::write(&config, text).unwrap();
        let before = tracer.said().len();
        tracer.signal(libc::SIGHUP);
        until("a reload", || (tracer.said().len() > before).then_some(()));
    }
    assert_eq!(opening.join().unwrap(), OPENS.to_string());
    let events = tracer.all_of(pid);
    let opens: Vec<_> = events.iter().filter(|event| event.kind() == "file_open").collect();
    let ended = tracer.finish();
    assert_eq!((opens.len() as u64, ended.summary().lost), (OPENS, 0), "{:?}", ended.said);
    // The site redactor turns texts into upper case, and the site filter adds a label with the process name.
    let site = |event: &&&Event| {
        event.line().contains("\"labels\":{\"owner\":\"ACTOR\"}")
            && event.text("file").ends_with("/LOAD.KEY")
    };
    assert!(opens.iter().filter(site).count() > 0, "no event passed the site plugins");
    assert!(opens.iter().all(|open| open.text("file_type") == "private_key"));
}

fn reload_reopens_the_output() {
    needs_bpf!();
    let dir = trusted_dir();
    let output = dir.path().join("events.json");
    let rotated = dir.path().join("events.json.1");
    let tracer = start_service(&["--output", output.to_str().unwrap()]);
    let first = run(&mut Command::new("true"));
    let has_process = |path: &Path, pid: u32| {
        fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("\"pid\":{pid},")))
    };
    until("the first process", || has_process(&output, first).then_some(()));
    fs::rename(&output, &rotated).unwrap();
    tracer.signal(libc::SIGHUP);
    wait_for_line(&tracer, "reloaded: nothing changed");
    let second = run(&mut Command::new("true"));
    until("the second process in the new file", || has_process(&output, second).then_some(()));
    tracer.finish();
    assert!(has_process(&rotated, first) && !has_process(&output, first));
    assert!(!has_process(&rotated, second));
    for path in [&output, &rotated] {
        assert!(!Ended::events_in(path).is_empty());
    }
}

/// Changed limits apply immediately; a setting that needs a restart is reported.
fn reload_reports_changed_settings() {
    needs_bpf!();
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    fs::write(&config, "[plugins]\ndeadline_ms = 30\n").unwrap();
    let tracer = start_service(&["--config", config.to_str().unwrap()]);
    let limits = "[plugins]\nmemory = \"17MiB\"\non_failure = \"stop\"\n";
    fs::write(&config, limits).unwrap();
    tracer.signal(libc::SIGHUP);
    wait_for_line(&tracer, "reloaded: now on_failure is \"stop\"");
    wait_for_line(&tracer, "reloaded: now memory is \"17MiB\", it was \"16MiB\"");
    wait_for_line(&tracer, "reloaded: now deadline_ms is 20, it was 30");
    fs::write(&config, format!("{limits}[capture]\nring = \"16MiB\"\n")).unwrap();
    tracer.signal(libc::SIGHUP);
    wait_for_line(&tracer, "reloaded: [capture] ring has changed and needs a restart");
    // Less memory than any plugin needs, so the old plugins stay loaded.
    fs::write(&config, "[plugins]\nmemory = \"64KiB\"\n").unwrap();
    tracer.signal(libc::SIGHUP);
    wait_for_line(&tracer, "the plugins are unchanged: ");
    fs::write(&config, limits).unwrap();
    tracer.signal(libc::SIGHUP);
    wait_for_line(&tracer, "reloaded: nothing changed");
    tracer.finish();
}

fn new_output_files_have_the_configured_mode_and_group() {
    needs_bpf!();
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    let output = dir.path().join("events.json");
    fs::write(&config, "[output]\nmode = \"0640\"\ngroup = \"adm\"\n").unwrap();
    let tracer = start_service(&[
        "--config",
        config.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ]);
    let has_mode_and_group = || {
        let found = fs::metadata(&output).ok()?;
        (found.mode() & 0o7777 == 0o640 && found.gid() == ADM).then_some(())
    };
    until("the file of the start", has_mode_and_group);
    fs::remove_file(&output).unwrap();
    tracer.signal(libc::SIGHUP);
    until("the file after the rotation", has_mode_and_group);
    tracer.finish();
}

/// A changed `[output]` applies from the reload on, also to the file that the reload creates.
fn reload_applies_changed_output_settings() {
    needs_bpf!();
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    let output = dir.path().join("events.json");
    fs::write(&config, "").unwrap();
    let tracer = start_service(&[
        "--config",
        config.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ]);
    let wait_for_mode_and_group = |mode: u32, gid: u32| {
        until(&format!("a file of mode {mode:o} and group {gid}"), || {
            let found = fs::metadata(&output).ok()?;
            (found.mode() & 0o7777 == mode && found.gid() == gid).then_some(())
        });
    };
    let own = fs::metadata(&output).unwrap().gid();
    wait_for_mode_and_group(0o600, own);
    let reload = |text: &str, messages: &[&str]| {
        fs::write(&config, text).unwrap();
        fs::remove_file(&output).unwrap();
        tracer.signal(libc::SIGHUP);
        messages.iter().for_each(|line| wait_for_line(&tracer, line));
    };
    reload("[output]\nmode = \"0640\"\n", &["reloaded: [output] mode of new files is now 0640"]);
    wait_for_mode_and_group(0o640, own);
    let all = "[output]\nmode = \"0644\"\ngroup = \"adm\"\nstatus_every = \"1s\"\n";
    reload(
        all,
        &[
            "reloaded: [output] mode of new files is now 0644",
            "reloaded: [output] group of new files is now 4",
            "reloaded: [output] status_every is now 1s",
        ],
    );
    wait_for_mode_and_group(0o644, ADM);
    let statuses = || {
        let text = fs::read_to_string(&output).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"event_type\":\"status\"")).count()
    };
    until("a periodic status", || (statuses() > 1).then_some(()));
    // An invalid `[output]` changes nothing.
    reload("[output]\ngroup = \"no-such-group\"\n", &["are unchanged: [output] group"]);
    wait_for_mode_and_group(0o644, ADM);
    until("a periodic status", || (statuses() > 0).then_some(()));
    reload(
        "",
        &["reloaded: [output] status_every is now off", "group of new files is now not set"],
    );
    wait_for_mode_and_group(0o600, own);
    let stderr = tracer.finish().said;
    assert!(!stderr.iter().any(|line| line.contains("restart")), "{stderr:?}");
}

/// An invalid or untrusted configuration is refused before the start with exit code 2 and a remedy.
fn configuration_errors_name_the_remedy() {
    needs_bpf!();
    let dir = trusted_dir();
    let plugin = install_site_classifier(dir.path());
    let config = dir.path().join("config.toml");
    let refused = |words: &[&str]| {
        let output = Command::new(program())
            .args(["monitor", "--duration", "1", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        words.iter().for_each(|word| assert!(stderr.contains(word), "{word}: {stderr}"));
    };
    refused(&["config.toml", "No such file"]);
    fs::write(&config, "[[clasifier]]\n").unwrap();
    refused(&["line 1", "did you mean `classifier`?"]);
    let pin = "0".repeat(64);
    fs::write(&config, format!("[[classifier]]\npath = \"site.wasm\"\nsha256 = \"{pin}\"\n"))
        .unwrap();
    refused(&["site.wasm", "sha256"]);
    fs::write(&config, "[[classifier]]\npath = \"site.wasm\"\n").unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o666)).unwrap();
    refused(&["site.wasm", "chmod"]);
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).unwrap();
    refused(&["config.toml", "chmod"]);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::chown(&config, Some(65534), None).unwrap();
    refused(&["config.toml", "chown"]);
}
