//! Properties of a whole run, from the start to the JSON: descendants, names, namespaces, containers, losses.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crypto_tracer_tests::{
    Event, Material, Tracer, actor, needs_bpf, program, run, skip, temp_dir, until,
};

crypto_tracer_tests::tests![
    descendants_forked_during_the_start_are_included,
    descendants_of_a_named_process_are_included,
    renamed_process_keeps_its_executable,
    time_namespace_does_not_shift_timestamps,
    losses_are_reported_without_events,
    ended_process_is_described_completely,
    events_of_several_processes_are_in_order,
    containers_are_identified_by_runtime_cgroups,
];

fn key(dir: &Path) -> PathBuf {
    let path = dir.join("some.key");
    fs::write(&path, &Material::get().key).unwrap();
    path
}

/// A shell that runs the lines it is sent. Dropping it kills the shell.
struct Shell(Child);

impl Shell {
    fn new(dir: &Path) -> Shell {
        let mut command = Command::new("sh");
        command.current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::null());
        Shell(command.spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn send(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Both calls have no effect on a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn opens_of<'a>(events: &'a [Event], name: &str) -> Vec<&'a Event> {
    let is_it = |event: &&Event| event.kind() == "file_open" && event.text("file").ends_with(name);
    events.iter().filter(is_it).collect()
}

/// A child of the followed process forks in a loop while the tracer starts; none of its children is missing.
fn descendants_forked_during_the_start_are_included() {
    needs_bpf!();
    let dir = temp_dir();
    key(dir.path());
    assert!(Command::new("mkfifo").arg("gate").current_dir(&dir).status().unwrap().success());
    let mut parent = Shell::new(dir.path());
    // Each child waits until the FIFO `gate` is opened for writing.
    fs::write(
        dir.path().join("forking"),
        "n=0; while [ ! -e stop ] && [ $n -lt 1500 ]; do (: < gate; : < some.key) & n=$((n+1)); \
         sleep 0.0025; [ $n = 20 ] && : > started; done; echo $n > made.tmp; mv made.tmp made; wait",
    )
    .unwrap();
    parent.send("sh forking");
    let exists = |name: &str| dir.path().join(name).exists().then_some(());
    until("the first children", || exists("started"));
    let tracer = Tracer::monitor(["--pid", &parent.pid().to_string(), "--follow-children"]);
    fs::write(dir.path().join("stop"), "").unwrap();
    until("the last child", || exists("made"));
    let made: usize = fs::read_to_string(dir.path().join("made")).unwrap().trim().parse().unwrap();
    assert!(made < 1500, "the tracer started too late for this test");
    let gate = fs::OpenOptions::new().read(true).write(true).open(dir.path().join("gate")).unwrap();
    let pid = parent.pid();
    parent.end();
    drop(gate);
    tracer.all_of(pid);
    let ended = tracer.finish();
    let mut pids: Vec<_> = opens_of(&ended.events, "some.key").iter().map(|e| e.pid()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), made, "{}", ended.said.join("\n"));
}

/// The followed process and the processes between it and the descendant have other names.
fn descendants_of_a_named_process_are_included() {
    needs_bpf!();
    let dir = temp_dir();
    key(dir.path());
    let named = dir.path().join("ct-named-prog");
    fs::copy(fs::canonicalize("/bin/cat").unwrap(), &named).unwrap();
    let mut parent = Shell::new(dir.path());
    let pid = parent.pid().to_string();
    let tracer = Tracer::monitor(["--pid", &pid, "--follow-children", "--name", "ct-named"]);
    run(Command::new(&named).arg("some.key").current_dir(&dir));
    parent.send("sh -c './ct-named-prog some.key; cat some.key; true'; true");
    parent.end();
    let exit = tracer.wait_for("the exit", |event| event.kind() == "process_exit");
    let ended = tracer.finish();
    let kinds: Vec<_> = ended.events.iter().map(|event| (event.kind(), event.pid())).collect();
    let expected = ["process_exec", "file_open", "process_exit"].map(|kind| (kind, exit.pid()));
    assert_eq!(kinds, expected);
}

/// The process had another name at its exec.
fn renamed_process_keeps_its_executable() {
    needs_bpf!();
    let dir = temp_dir();
    let tracer = Tracer::monitor(["--name", "ct-renamed", "--extended"]);
    let mut command = Command::new("sh");
    let script = "printf ct-renamed > /proc/self/comm; : < \"$0\"; true";
    let pid = run(command.args(["-c", script]).arg(key(dir.path())));
    let events = tracer.all_of(pid);
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let exes: Vec<_> = events.iter().map(|event| (event.kind(), event.text("exe"))).collect();
    let exe = shell.to_str().unwrap();
    assert_eq!(exes, [("file_open", exe), ("process_exit", exe)]);
    tracer.finish();
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

/// The boot clock of the time namespace is a day ahead. Descendants from before the start are found too.
fn time_namespace_does_not_shift_timestamps() {
    needs_bpf!();
    let dir = temp_dir();
    key(dir.path());
    let mut parent = Shell::new(dir.path());
    parent.send("(: > started; while [ ! -e go ]; do sleep 0.01; done; cat some.key) &");
    until("the child", || dir.path().join("started").exists().then_some(()));
    let mut command = Command::new("unshare");
    command.args(["-T", "--boottime", "86400"]).arg(program());
    command.args(["monitor", "--follow-children", "--pid", &parent.pid().to_string()]);
    let tracer = Tracer::start(command);
    let before = now_us();
    fs::write(dir.path().join("go"), "").unwrap();
    let open = tracer.wait_for("the open", |event| event.kind() == "file_open");
    let after = now_us();
    assert!((before - 1000..=after).contains(&open.micros()), "{before} {} {after}", open.line());
    parent.send("wait");
    parent.end();
    tracer.finish();
}

/// No event wakes the tracer up; only a counter has the files that were closed before the probe could read them.
fn losses_are_reported_without_events() {
    needs_bpf!();
    let dir = temp_dir();
    // The name is not in any classifier's interest, so its opens cause no records.
    let path = dir.path().join("plain");
    fs::write(&path, "").unwrap();
    let mut closing = actor!["closing", &path];
    let options = ["--probe", "tp_btf", "--pid", &closing.pid().to_string()];
    let tracer = Tracer::monitor(options);
    closing.go();
    // The process does not end, so no exit wakes the tracer up.
    let loss = tracer.wait_for("a loss", |event| event.kind() == "events_lost");
    assert_eq!(loss.text("cause"), "file_gone", "{}", loss.line());
    assert!(
        tracer.events().iter().all(|event| event.pid().is_none()),
        "an event woke the tracer up"
    );
    closing.end();
    tracer.finish();
}

/// The kernel sends all facts about a process with the event: the process ends while the tracer is stopped.
fn ended_process_is_described_completely() {
    needs_bpf!();
    let dir = temp_dir();
    let path = key(dir.path());
    let tracer = Tracer::monitor(["--no-redact", "--extended"]);
    tracer.signal(libc::SIGSTOP);
    let pid = run(Command::new("cat").arg(&path));
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    tracer.signal(libc::SIGCONT);
    let events = tracer.all_of(pid);
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["process_exec", "file_open", "process_exit"]);
    let [exec, open, _exit] = events.as_slice() else { return };
    let path = path.to_str().unwrap();
    assert_eq!((exec.text("cmdline"), open.text("file")), (format!("cat {path}").as_str(), path));
    for event in &events {
        assert_eq!(event.text("process"), "cat", "{}", event.line());
        assert!(event.text("exe").ends_with("/cat"), "{}", event.line());
    }
    tracer.finish();
}

/// Events of different processes come in order of time, or at most a millisecond late.
fn events_of_several_processes_are_in_order() {
    needs_bpf!();
    let dir = temp_dir();
    let path = key(dir.path());
    let mut actors: Vec<_> = (0..3).map(|_| actor!["paced", "2000", "2000", &path]).collect();
    let pids: Vec<_> = actors.iter().map(|actor| actor.pid()).collect();
    let tracer = Tracer::monitor(["--file", "*/some.key"]);
    actors.iter_mut().for_each(|actor| actor.go());
    actors.into_iter().for_each(|actor| drop(actor.end()));
    let is_from_actor = |event: &Event| event.pid().is_some_and(|pid| pids.contains(&pid));
    until("all opens", || {
        (tracer.events().iter().filter(|e| is_from_actor(e)).count() >= 6000).then_some(())
    });
    let ended = tracer.finish();
    let mut latest = 0;
    for event in ended.events.iter().filter(|event| event.pid().is_some()) {
        assert!(
            latest - event.micros() <= 1000,
            "{} µs: {}",
            latest - event.micros(),
            event.line()
        );
        latest = latest.max(event.micros());
    }
}

/// The cgroups have the names that container runtimes use, in the hierarchy that identifies containers on this machine.
fn containers_are_identified_by_runtime_cgroups() {
    needs_bpf!();
    let Some(own) = own_group() else {
        skip("no cgroup hierarchy is mounted");
    };
    let id = |letter: &str| letter.repeat(64);
    let groups = [
        (format!("docker-{}.scope", id("a")), Some(id("a"))),
        (format!("libpod-{}.scope", id("b")), Some(id("b"))),
        (format!("cri-containerd-{}.scope", id("c")), Some(id("c"))),
        (id("d"), Some(id("d"))),
        (format!("libpod-conmon-{}.scope", id("e")), None),
    ];
    let dir = temp_dir();
    let file = key(dir.path());
    let tracer = Tracer::monitor(["--extended"]);
    for (name, container) in groups {
        let group = Group(own.join(&name));
        if let Err(error) = fs::create_dir(&group.0) {
            skip(format_args!("cannot create a cgroup: {error}"));
        }
        let script = "echo $$ > \"$0/cgroup.procs\" && exec cat \"$1\"";
        let mut command = Command::new("sh");
        let pid = run(command.args(["-c", script]).arg(&group.0).arg(&file));
        let events = tracer.all_of(pid);
        let open = events.iter().find(|event| event.kind() == "file_open").unwrap();
        assert_eq!(open.text("container"), container.unwrap_or_default(), "{}", open.line());
        assert!(open.text("cgroup").ends_with(&name), "{}", open.line());
    }
    tracer.finish();
}

/// A cgroup that is removed when the value is dropped.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Returns the directory of this process's cgroup: of memory, pids or cpu in version 1, otherwise of version 2.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = |controller: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            names.split(',').any(|name| name == controller).then(|| path.to_owned())
        })
    };
    let (controller, path) = ["memory", "pids", "cpu", ""]
        .iter()
        .find_map(|controller| Some((*controller, line(controller)?)))?;
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let (kind, options) = (after.split(' ').next()?, after.split(' ').nth(2)?);
        let is_it = match controller {
            "" => kind == "cgroup2",
            _ => kind == "cgroup" && options.split(',').any(|option| option == controller),
        };
        is_it.then(|| before.split(' ').nth(4)).flatten()
    })?;
    Some(Path::new(mount).join(path.trim_start_matches('/')))
}
