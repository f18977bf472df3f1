//! Effects of plugins on the start, the reload and the end of a run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crypto_tracer_tests::made::{Made, slow_to_compile};
use crypto_tracer_tests::{
    Material, Tracer, needs_bpf, program, run, temp_dir, trusted_dir, until, workspace,
};

crypto_tracer_tests::tests![
    signal_ends_a_start_during_compilation,
    signal_ends_a_start_during_configure,
    compilation_in_a_reload_delays_no_event,
    failed_reload_keeps_the_old_plugins,
    reload_applies_changed_limits,
    on_failure_stop_ends_the_run,
];

/// Time limit for the end of a run. The documented limit is 100 ms; the margin is for a loaded machine.
/// Compiling the slow plugin takes longer.
const PROMPT: Duration = Duration::from_secs(5);

fn install(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

fn hostile() -> Vec<u8> {
    fs::read(workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm")).unwrap()
}

/// Returns a command that runs `monitor` without a controlling terminal, like a service, so that SIGHUP reloads.
fn monitor(config: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("monitor").arg("--config").arg(config);
    // SAFETY: the closure makes only a system call, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    command
}

fn has_thread(pid: u32, wanted: &str) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    tasks.flatten().any(|task| name(task).is_ok_and(|name| name.trim_end() == wanted))
}

/// Returns the processor time of the main thread in hundredths of a second.
fn main_thread_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum()
}

/// Ends the process with SIGTERM, and checks that it ends in time with exit code 0.
fn assert_ends(mut child: Child) {
    // SAFETY: the call accesses no memory, and the child was not waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM) };
    let signalled = Instant::now();
    let status = until("the end", || child.try_wait().unwrap());
    assert!(signalled.elapsed() < PROMPT, "{:?}", signalled.elapsed());
    assert_eq!(status.code(), Some(0));
}

fn signal_ends_a_start_during_compilation() {
    let dir = trusted_dir();
    let slow = slow_to_compile(12);
    install(dir.path(), "slow.wasm", &Made { items: &slow, ..Made::default() }.component());
    let config = dir.path().join("config.toml");
    fs::write(&config, "[[classifier]]\npath = \"slow.wasm\"\n").unwrap();
    for command in ["monitor", "snapshot"] {
        let mut tracer = Command::new(program());
        tracer.args([command, "-q", "--config"]).arg(&config).stdout(Stdio::null());
        let child = tracer.spawn().unwrap();
        until("the compiler", || has_thread(child.id(), "compile").then_some(()));
        assert_ends(child);
    }
}

fn signal_ends_a_start_during_configure() {
    let dir = trusted_dir();
    install(dir.path(), "spin.wasm", &hostile());
    let config = dir.path().join("config.toml");
    let text = "[plugins]\nsetup_ms = 60000\n[[filter]]\npath = \"spin.wasm\"\n\
        allow = [\"file-head\"]\nconfig = { way = \"configure-spin\" }\n";
    fs::write(&config, text).unwrap();
    let child = monitor(&config).arg("-q").stdout(Stdio::null()).spawn().unwrap();
    // Only the plugin uses that much processor time.
    until("a plugin that spins", || (main_thread_ticks(child.id()) > 50).then_some(()));
    assert_ends(child);
}

fn compilation_in_a_reload_delays_no_event() {
    needs_bpf!();
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    fs::write(&config, "").unwrap();
    let tracer = Tracer::start(monitor(&config));
    let slow = slow_to_compile(12);
    install(dir.path(), "slow.wasm", &Made { items: &slow, ..Made::default() }.component());
    fs::write(&config, "[[classifier]]\npath = \"slow.wasm\"\n").unwrap();
    tracer.signal(libc::SIGHUP);
    until("the compiler", || has_thread(tracer.pid(), "compile").then_some(()));
    // Events are printed during the compilation.
    tracer.all_of(run(&mut Command::new("true")));
    tracer.signal(libc::SIGTERM);
    assert_eq!(tracer.wait(PROMPT).status.code(), Some(0));
}

fn failed_reload_keeps_the_old_plugins() {
    needs_bpf!();
    let dir = trusted_dir();
    let config = dir.path().join("config.toml");
    fs::write(&config, "").unwrap();
    let tracer = Tracer::start(monitor(&config));
    let key = dir.path().join("some.key");
    fs::write(&key, &Material::get().key).unwrap();
    let whole = hostile();
    for (bytes, way, message) in [
        (whole.get(..whole.len() / 2).unwrap(), "good", "is damaged or cut short"),
        (&b"\0asm\x01\0\0\0"[..], "good", "is a core module"),
        (&whole, "configure-trap", "cannot be started"),
        (&whole, "configure-error", "refuses its configuration"),
    ] {
        install(dir.path(), "broken.wasm", bytes);
        let text = format!(
            "[[classifier]]\npath = \"broken.wasm\"\nallow = [\"file-head\"]\nconfig = {{ way = \"{way}\" }}\n"
        );
        fs::write(&config, text).unwrap();
        tracer.signal(libc::SIGHUP);
        until(message, || {
            let stderr = tracer.said();
            let stays = |line: &String| line.contains("are unchanged") && line.contains(message);
            stderr.iter().any(stays).then_some(())
        });
        let events = tracer.all_of(run(Command::new("cat").arg(&key)));
        assert!(events.iter().any(|event| event.text("file_type") == "private_key"));
    }
    tracer.finish();
}

/// The new limit allows fewer table entries than the plugin needs.
fn reload_applies_changed_limits() {
    needs_bpf!();
    let dir = trusted_dir();
    let grows = Made {
        items: "(table $t 8 funcref)",
        classify: "(if (i32.lt_u (table.size $t) (i32.const 1000)) \
            (then (drop (table.grow $t (ref.null func) (i32.const 992))))) \
            (call $drop_file (local.get $file))",
        ..Made::default()
    };
    install(dir.path(), "grows.wasm", &grows.component());
    let config = dir.path().join("config.toml");
    let with = |limits: &str| {
        let chain = "[[classifier]]\npath = \"grows.wasm\"\n[[classifier]]\nbundled = true\n";
        fs::write(&config, format!("{limits}{chain}")).unwrap();
    };
    with("");
    let files = temp_dir();
    let open = |tracer: &Tracer, name: &str| {
        let path = files.path().join(name);
        fs::write(&path, "").unwrap();
        tracer.all_of(run(Command::new("cat").arg(path)));
    };
    let tracer = Tracer::start(monitor(&config));
    open(&tracer, "a.crt");
    assert!(tracer.events().iter().all(|event| event.kind() != "plugin_failed"));
    with("[plugins]\ntable_entries = 100\n");
    tracer.signal(libc::SIGHUP);
    until("a reload", || tracer.said().iter().any(|line| line.contains("reloaded")).then_some(()));
    open(&tracer, "b.crt");
    let failed = tracer.wait_for("a failure", |event| event.kind() == "plugin_failed");
    assert_eq!(failed.text("cause"), "memory");
    tracer.finish();
}

fn on_failure_stop_ends_the_run() {
    needs_bpf!();
    let dir = trusted_dir();
    install(dir.path(), "panics.wasm", &hostile());
    let config = dir.path().join("config.toml");
    let text = "[plugins]\non_failure = \"stop\"\n[[filter]]\npath = \"panics.wasm\"\n\
        allow = [\"file-head\"]\nconfig = { way = \"panic\" }\n";
    fs::write(&config, text).unwrap();
    let tracer = Tracer::start(monitor(&config));
    run(&mut Command::new("true"));
    let ended = tracer.wait(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(1), "{:?}", ended.said);
    let last = ended.said.last().unwrap();
    assert!(last.contains("the filter panics@") && last.contains("panic"), "{last}");
    assert!(last.contains("on_failure is \"stop\""), "{last}");
    assert!(ended.events.iter().any(|event| event.kind() == "plugin_failed"));
}
