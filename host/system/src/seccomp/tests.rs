//! A filter cannot be removed, so each test forks a child that applies it.

use std::collections::BTreeSet;

use super::*;

/// Calls that no role may make: code of others, other processes, the kernel, and connections.
const NEVER: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_add_key,
    libc::SYS_bind,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_linkat,
    libc::SYS_listen,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_setns,
    libc::SYS_setresuid,
    libc::SYS_setuid,
    libc::SYS_symlinkat,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// How a child ended, and what it wrote to standard error.
struct Ended {
    code: Option<i32>,
    said: String,
    reported: Option<i32>,
}

/// Runs `task` in a child with the filter of `role`. Its result is the exit code.
fn in_child(role: Role, task: impl FnOnce() -> i32) -> Ended {
    report_refusals().unwrap();
    let (reads, writes) = rustix::pipe::pipe().unwrap();
    // SAFETY: the child makes system calls and allocates little. The tests of this crate hold no lock that it needs.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        rustix::stdio::dup2_stderr(&writes).unwrap();
        let _ = rustix::thread::set_no_new_privs(true);
        let code = if restrict(role).is_ok() { task() } else { 99 };
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(code) };
    }
    drop(writes);
    let mut said = String::new();
    io::Read::read_to_string(&mut std::fs::File::from(reads), &mut said).unwrap();
    let mut status = 0;
    // SAFETY: the pointer is valid.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    Ended { code, said, reported: take_refused() }
}

/// Makes a system call. Returns its error, or 0.
fn call(number: i64, arguments: [u64; 6]) -> i32 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: invalid arguments: no call here succeeds in accessing memory.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}

/// One test, because the shared page is one for the process.
#[test]
fn a_role_can_make_the_calls_of_its_list_only() {
    const INVALID: [u64; 6] = [u64::MAX; 6];
    for role in Role::ALL {
        for &number in NEVER {
            let ended = in_child(role, || call(number, INVALID));
            let number = i32::try_from(number).unwrap();
            assert_eq!((ended.code, ended.reported), (Some(1), Some(number)), "{role:?}");
            let expected = format!("system call {number} ({})", name_of(number));
            assert!(ended.said.contains(&expected), "{role:?}: {}", ended.said);
        }
        for (number, arguments) in [
            (libc::SYS_clone, [(libc::CLONE_NEWUSER | libc::SIGCHLD) as u64, 0, 0, 0, 0, 0]),
            (libc::SYS_ioctl, [0, libc::TIOCSTI, 0, 0, 0, 0]),
            (libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0, 0]),
            (libc::SYS_prctl, [libc::PR_SET_SECCOMP as u64, 0, 0, 0, 0, 0]),
            (libc::SYS_prlimit64, [1, libc::RLIMIT_CORE as u64, 0, 0, 0, 0]),
            // BPF_PROG_LOAD
            (libc::SYS_bpf, [5, 0, 0, 0, 0, 0]),
        ] {
            let ended = in_child(role, || call(number, arguments));
            assert_eq!(ended.code, Some(1), "{role:?}: {number} {arguments:?}");
        }
        for &(number, error) in calls::FAILING {
            assert_eq!(in_child(role, || call(number, INVALID)).code, Some(error), "{role:?}");
        }
        // A call that is newer than the lists.
        assert_eq!(in_child(role, || call(600, INVALID)).code, Some(libc::ENOSYS), "{role:?}");
    }
    for role in [Role::Reader, Role::Opener] {
        for number in [libc::SYS_unlinkat, libc::SYS_capset, libc::SYS_memfd_create] {
            assert_eq!(
                in_child(role, || call(number, INVALID)).code,
                Some(1),
                "{role:?}: {number}"
            );
        }
    }
    for role in [Role::Main, Role::Opener] {
        let ended = in_child(role, || call(libc::SYS_open_by_handle_at, INVALID));
        assert_eq!(ended.code, Some(1), "{role:?}");
    }
    let ended = in_child(Role::Reader, || call(libc::SYS_ftruncate, INVALID));
    assert_eq!(ended.code, Some(1), "the reader can change files");
}

#[test]
fn a_restricted_process_starts_threads_and_reads_files() {
    for role in Role::ALL {
        let ended = in_child(role, || {
            let read =
                || std::fs::read("/proc/self/status").map_or(1, |text| i32::from(text.is_empty()));
            std::thread::spawn(read).join().unwrap_or(2)
        });
        assert_eq!(ended.code, Some(0), "{role:?}: {}", ended.said);
    }
}

#[test]
fn no_list_names_a_call_twice() {
    for role in Role::ALL {
        let mut calls = role.calls();
        calls.extend(calls::CONDITIONAL);
        calls.extend(calls::FAILING.iter().map(|(call, _)| *call));
        let distinct: BTreeSet<i64> = calls.iter().copied().collect();
        assert_eq!(distinct.len(), calls.len(), "{role:?}");
    }
}
