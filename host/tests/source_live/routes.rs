//! Routes: ways to open a file or to cause another event. Each is a row of the table in `docs/kernels.md`.
//!
//! A test prints with [`ok`] that its route is reported correctly, or with [`impossible`] that this probe cannot
//! capture it, with the reason that `doctor` reports. `cargo xtask vm` reports routes that are listed here but not
//! printed.

use std::fmt::Display;

use crypto_tracer_capture::{BlindSpot, route};

crypto_tracer_tests::tests![each_route_is_listed_once];

/// In the order of the table.
const ROUTES: &[&str] = &[
    // System calls.
    "open",
    "openat",
    "openat2",
    "creat",
    "open_by_handle_at",
    "io_uring, inline",
    "io_uring, async",
    "io_uring, SQPOLL",
    route::URING_DIRECT,
    route::URING_SILENT,
    "32-bit open, openat, creat",
    "32-bit program",
    // Processes and containers that open files.
    "threads",
    "container (mount, pid and user namespaces)",
    "container id from the cgroup",
    "reused pid",
    "reused pid of --pid: not reported",
    "tracer in a pid namespace",
    // Paths and file systems.
    "chroot",
    "pivot_root",
    "overlayfs: lower, copied up, created",
    "bind-mounted directory",
    "bind-mounted file",
    "bind-mounted file under another name",
    "detached mount",
    "symlink",
    "dirfd and ..",
    "/proc/self/fd/N",
    "descriptor over 256",
    "deleted file",
    "path of 4095 bytes",
    "path of 2000 components",
    "path of over 4096 bytes: its end",
    "name of 255 bytes",
    "newlines, quotes, escapes, not UTF-8",
    "flags as the caller gave them",
    "flags of openat2 changed by another thread",
    // Not reported, or reported exactly once.
    "failed open: not reported",
    route::REFUSED_LATE,
    "directory, O_PATH, O_TMPFILE: not reported",
    "execve's own open: not reported",
    "overlayfs's inner opens: not reported",
    "the tracer's own opens: not reported",
    "self-test: the tracer's own open and load are reported correctly",
    route::CLOSED_MEANWHILE,
    route::INTERRUPTED,
    "missed opens are counted if that probe is forced",
    "a flood leaves room for other users",
    "160 000 opens by 8 threads: each reported once",
    // Libraries.
    "DT_NEEDED",
    "dlopen",
    "LD_PRELOAD",
    "library in a container",
    "library only read: not reported",
    "library mapped over the arguments of its own mapping",
    "library whose descriptor another thread closes",
    "library mapped under another name",
    "library executable by personality",
    route::MPROTECT,
    "library again after exec, not in a forked child",
    // Processes.
    "exec: arguments up to 4096 bytes",
    "exec: script, memfd, renamed",
    "exec: execveat, fexecve",
    "exit: status and signal, once with threads",
    "exit: leader first, exec by another thread",
    "descendants, also in the same millisecond",
    "clock set while running",
];

fn print(route: &str, outcome: impl Display) {
    assert!(ROUTES.contains(&route), "{route:?} is not listed");
    println!("route {route}: {outcome}");
}

/// The route is reported correctly.
pub(crate) fn ok(route: &str) {
    print(route, "ok");
}

/// This probe cannot capture the route.
pub(crate) fn impossible(blind_spot: &BlindSpot) {
    print(blind_spot.route, format_args!("impossible: {}", blind_spot.what));
}

/// The kernel does not support the route, or it may not be tried on this machine.
pub(crate) fn not_tried(route: &str, why: impl Display) {
    print(route, format_args!("not tried: {why}"));
}

/// Like [`not_tried`], and ends the test, which has nothing else to try.
pub(crate) fn skip(route: &str, why: impl Display) -> ! {
    let why = why.to_string();
    not_tried(route, &why);
    crypto_tracer_tests::not_tried(why)
}

fn each_route_is_listed_once() {
    for route in ROUTES {
        assert_eq!(ROUTES.iter().filter(|other| *other == route).count(), 1, "{route}");
        println!("route {route}: listed");
    }
}
