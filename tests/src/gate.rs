//! Conditions that a machine must meet to run a test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{skip, skip_unless};

/// Numbers of capabilities in the kernel.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// Whether the effective user of this process is root.
pub fn is_root() -> bool {
    // SAFETY: the call has no preconditions and accesses no memory.
    unsafe { libc::geteuid() == 0 }
}

/// Returns why BPF programs cannot be loaded here, or None if they can.
///
/// # Panics
///
/// If they cannot be loaded and `CRYPTO_TRACER_REQUIRE_BPF=1` requires it.
pub fn why_not_bpf() -> Option<&'static str> {
    let why = reason()?;
    let required = std::env::var_os("CRYPTO_TRACER_REQUIRE_BPF").is_some_and(|value| value == "1");
    assert!(!required, "CRYPTO_TRACER_REQUIRE_BPF=1, but {why}");
    Some(why)
}

/// Skips the test unless this process runs as root.
pub fn needs_root() {
    if !is_root() {
        skip("it needs root");
    }
}

/// Skips the test if a program is not installed.
pub fn needs_program(name: &str) {
    if !is_installed(name) {
        skip(format_args!("{name} is not installed"));
    }
}

/// Whether a program is in `PATH`.
pub fn is_installed(name: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", name]).status();
    found.is_ok_and(|found| found.success())
}

/// Skips the test if the target `wasm32-wasip2` is missing, which plugin authors build with.
///
/// # Panics
///
/// If it is missing and `CRYPTO_TRACER_REQUIRE_WASI=1` requires it.
pub fn needs_wasi() {
    let mut command = Command::new("rustc");
    let printed = command.args(["--print", "target-libdir", "--target", "wasm32-wasip2"]).output();
    let exists = printed
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !exists {
        let why = "wasm32-wasip2 is missing: rustup target add wasm32-wasip2";
        skip_unless("CRYPTO_TRACER_REQUIRE_WASI", why);
    }
}

/// Creates a FUSE device in a folder with mode 0666, as distributions do. Skips the test if the kernel has no FUSE.
///
/// # Panics
///
/// If the device cannot be created.
pub fn fuse_device(dir: &Path) -> PathBuf {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.contains("\tfuse\n") {
        skip("this kernel has no FUSE");
    }
    let mode = fs::Permissions::from_mode;
    fs::set_permissions(dir, mode(0o755)).expect("this user owns the folder");
    let device = dir.join("fuse");
    let made = Command::new("mknod").arg(&device).args(["c", "10", "229"]).status();
    assert!(made.is_ok_and(|made| made.success()), "mknod {}", device.display());
    fs::set_permissions(&device, mode(0o666)).expect("this user owns the device");
    device
}

fn reason() -> Option<&'static str> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no BTF");
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or_default();
    let has = |capability: u32| effective & (1 << capability) != 0;
    if has(CAP_SYS_ADMIN) || has(CAP_BPF) { None } else { Some("it needs root") }
}
