//! Heads of files whose opener has exited, or whose name was removed, before the tracer reads them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crypto_tracer_tests::{Event, Material, Tracer, actor, needs_bpf, temp_dir};

crypto_tracer_tests::tests![
    head_is_read_through_a_process_with_the_same_mounts,
    file_is_gone_with_its_mount_namespace,
    head_is_read_below_the_containers_root,
    unlinked_file_is_read_while_it_is_open,
    many_mapped_libraries_do_not_delay_the_start,
];

/// A shell that runs the next step of its script on request.
struct Shell {
    child: Child,
    printed: BufReader<ChildStdout>,
}

impl Shell {
    /// Starts the script in a new mount namespace. `$0` is this folder.
    fn start(script: &str, dir: &Path) -> Shell {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script]).arg(dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        Shell { child, printed }
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Waits for the next line of output, which must be this one.
    fn expect_line(&mut self, what: &str) {
        let mut line = String::new();
        self.printed.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), what);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns `head` and `file_type` of this file when the tracer reads it only after the script has run.
fn head_and_type(name: &str, script: &str, dir: &Path) -> (String, String) {
    let mut shell = Shell::start(&script.replace("NAME", name), dir);
    shell.expect_line("ready");
    let tracer = Tracer::monitor(["--extended"]);
    tracer.signal(libc::SIGSTOP);
    shell.go();
    shell.expect_line("done");
    tracer.signal(libc::SIGCONT);
    let opened = |event: &Event| event.kind() == "file_open" && event.text("file").ends_with(name);
    let event = tracer.wait_for("the open", opened);
    let found = (event.text("head").to_owned(), event.text("file_type").to_owned());
    tracer.finish();
    found
}

/// Checks `head` and `file_type` of this file after the script has run. A read has a limit of 50 ms, which a busy
/// machine may exceed, so the check is repeated up to five times.
fn assert_head_and_type((name, script): (&str, &str), dir: &Path, expected: (&str, &str)) {
    let expected = (expected.0.to_owned(), expected.1.to_owned());
    let mut tries = (0..5).map(|_| head_and_type(name, script, dir));
    let mut found = tries.next().unwrap();
    while found != expected {
        found = tries
            .next()
            .unwrap_or_else(|| unreachable!("{name}: {found:?} instead of {expected:?}"));
    }
}

/// Creates a folder with a certificate, which the scripts copy.
fn certificate_dir() -> tempfile::TempDir {
    let dir = temp_dir();
    fs::write(dir.path().join("certificate"), &Material::get().certificate).unwrap();
    fs::create_dir(dir.path().join("mnt")).unwrap();
    dir
}

/// Creates a mount in the script's mount namespace and copies the certificate into it.
const MOUNT: &str =
    "mount -t tmpfs none \"$0/mnt\"; cp \"$0/certificate\" \"$0/mnt/NAME\"; echo ready; read go;";

fn head_is_read_through_a_process_with_the_same_mounts() {
    needs_bpf!();
    let dir = certificate_dir();
    let script = format!("{MOUNT} cat \"$0/mnt/NAME\" >/dev/null; echo done; read end");
    assert_head_and_type(("sibling.pem", &script), dir.path(), ("read", "certificate"));
}

fn file_is_gone_with_its_mount_namespace() {
    needs_bpf!();
    let dir = certificate_dir();
    // The mount namespace ends with `cat`. The shell that waits for it is in another one.
    let script =
        format!("exec unshare --mount sh -ec '{MOUNT} exec cat \"$0/mnt/NAME\" >/dev/null' \"$0\"");
    let script = format!("({script}); echo done; read end");
    assert_head_and_type(("ended.pem", &script), dir.path(), ("gone", "unknown"));
}

fn head_is_read_below_the_containers_root() {
    needs_bpf!();
    let dir = certificate_dir();
    let script = "cd \"$0/mnt\"; mount -t tmpfs none .; cd \"$0/mnt\"; mkdir etc;
        for dir in /usr /bin /lib /lib64; do
            if [ -L $dir ]; then cp -P $dir .; elif [ -d $dir ]; then mkdir .$dir; mount --bind $dir .$dir; fi
        done
        cp ../certificate etc/NAME; exec chroot . /bin/sh -ec '
            echo ready; read go; cat /etc/NAME >&2; echo done; read end' 2>/dev/null";
    assert_head_and_type(("contained.pem", script), dir.path(), ("read", "certificate"));
}

fn unlinked_file_is_read_while_it_is_open() {
    needs_bpf!();
    let dir = certificate_dir();
    let script = "cp \"$0/certificate\" \"$0/NAME\"; echo ready; read go;
        exec 3<\"$0/NAME\"; rm \"$0/NAME\"; echo done; read end";
    assert_head_and_type(("unlinked.pem", script), dir.path(), ("read", "certificate"));
    let closed = script.replace("echo done", "exec 3<&-; echo done");
    assert_head_and_type(("closed.pem", &closed), dir.path(), ("gone", "unknown"));
}

/// Twenty processes with a thousand libraries each in folders with long names have 70 MB of paths.
fn many_mapped_libraries_do_not_delay_the_start() {
    needs_bpf!();
    let dir = temp_dir();
    let deep = (0..13).fold(dir.path().to_owned(), |path, _| path.join("d".repeat(250)));
    fs::create_dir_all(&deep).unwrap();
    for number in 0..1000 {
        fs::write(deep.join(format!("libcrypto.so.{number}")), "x").unwrap();
    }
    let mut actors: Vec<_> = (0..20).map(|_| actor!["map", &deep]).collect();
    for actor in &mut actors {
        actor.go();
    }
    for actor in &mut actors {
        assert_eq!(actor.line(), "mapped");
    }
    let certificate = dir.path().join("a.pem");
    fs::write(&certificate, &Material::get().certificate).unwrap();
    let tracer = Tracer::monitor(["--extended"]);
    let pid = crypto_tracer_tests::run(Command::new("cat").arg(&certificate));
    let events = tracer.all_of(pid);
    assert!(events.iter().any(|event| event.kind() == "file_open"), "{events:?}");
    let ended = tracer.finish();
    let unknown = ended.said.iter().find(|line| line.contains("before the start"));
    assert_eq!(unknown, None, "{:?}", ended.said);
}
