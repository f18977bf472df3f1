//! Exec and exit events.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crypto_tracer_common::record::{flag, kind};
use crypto_tracer_event::EventKinds;

use super::world::{Record, World};
use super::{routes, sys, world};

crypto_tracer_tests::tests! {
    exec_arguments_and_exit_status,
    arguments_of_every_length,
    scripts_and_memfd_programs,
    exec_by_descriptor,
    a_multithreaded_process_exits_once,
    a_child_without_exec_has_only_an_exit,
    inside_a_pid_namespace;
    roles: role, pid_namespace_role
}

const PROCESSES: EventKinds = EventKinds { exec: true, exit: true, ..EventKinds::NONE };
/// Environment variable with the role of this program when a test starts it as a child.
pub(crate) const ROLE: &str = "SOURCE_LIVE_ROLE";

struct ProcessEvents {
    exec: Vec<Record>,
    exit: Vec<Record>,
    status: ExitStatus,
    pid: u32,
}

fn run(world: &mut World, command: &mut Command) -> ProcessEvents {
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let status = child.wait().unwrap();
    let all = world.records(2, |record| record.header.tgid == pid);
    let of = |kind| all.iter().filter(|record| record.header.kind == kind).cloned().collect();
    ProcessEvents { exec: of(kind::PROCESS_EXEC), exit: of(kind::PROCESS_EXIT), status, pid }
}

impl ProcessEvents {
    /// Checks for one exec and one exit of one process, with the status that its parent received.
    fn check(&self, case: &str) {
        assert_eq!((self.exec.len(), self.exit.len()), (1, 1), "{case}");
        self.check_exit(case);
        let (exec, exit) = (self.exec[0].header, self.exit[0].header);
        assert_eq!(exec.start_ns, exit.start_ns, "{case}");
        assert_eq!(exec.exec_id, exit.exec_id, "{case}");
        assert!(exec.ts_ns < exit.ts_ns, "{case}");
        assert_eq!((exec.tid, exec.ppid), (self.pid, std::process::id()), "{case}");
    }

    fn check_exit(&self, case: &str) {
        assert_eq!(self.exit.len(), 1, "{case}");
        assert_eq!(self.exit[0].header.detail as i32, self.status.into_raw(), "{case}");
    }

    fn arguments(&self) -> Vec<&[u8]> {
        let args = &self.exec[0].args;
        args.strip_suffix(b"\0").unwrap_or(args).split(|&byte| byte == 0).collect()
    }
}

fn exec_arguments_and_exit_status() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, PROCESSES));
    let real = fs::canonicalize("/bin/true").unwrap();
    let events = run(&mut world, Command::new("/bin/true").args(["", "a b", "\u{fc}"]));
    events.check("true");
    assert_eq!(events.exec[0].path, real.as_os_str().as_bytes());
    assert_eq!(events.exec[0].header.inode, fs::metadata(&real).unwrap().ino());
    assert_eq!(events.exec[0].comm(), b"true");
    assert_eq!(events.arguments(), [&b"/bin/true"[..], b"", b"a b", "\u{fc}".as_bytes()]);
    for (script, code) in [("exit 3", 3 << 8), ("kill -9 $$", 9), ("kill -TERM $$", 15)] {
        let events = run(&mut world, Command::new("/bin/sh").args(["-c", script]));
        events.check(script);
        assert_eq!(events.exit[0].header.detail, code);
    }
    // The status depends on whether there is a core dump; `check` compares it with the parent's.
    run(&mut world, Command::new("/bin/sh").args(["-c", "kill -SEGV $$"])).check("SEGV");
    let events = run(&mut world, Command::new("/bin/true").arg0("spoofed name").arg("x"));
    assert_eq!(events.arguments(), [&b"spoofed name"[..], b"x"]);
    assert_eq!(events.exec[0].path, real.as_os_str().as_bytes());
}

fn arguments_of_every_length() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, PROCESSES));
    // The program's name and its NUL take five bytes, the NUL of the argument one.
    for total in [6, 256, 510, 511, 512, 513, 1024, 4095, 4096, 4097, 9000, 100_000] {
        let argument = "A".repeat(total - 6);
        let events = run(&mut world, Command::new("/bin/true").arg0("true").arg(&argument));
        events.check("long");
        let whole = [b"true\0", argument.as_bytes(), b"\0"].concat();
        let record = &events.exec[0];
        assert_eq!(record.args, whole[..whole.len().min(4096)], "{total}");
        let truncated = record.header.flags & flag::ARGS_TRUNCATED != 0;
        assert_eq!(truncated, total > 4096, "{total}");
        assert!(record.text().ends_with("/true"));
    }
    // With a long path.
    let (_keep, dir) = world::directory();
    let deep = dir.join("d".repeat(250)).join("e".repeat(250));
    fs::create_dir_all(&deep).unwrap();
    let program = deep.join("program");
    fs::copy("/bin/true", &program).unwrap();
    for total in [0, 500, 5000] {
        let events = run(&mut world, Command::new(&program).arg("A".repeat(total)));
        events.check("deep");
        assert_eq!(events.exec[0].path, program.as_os_str().as_bytes());
    }
    routes::ok("exec: arguments up to 4096 bytes");
}

fn scripts_and_memfd_programs() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, PROCESSES));
    let (_keep, dir) = world::directory();
    let script = dir.join("script");
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&script).unwrap();
    file.write_all(b"#!/bin/sh\nexit 4\n").unwrap();
    drop(file);
    let events = run(&mut world, Command::new(&script).args(["one", "two three"]));
    events.check("script");
    assert_eq!(events.exec[0].path, fs::canonicalize("/bin/sh").unwrap().as_os_str().as_bytes());
    let name = script.as_os_str().as_bytes();
    assert_eq!(events.arguments(), [&b"/bin/sh"[..], name, b"one", b"two three"]);
    assert_eq!(events.exec[0].comm(), b"script");
    let memory = c"sec ret".as_ptr() as usize;
    let memory = sys::open_call(libc::SYS_memfd_create, [memory, 0, 0, 0, 0]).unwrap();
    let mut program = Vec::new();
    fs::File::open("/bin/true").unwrap().read_to_end(&mut program).unwrap();
    let mut file = fs::File::from(memory);
    file.write_all(&program).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let events = run(&mut world, Command::new(&path).arg0("other"));
    events.check("memfd");
    assert_eq!(events.exec[0].path, b"/memfd:sec ret");
    assert_ne!(events.exec[0].header.flags & flag::PATH_PSEUDO, 0);
    assert_eq!(events.arguments(), [b"other"]);
    routes::ok("exec: script, memfd, renamed");
}

fn exec_by_descriptor() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, PROCESSES));
    let real = fs::canonicalize("/bin/true").unwrap();
    let file = sys::open(&real, libc::O_PATH | libc::O_CLOEXEC).unwrap();
    for flags in [libc::AT_EMPTY_PATH, 0] {
        let (empty, name) = (c"".as_ptr() as usize, sys::path(&real));
        let at = if flags == 0 { name.as_ptr() as usize } else { empty };
        let fd = file.as_raw_fd() as usize;
        let mut command = Command::new("/bin/false");
        let (arguments, environment) =
            ([c"by-fd".as_ptr() as usize, c"x".as_ptr() as usize, 0], [0_usize]);
        // SAFETY: the closure makes one system call between fork and exec; its pointers are valid until then.
        unsafe {
            command.pre_exec(move || {
                let argv = arguments.as_ptr() as usize;
                let args = [fd, at, argv, environment.as_ptr() as usize, flags as usize];
                // Returns only on failure.
                sys::call(libc::SYS_execveat, args).map(drop)
            });
        }
        let events = run(&mut world, &mut command);
        events.check("execveat");
        assert!(events.status.success());
        assert_eq!(events.arguments(), [&b"by-fd"[..], b"x"]);
        assert_eq!(events.exec[0].path, real.as_os_str().as_bytes());
    }
    routes::ok("exec: execveat, fexecve");
}

/// A command that starts this program as a child with a role.
pub(crate) fn self_command(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn a_multithreaded_process_exits_once() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, PROCESSES));
    for role in ["return", "thread-exits", "leader-first", "abort"] {
        for _ in 0..10 {
            let events = run(&mut world, &mut self_command("processes::role", role));
            events.check(role);
        }
    }
    for _ in 0..10 {
        let events = run(&mut world, &mut self_command("processes::role", "thread-execs"));
        assert_eq!(events.exec.len(), 2);
        events.check_exit("thread-execs");
        let [first, second] = [&events.exec[0], &events.exec[1]].map(|record| record.header);
        assert_eq!(second.tid, events.pid);
        assert_eq!(first.start_ns, second.start_ns);
        assert_ne!(first.exec_id, second.exec_id);
        assert_eq!(events.exec[1].args, b"true\0from-thread\0");
    }
    routes::ok("exit: status and signal, once with threads");
    routes::ok("exit: leader first, exec by another thread");
}

fn a_child_without_exec_has_only_an_exit() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, PROCESSES));
    // SAFETY: the child only exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(7) };
    }
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    let got = world.records(1, |record| record.header.tgid == pid as u32);
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].header.kind, got[0].header.detail), (kind::PROCESS_EXIT, 7 << 8));
    assert_eq!(got[0].header.ppid, std::process::id());
}

/// Not a test: the role of this program as a child.
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let worker = |index: u64, role: String| {
        move || {
            std::thread::sleep(Duration::from_millis(index));
            match (role.as_str(), index) {
                // SAFETY: _exit has no preconditions.
                ("thread-exits", 3) => unsafe { libc::_exit(5) },
                ("thread-execs", 3) => {
                    let error = Command::new("/bin/true").arg0("true").arg("from-thread").exec();
                    panic!("{error}");
                }
                ("abort", 3) => std::process::abort(),
                _ => {}
            }
        }
    };
    let threads: Vec<_> =
        (0..8).map(|index| std::thread::spawn(worker(index, role.clone()))).collect();
    if role == "leader-first" {
        assert_eq!(sys::tid(), std::process::id(), "this must be the leader");
        // Ends only this thread.
        let _ = sys::call(libc::SYS_exit, [9, 0, 0, 0, 0]);
    }
    for thread in threads {
        let _ = thread.join();
    }
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(6) }
}

/// A tracer in its own PID namespace reports the PIDs of that namespace and no outside processes.
fn inside_a_pid_namespace() {
    let interest = world::interest();
    let world = world::start(&world::options(&interest, PROCESSES));
    drop(world);
    let (_keep, dir) = world::directory();
    let mut outside = Command::new("/bin/sh")
        .args(["-c", "while :; do cat outside.pem; sleep 0.01; done"])
        .current_dir(&dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    fs::write(dir.join("outside.pem"), "").unwrap();
    let mut command = self_command("processes::pid_namespace_role", dir.to_str().unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: the closure only makes system calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The next child is PID 1 of the new namespace.
            let child = libc::fork();
            if child > 0 {
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                libc::_exit((status >> 8) & 0xff);
            }
            Ok(())
        });
    }
    let output = command.output();
    if let Ok(child) = &mut outside {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    routes::ok("tracer in a pid namespace");
}

/// Not a test: the process in the PID namespace.
fn pid_namespace_role() {
    let Ok(dir) = std::env::var(ROLE) else { return };
    let dir = std::path::Path::new(OsStr::new(&dir));
    let none = std::path::Path::new("/");
    sys::mount("", none, "", libc::MS_REC | libc::MS_PRIVATE, "").unwrap();
    sys::mount("proc", std::path::Path::new("/proc"), "proc", 0, "").unwrap();
    assert_eq!(std::process::id(), 1);
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, EventKinds::ALL));
    fs::write(dir.join("i"), "").unwrap();
    fs::rename(dir.join("i"), dir.join("inside.pem")).unwrap();
    drop(sys::open(dir.join("inside.pem"), 0).unwrap());
    let events = run(&mut world, Command::new("/bin/cat").arg(dir.join("inside.pem")));
    events.check("cat");
    let all = world.records(0, |_| true);
    let opens: Vec<_> = all.iter().filter(|record| record.header.kind == kind::FILE_OPEN).collect();
    let own = |record: &&&Record| record.header.tgid == 1;
    assert_eq!(opens.iter().filter(own).count(), 1, "{opens:?}");
    assert_eq!(opens.len(), 2, "{opens:?}");
    assert!(opens.iter().all(|record| record.text().ends_with("/inside.pem")));
    assert!(all.iter().all(|record| (1..50).contains(&record.header.tgid)), "{all:?}");
    let me = opens.iter().find(|record| record.header.tgid == 1).unwrap();
    assert_eq!(me.header.tid, sys::tid());
    assert_eq!(me.header.ppid, 0);
}
