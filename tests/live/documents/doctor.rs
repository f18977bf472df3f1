//! `doctor` reports what a run would do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crypto_tracer_tests::{Tracer, needs_bpf, program, schema, skip, temp_dir, trusted_dir, until};
use serde_json::Value;

crypto_tracer_tests::tests![
    doctor_matches_the_first_line_of_a_run,
    doctor_and_monitor_exit_alike_for_each_probe,
    configuration_selects_a_probe_like_the_option,
    all_probes_are_listed_when_the_configuration_is_refused,
    missing_privileges_are_reported_in_a_user_namespace,
    missing_capabilities_are_reported,
    kernel_without_btf_is_reported,
    pid_namespace_is_reported,
    refused_configuration_is_reported,
    signal_ends_doctor_with_success,
];

/// Time limit for the end of a run, with a margin for a loaded machine.
const PROMPT: Duration = Duration::from_millis(1500);

fn doctor(options: &[&str]) -> Output {
    Command::new(program()).arg("doctor").args(options).output().unwrap()
}

fn document(options: &[&str]) -> (Option<i32>, Value) {
    let output = doctor(&[&["--format", "json-pretty"], options].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap();
    schema::check_document("doctor", &document);
    (output.status.code(), document)
}

/// The first line of a run names the same hooks and the same number of blind spots as the document of `doctor`.
fn doctor_matches_the_first_line_of_a_run() {
    needs_bpf!();
    let tracer = Tracer::monitor(["--quiet"; 0]);
    let ready = tracer.said().into_iter().find(|line| line.contains("ready:")).unwrap();
    tracer.finish();
    let (code, document) = document(&[]);
    assert_eq!(
        (code, &document["ready"], &document["exit_code"]),
        (Some(0), &true.into(), &0.into())
    );
    let chosen: Vec<&Value> = document["probes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|probe| probe["chosen"] == true)
        .collect();
    assert_eq!(chosen.len(), 4, "opens and loads, execs, exits, forks");
    for probe in chosen {
        assert_eq!((&probe["works"], &probe["reason"]), (&true.into(), &Value::Null));
        for hook in probe["hooks"].as_array().unwrap() {
            assert!(ready.contains(hook.as_str().unwrap()), "{hook} is not in {ready}");
        }
    }
    let spots = match document["cannot_see"].as_array().unwrap().len() {
        0 => "no blind spots".to_owned(),
        1 => "1 blind spot (".to_owned(),
        several => format!("{several} blind spots ("),
    };
    assert!(ready.contains(&spots), "{spots} is not in {ready}");
    // `--verbose` prints the blind spots.
    let verbose = Tracer::monitor(["--verbose"]);
    let printed = verbose.said().join("\n");
    verbose.finish();
    for text in document["cannot_see"].as_array().unwrap() {
        assert!(printed.contains(text.as_str().unwrap()), "{text} is not in {printed}");
    }
    for probe in
        document["probes"].as_array().unwrap().iter().filter(|probe| probe["works"] == false)
    {
        assert!(probe["reason"].is_string() && probe["remedy"].is_string(), "{probe}");
    }
}

fn doctor_and_monitor_exit_alike_for_each_probe() {
    needs_bpf!();
    for probe in ["lsm", "fexit", "tp_btf", "no-such-probe"] {
        let monitor = Command::new(program())
            .args(["monitor", "--duration", "1", "--probe", probe])
            .output()
            .unwrap();
        let (code, document) = document(&["--probe", probe]);
        assert_eq!(code, monitor.status.code(), "{probe}");
        assert_eq!(document["exit_code"], code.unwrap(), "{probe}");
        let reason = document["reason"].as_str().unwrap_or("ready:");
        let stderr = String::from_utf8_lossy(&monitor.stderr).into_owned();
        assert!(stderr.contains(reason), "{probe}: {reason} is not in {stderr}");
    }
}

/// `[capture] open_probe` selects the probe, and `--probe` overrides it.
fn configuration_selects_a_probe_like_the_option() {
    needs_bpf!();
    let dir = trusted_dir();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program());
        let output = command.args(["monitor", "--duration", "1"]).args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        // Later lines have counts, which differ. On a busy machine, other lines may precede the first one.
        let line = stderr.lines().find(|line| line.contains("ready: ")).or(stderr.lines().next());
        (output.status.code(), line.unwrap_or_default().to_owned())
    };
    for probe in ["lsm", "fexit", "tp_btf", "no-such-probe"] {
        let file = dir.path().join(format!("{probe}.toml"));
        fs::write(&file, format!("[capture]\nopen_probe = \"{probe}\"\n")).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        assert_eq!(run(&config), run(&["--probe", probe]), "{probe}");
        let over = run(&[&config[..], &["--probe", "tp_btf"]].concat());
        assert_eq!(over, run(&["--probe", "tp_btf"]), "{probe}");
    }
}

/// Checks that every rung is listed, and that each rung that does not work has a reason and a remedy.
fn assert_all_rungs(document: &Value) {
    let probes = document["probes"].as_array().unwrap();
    let names: Vec<&str> = probes.iter().map(|probe| probe["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lsm", "fexit", "tp_btf", "exec", "exit", "fork"]);
    for probe in probes.iter().filter(|probe| probe["works"] == false) {
        assert!(probe["reason"].is_string() && probe["remedy"].is_string(), "{probe}");
    }
}

fn all_probes_are_listed_when_the_configuration_is_refused() {
    let (code, document) = document(&["--probe", "magic"]);
    assert!(code == Some(2) || code == Some(3), "{code:?}");
    assert_all_rungs(&document);
}

/// Root of a user namespace has no privileges outside it. The message is about the capabilities, not about the owner of
/// a configuration.
fn missing_privileges_are_reported_in_a_user_namespace() {
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-U", "-r"]).arg(program()).args(arguments).output().unwrap()
    };
    let monitor = inside(&["monitor", "--duration", "1"]);
    let stderr = String::from_utf8_lossy(&monitor.stderr).into_owned();
    if stderr.contains("unshare failed") {
        skip(format_args!("no user namespace can be made here: {}", stderr.trim()));
    }
    assert_eq!(monitor.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("user namespace of its own"), "{stderr}");
    let doctor = inside(&["doctor", "--format", "json-pretty"]);
    let document: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    schema::check_document("doctor", &document);
    assert_eq!((doctor.status.code(), &document["exit_code"]), (Some(3), &3.into()));
    assert!(stderr.contains(document["reason"].as_str().unwrap()), "{document}");
    let capabilities = document["capabilities"].as_array().unwrap();
    assert!(capabilities.iter().all(|capability| capability["held"] == false), "{document}");
    assert_all_rungs(&document);
    assert!(document["probes"].as_array().unwrap().iter().all(|probe| probe["works"] == false));
}

fn missing_capabilities_are_reported() {
    // A copy that every user can execute.
    let dir = temp_dir();
    let copy = dir.path().join("crypto-tracer");
    fs::copy(program(), &copy).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&copy);
    command.arg("doctor").current_dir("/");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    for part in [
        "monitor would not run (exit code 3)",
        "setcap",
        "CAP_BPF              MISSING",
        "lsm     does not work",
        "why: the capabilities CAP_BPF, CAP_PERFMON are missing",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

fn kernel_without_btf_is_reported() {
    needs_bpf!();
    // In a new mount namespace with an empty /sys/kernel.
    let script = "mount -t tmpfs none /sys/kernel && exec \"$0\" doctor";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(program())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(
        text.contains("built without BTF") && text.contains("BTF                  none"),
        "{text}"
    );
}

/// Both `monitor` and `doctor` report it.
fn pid_namespace_is_reported() {
    needs_bpf!();
    let note = "processes outside this process's pid namespace are not reported";
    for arguments in [&["doctor"][..], &["monitor", "--duration", "1"]] {
        let output = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(program())
            .args(arguments)
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains(note), "{arguments:?}: {printed}");
    }
}

fn refused_configuration_is_reported() {
    let dir = temp_dir();
    let file = dir.path().join("config.toml");
    fs::write(&file, "[capture]\nring = \"3 bananas\"\n").unwrap();
    let (code, document) = document(&["--config", file.to_str().unwrap()]);
    assert_eq!((code, &document["exit_code"]), (Some(2), &2.into()));
    assert!(document["kernel"]["release"].is_string());
}

/// The signal arrives before or while `doctor` waits for a reader of its output.
fn signal_ends_doctor_with_success() {
    let dir = temp_dir();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut command = Command::new(program());
        command.args(["doctor", "--output"]).arg(&fifo).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let tasks = format!("/proc/{}/task", child.id());
        until("the thread that handles signals", || {
            let mut tasks = fs::read_dir(&tasks).unwrap().flatten();
            let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
            tasks.any(|task| name(task).as_deref() == Some("signals\n")).then_some(())
        });
        let signalled = Instant::now();
        // SAFETY: the call accesses no memory, and the child was not waited for.
        unsafe { libc::kill(child.id().try_into().unwrap(), signal) };
        let status = until("the end of doctor", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "signal {signal}");
        assert!(signalled.elapsed() < PROMPT, "{:?}", signalled.elapsed());
    }
}
