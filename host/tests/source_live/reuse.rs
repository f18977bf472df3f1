//! Reused PIDs: two processes with the same PID are distinct.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;

use crypto_tracer_capture::CaptureOptions;
use crypto_tracer_capture::decode::decode;
use crypto_tracer_common::record::kind;
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::{EnrichedWhat, RawRecord};
use crypto_tracer_pipeline::enrich::Enrich;

use super::world::Record;
use super::{routes, sys, world};

crypto_tracer_tests::tests![
    processes_with_a_reused_pid_are_distinct,
    a_stranger_with_the_pid_is_not_traced,
];

/// Fields of `struct clone_args`, as indices of 64-bit words.
const EXIT_SIGNAL: usize = 4;
const SET_TID: usize = 8;
const SET_TID_SIZE: usize = 9;

/// Runs a program with this PID. `None` if the PID is in use.
fn run_as(pid: i32, program: &CString, argument: &CString) -> Option<()> {
    let mut clone = [0_u64; 11];
    clone[EXIT_SIGNAL] = libc::SIGCHLD as u64;
    clone[SET_TID] = &raw const pid as u64;
    clone[SET_TID_SIZE] = 1;
    let argv = [program.as_ptr(), argument.as_ptr(), std::ptr::null()];
    let size = size_of_val(&clone);
    // SAFETY: like fork, the child shares no memory; it only executes a program or exits.
    let child = unsafe { libc::syscall(libc::SYS_clone3, clone.as_mut_ptr(), size) };
    if child == 0 {
        // SAFETY: the strings are NUL-terminated, and the array ends with a null pointer.
        unsafe {
            libc::execv(program.as_ptr(), argv.as_ptr());
            libc::_exit(127);
        }
    }
    if child < 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST), "clone3: {error}");
        return None;
    }
    assert_eq!(child, i64::from(pid));
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
    Some(())
}

/// Returns the PID of a process that has just exited.
fn free_pid() -> i32 {
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    child.wait().unwrap();
    child.id() as i32
}

/// The process of `--pid` has ended, and another one has its PID.
fn a_stranger_with_the_pid_is_not_traced() {
    let interest = world::interest();
    let (_keep, dir) = world::directory();
    let file = dir.join("stranger.pem");
    fs::write(&file, "").unwrap();
    let (program, file) = (sys::path("/bin/cat"), sys::path(&file));
    for follow_children in [false, true] {
        let pid = free_pid();
        // A tick of `/proc` ago. A process that starts now is in a later one.
        let started = sys::boot_ns() - 10_000_000;
        let options = CaptureOptions {
            pid: Some(pid as u32),
            pid_started: Some(started - 100_000_000),
            follow_children,
            ..world::options(&interest, EventKinds::ALL)
        };
        let mut world = world::start(&options);
        run_as(pid, &program, &file);
        let got = world.records(0, |_| true);
        assert!(got.is_empty(), "{got:?}");
    }
    // The control: without a start time, the stranger is taken for the process.
    let pid = free_pid();
    let options =
        CaptureOptions { pid: Some(pid as u32), ..world::options(&interest, EventKinds::ALL) };
    let mut world = world::start(&options);
    if run_as(pid, &program, &file).is_some() {
        let got = world.records(1, |record| record.header.kind == kind::FILE_OPEN);
        assert_eq!(got.len(), 1);
    }
    routes::ok("reused pid of --pid: not reported");
}

fn processes_with_a_reused_pid_are_distinct() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, EventKinds::ALL));
    let (_keep, dir) = world::directory();
    let programs = ["first", "second"].map(|name| dir.join(name));
    let files = ["first.pem", "second.pem"].map(|name| dir.join(name));
    for (program, file) in programs.iter().zip(&files) {
        fs::copy("/bin/cat", program).unwrap();
        fs::write(file, "").unwrap();
    }
    let [one, two] = [0, 1].map(|i: usize| (sys::path(&programs[i]), sys::path(&files[i])));
    // Another process may take the PID in between; then another PID is tried.
    let pid = (0..100)
        .find_map(|_| {
            let pid = free_pid();
            run_as(pid, &one.0, &one.1)?;
            run_as(pid, &two.0, &two.1)?;
            Some(pid as u32)
        })
        .unwrap();
    let of_pid = |record: &Record| record.header.tgid == pid;
    // Fork, exec and exit of the first process; then fork, exec, open and exit of two processes.
    let got = world.records(3 + 4 + 4, of_pid);
    let opens: Vec<_> = got.iter().filter(|record| record.header.kind == kind::FILE_OPEN).collect();
    assert_eq!(opens.len(), 2, "{opens:?}");
    assert_ne!(opens[0].header.start_ns, opens[1].header.start_ns);
    let mut enrich = Enrich::default();
    let mut executables = BTreeMap::new();
    for record in &got {
        let Some(event) = enrich.enrich(decode(RawRecord(&record.raw)).unwrap()) else { continue };
        if let EnrichedWhat::FileOpen { file, .. } = &event.what {
            let exe = event.process.exe.unwrap();
            executables.insert(file.path.bytes.clone(), exe.to_vec());
        }
    }
    for (program, file) in programs.iter().zip(&files) {
        let exe = executables.get(file.as_os_str().as_encoded_bytes()).map(Vec::as_slice);
        assert_eq!(exe, Some(program.as_os_str().as_encoded_bytes()));
    }
    routes::ok("reused pid");
}
