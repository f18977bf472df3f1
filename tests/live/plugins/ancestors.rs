//! The ancestors that a filter sees, in a live run and in the replay of its recording.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crypto_tracer_tests::{Ended, Event, Tracer, needs_bpf, replay, temp_dir, until, workspace};
use serde_json::Value;

crypto_tracer_tests::tests![
    ancestors_are_known_whatever_a_command_prints,
    an_ancestor_that_has_ended_is_known,
    a_name_filter_hides_no_ancestor,
    a_replay_has_the_ancestors_of_the_live_run,
    a_reloaded_filter_sees_ancestors_from_before,
    a_snapshot_has_ancestors,
];

/// The fixture that adds a label for each ancestor.
fn fixture() -> PathBuf {
    workspace().join("tests/fixtures/plugins/filter-probe.wasm")
}

/// A shell that runs a line for each one that it reads.
struct Shell(Child);

impl Shell {
    fn start() -> Shell {
        let mut command = Command::new("sh");
        command.args(["-c", "while read -r line; do eval \"$line\"; done"]);
        Shell(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn run(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// An ancestor: pid, process, exe, uid, start, key.
fn ancestors(event: &Event) -> Vec<Vec<String>> {
    let event: Value = serde_json::from_str(event.line()).unwrap();
    let label = |level: usize| event["labels"][format!("ancestor_{level}")].as_str();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    (1..).map_while(label).map(words).collect()
}

fn pids(event: &Event) -> Vec<u32> {
    ancestors(event).iter().map(|facts| facts[0].parse().unwrap()).collect()
}

fn open_of(tracer: &Tracer, path: &Path) -> Event {
    let path = path.to_str().unwrap();
    tracer.wait_for("the open", |event| {
        event.kind() == "file_open" && event.text("file") == path && event.text("process") == "cat"
    })
}

fn key_in(dir: &Path) -> PathBuf {
    let path = dir.join("a.key");
    fs::write(&path, "").unwrap();
    path
}

/// The subshell forks without an exec.
fn ancestors_are_known_whatever_a_command_prints() {
    needs_bpf!();
    let dir = temp_dir();
    let path = key_in(dir.path());
    let mut before = Shell::start();
    let tracer = Tracer::command("files", ["--filter".as_ref(), fixture().as_os_str()]);
    let mut after = Shell::start();
    for shell in [&mut before, &mut after] {
        shell.run(&format!("(cat {}; true)", path.display()));
        let open = tracer.wait_for("the open", |event| {
            event.kind() == "file_open" && pids(event).get(1) == Some(&shell.pid())
        });
        let found = ancestors(&open);
        let subshell = &found[0];
        assert_eq!(open.number("pid").map(|pid| pid as u32), open.pid());
        assert_eq!(subshell[1], "sh", "{found:?}");
        assert_eq!(subshell[2..4], found[1][2..4], "{found:?}");
        assert_eq!(subshell[3], "0", "{found:?}");
        assert_eq!(subshell[5], format!("{}:{}", subshell[0], subshell[4]));
        // Field 22 of its `stat`.
        let stat = fs::read_to_string(format!("/proc/{}/stat", shell.pid())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        assert_eq!(fields.split_ascii_whitespace().nth(19), Some(found[1][4].as_str()));
        assert_eq!(pids(&open)[2], std::process::id());
    }
    before.end();
    after.end();
    tracer.finish();
}

fn an_ancestor_that_has_ended_is_known() {
    needs_bpf!();
    let dir = temp_dir();
    let (path, go) = (key_in(dir.path()), dir.path().join("go"));
    assert!(Command::new("mkfifo").arg(&go).status().unwrap().success());
    let tracer = Tracer::command("files", ["--filter".as_ref(), fixture().as_os_str()]);
    // The subshell continues when its parent has ended.
    let script = format!("(read line < {}; cat {}; true) & exit 0", go.display(), path.display());
    let mut outer = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let pid = outer.id();
    assert!(outer.wait().unwrap().success());
    fs::write(&go, "go\n").unwrap();
    let open = open_of(&tracer, &path);
    assert_eq!(pids(&open)[1..3], [pid, std::process::id()], "{:?}", ancestors(&open));
    tracer.finish();
}

/// The kernel side compares names, but not if a plugin asks for ancestors.
fn a_name_filter_hides_no_ancestor() {
    needs_bpf!();
    let dir = temp_dir();
    let path = key_in(dir.path());
    let filter = fixture();
    let options = ["--filter".as_ref(), filter.as_os_str(), "--name".as_ref(), "cat".as_ref()];
    let tracer = Tracer::command("files", options);
    let mut shell = Shell::start();
    shell.run(&format!("(cat {}; true)", path.display()));
    let open = open_of(&tracer, &path);
    assert_eq!(pids(&open)[1..3], [shell.pid(), std::process::id()], "{:?}", ancestors(&open));
    shell.end();
    tracer.finish();
}

/// The recorded run has no such filter, so what the replay needs is recorded anyway.
fn a_replay_has_the_ancestors_of_the_live_run() {
    needs_bpf!();
    let dir = temp_dir();
    let path = key_in(dir.path());
    let [with, without, live] =
        ["with.rec", "without.rec", "live.json"].map(|name| dir.path().join(name));
    let mut shell = Shell::start();
    let filter = fixture();
    let options = [
        "--filter".as_ref(),
        filter.as_os_str(),
        "--record".as_ref(),
        with.as_os_str(),
        "--output".as_ref(),
        live.as_os_str(),
    ];
    let tracer = Tracer::monitor(options);
    let other = Tracer::monitor(["--record".as_ref(), without.as_os_str()]);
    shell.run(&format!("(cat {}; true)", path.display()));
    open_of(&other, &path);
    until("the open in the output", || {
        let events = Ended::events_in(&live);
        let open = |event: &Event| event.text("file") == path.to_str().unwrap();
        events.iter().any(open).then_some(())
    });
    tracer.finish();
    other.finish();
    let events = |text: &str| -> Vec<Event> { text.lines().map(Event::of).collect() };
    let live = fs::read_to_string(&live).unwrap();
    let (code, replayed, stderr) = replay(&with, ["--filter".as_ref(), fixture().as_os_str()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(live, replayed);
    let (code, replayed, stderr) = replay(&without, ["--filter".as_ref(), fixture().as_os_str()]);
    assert_eq!(code, Some(0), "{stderr}");
    let open = |events: Vec<Event>| {
        let is_open = |event: &Event| {
            event.text("file") == path.to_str().unwrap() && event.text("process") == "cat"
        };
        events.into_iter().find(is_open).expect("the open")
    };
    let [live, replayed] = [open(events(&live)), open(events(&replayed))];
    assert_eq!(ancestors(&live), ancestors(&replayed));
    assert_eq!(pids(&live)[1..3], [shell.pid(), std::process::id()]);
    shell.end();
}

fn a_reloaded_filter_sees_ancestors_from_before() {
    needs_bpf!();
    let dir = crypto_tracer_tests::trusted_dir();
    let path = key_in(dir.path());
    let config = dir.path().join("config.toml");
    fs::write(&config, "").unwrap();
    let plugin = dir.path().join("filter.wasm");
    fs::copy(fixture(), &plugin).unwrap();
    let mut shell = Shell::start();
    let mut command = Command::new(crypto_tracer_tests::program());
    command.arg("files").arg("--config").arg(&config);
    // SAFETY: the closure makes only a system call, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    let tracer = Tracer::start(command);
    fs::write(&config, format!("[[filter]]\npath = {:?}\n", plugin.display().to_string())).unwrap();
    tracer.signal(libc::SIGHUP);
    until("the reload", || {
        tracer.said().iter().any(|line| line.contains("reloaded: now filter 1")).then_some(())
    });
    shell.run(&format!("(cat {}; true)", path.display()));
    let open = open_of(&tracer, &path);
    assert_eq!(pids(&open)[1..3], [shell.pid(), std::process::id()], "{:?}", ancestors(&open));
    shell.end();
    tracer.finish();
}

/// A snapshot shows the path of a file only, so the fixture drops what is not a child of this process.
fn a_snapshot_has_ancestors() {
    let dir = temp_dir();
    let path = key_in(dir.path());
    let mut child =
        Command::new("sleep").arg("60").stdin(fs::File::open(&path).unwrap()).spawn().unwrap();
    let shows = |way: &str| {
        let dir = crypto_tracer_tests::trusted_dir();
        let plugin = dir.path().join("filter.wasm");
        fs::copy(fixture(), &plugin).unwrap();
        let config = dir.path().join("config.toml");
        let text = format!(
            "[[filter]]\npath = {:?}\nconfig.way = {way:?}\n",
            plugin.display().to_string()
        );
        fs::write(&config, text).unwrap();
        let output = Command::new(crypto_tracer_tests::program())
            .args(["snapshot", "--no-redact", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).contains(path.to_str().unwrap())
    };
    let own = std::process::id();
    let (of_this, of_another) = (shows(&format!("child-of {own}")), shows("child-of 1"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(of_this && !of_another);
}
