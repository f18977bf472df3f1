//! The ways by which something happens, each a row of the table in `docs/kernels.md`.
//!
//! A test says with [`ok`] that its route was told as it should be, or with [`impossible`] that this probe cannot; the
//! reason is the one that `doctor` gives. `cargo xtask vm` misses what is listed here and was not said.

use std::fmt::Display;

use crypto_tracer_capture::{BlindSpot, route};

crypto_tracer_tests::tests![each_is_listed_once];

/// Each once, in the table's order.
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
    // Who.
    "threads",
    "container (own mounts, pids and users)",
    "container id, by its control group",
    "pid that is used again",
    "tracer in a pid namespace",
    // Where.
    "chroot",
    "pivot_root",
    "overlayfs: lower, copied up, made",
    "bind-mounted directory",
    "bind-mounted file",
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
    "newlines, quotes, escapes, no UTF-8",
    "flags as the caller gave them",
    // Not told, or told once.
    "failed open: not told",
    route::REFUSED_LATE,
    "directory, O_PATH, O_TMPFILE: not told",
    "execve's own open: not told",
    "overlayfs's inner opens: not told",
    "the tracer's own: not told",
    "self-check: what is told of the tracer's own open and load is true",
    route::CLOSED_MEANWHILE,
    route::INTERRUPTED,
    "missed opens are counted, where that probe is asked for all the same",
    "160 000 opens by 8 openers: none missing, none twice",
    // Libraries.
    "DT_NEEDED",
    "dlopen",
    "LD_PRELOAD",
    "library in a container",
    "library only read: not told",
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

fn say(route: &str, what: impl Display) {
    assert!(ROUTES.contains(&route), "{route:?} is not listed");
    println!("route {route}: {what}");
}

/// It was told as it should be.
pub(crate) fn ok(route: &str) {
    say(route, "ok");
}

/// This probe cannot tell it; `unseen` is what `doctor` says.
pub(crate) fn impossible(unseen: &BlindSpot) {
    say(unseen.route, format_args!("impossible: {}", unseen.what));
}

/// It is not there on this kernel, or may not be tried on this machine.
pub(crate) fn not_tried(route: &str, why: impl Display) {
    say(route, format_args!("not tried: {why}"));
}

/// [`not_tried`], and nothing else is left for the test to try.
pub(crate) fn skip(route: &str, why: impl Display) -> ! {
    let why = why.to_string();
    not_tried(route, &why);
    crypto_tracer_tests::not_tried(why)
}

fn each_is_listed_once() {
    for route in ROUTES {
        assert_eq!(ROUTES.iter().filter(|other| *other == route).count(), 1, "{route}");
        println!("route {route}: listed");
    }
}
