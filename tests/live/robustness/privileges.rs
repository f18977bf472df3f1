//! What each process of a run may do, and that others cannot look into it.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crypto_tracer_tests::{Tracer, needs_bpf, needs_program, output, program, temp_dir, until};

crypto_tracer_tests::tests![
    every_process_has_a_system_call_filter,
    no_process_can_be_inspected_by_its_user,
    no_core_is_dumped,
    verbose_lists_the_privileges,
];

/// The main process and its helpers, recursively.
fn processes(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children = children.split_whitespace().map(|child| child.parse().unwrap());
    std::iter::once(pid).chain(children.flat_map(processes)).collect()
}

fn start(output: &Path) -> (Tracer, Vec<u32>) {
    let tracer = Tracer::monitor(["--verbose", "--output", output.to_str().unwrap()]);
    let processes = processes(tracer.pid());
    assert_eq!(processes.len(), 4, "main, spawner, reader and opener");
    (tracer, processes)
}

/// `system::seccomp` has the tests that try each forbidden call.
fn every_process_has_a_system_call_filter() {
    needs_bpf!();
    let dir = temp_dir();
    let (tracer, processes) = start(&dir.path().join("events"));
    for pid in processes {
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let has = |line: &str| status.lines().any(|found| found == line);
            assert!(has("Seccomp:\t2") && has("NoNewPrivs:\t1") && has("Umask:\t0077"), "{status}");
        }
    }
    tracer.finish();
}

/// Root without capabilities owns the processes, but may not read their memory or environment.
fn no_process_can_be_inspected_by_its_user() {
    needs_bpf!();
    needs_program("setpriv");
    let dir = temp_dir();
    let (tracer, processes) = start(&dir.path().join("events"));
    let read = |pid: u32| {
        let mut reader = Command::new("setpriv");
        reader.args(["--bounding-set=-all", "--inh-caps=-all", "cat"]);
        output(reader.arg(format!("/proc/{pid}/environ"))).status.success()
    };
    // A process with as few privileges, which the same reader may inspect.
    let mut other = Command::new("setpriv");
    other.args(["--bounding-set=-all", "--inh-caps=-all", "sleep", "60"]);
    let mut other = other.spawn().unwrap();
    until("a process of the same user that can be inspected", || read(other.id()).then_some(()));
    other.kill().unwrap();
    other.wait().unwrap();
    for pid in processes {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let values: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(values, ["0", "0"], "{core}");
        assert!(!read(pid), "{pid}");
    }
    tracer.finish();
}

fn no_core_is_dumped() {
    needs_bpf!();
    let dir = temp_dir();
    let mut command = Command::new(program());
    command.arg("monitor").current_dir(dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let unlimited = || {
        let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the pointer is valid for the call.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) };
        Ok(())
    };
    // SAFETY: the closure makes one system call between fork and exec.
    unsafe { command.pre_exec(unlimited) };
    let mut child = command.spawn().unwrap();
    until("the helpers", || (processes(child.id()).len() > 2).then_some(()));
    // SAFETY: the call accesses no memory, and the child was not waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGABRT) };
    let status = until("the end", || child.try_wait().unwrap());
    assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGABRT), false));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn verbose_lists_the_privileges() {
    needs_bpf!();
    let dir = temp_dir();
    let (tracer, processes) = start(&dir.path().join("events"));
    let said = tracer.said();
    for pid in processes {
        let line = said.iter().find(|line| line.contains(&format!("process {pid} (")));
        let line = line.unwrap_or_else(|| unreachable!("{pid}: {said:?}"));
        assert!(line.contains("no new privileges, system calls filtered"), "{line}");
        let capabilities = if line.contains("(crypto-tracer-r)") {
            "capabilities dac_read_search sys_ptrace"
        } else if line.contains("(crypto-tracer-o)") {
            "capabilities chown"
        } else {
            "no capabilities"
        };
        assert!(line.contains(capabilities), "{line}");
    }
    tracer.finish();
}
