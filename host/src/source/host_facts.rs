//! What this machine and these privileges allow, as far as it can be told before anything is loaded.

use std::os::unix::fs::MetadataExt;

use rustix::thread::CapabilitySet;

use super::error::Error;

/// Where the kernel tells its types.
pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";
/// The oldest kernel that has everything, `bpf_loop` above all.
const OLDEST: (u32, u32) = (5, 17);
/// The inode number that the first pid namespace has on every kernel (`PROC_PID_INIT_INO`).
const FIRST_PID_NS: u64 = 0xEFFF_FFFC;

/// Refuses a machine that can never be traced.
pub(super) fn check_kernel() -> Result<(), Error> {
    if std::env::consts::ARCH != "x86_64" {
        let lacks = format!("it runs on {}", std::env::consts::ARCH);
        return Err(Error::Kernel { lacks });
    }
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    if version(&release).is_some_and(|found| found < OLDEST) {
        return Err(Error::Kernel { lacks: format!("it is Linux {release}") });
    }
    if !std::path::Path::new(BTF_PATH).exists() {
        let lacks = format!("it is made without BTF ({BTF_PATH} is missing)");
        return Err(Error::Kernel { lacks });
    }
    Ok(())
}

/// Major and minor number of a release such as `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Refuses a process that may not load programs.
pub(super) fn check_privileges() -> Result<(), Error> {
    let held =
        rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let missing = missing(held);
    if missing.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe().unwrap_or_else(|_unknown| "crypto-tracer".into());
    Err(Error::Privileges { missing: missing.join(", "), program: program.display().to_string() })
}

fn missing(held: CapabilitySet) -> Vec<&'static str> {
    if held.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    let needed = [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")];
    needed.into_iter().filter(|(one, _)| !held.contains(*one)).map(|(_, name)| name).collect()
}

/// The inode number of this process's pid namespace; 0 when that is the first one.
pub(super) fn pid_namespace() -> Result<u32, Error> {
    let inode = std::fs::metadata("/proc/self/ns/pid")
        .map_err(|error| Error::Setup { what: format!("/proc/self/ns/pid: {error}") })?
        .ino();
    if inode == FIRST_PID_NS {
        return Ok(0);
    }
    u32::try_from(inode).map_err(|_too_large| Error::Setup {
        what: format!("the pid namespace has the unexpected number {inode}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("5.17"), Some((5, 17)));
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("odd"), None);
    }

    #[test]
    fn privileges_are_two_capabilities_or_the_old_one() {
        assert_eq!(missing(CapabilitySet::empty()), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(CapabilitySet::BPF), ["CAP_PERFMON"]);
        assert!(missing(CapabilitySet::BPF | CapabilitySet::PERFMON).is_empty());
        assert!(missing(CapabilitySet::SYS_ADMIN).is_empty());
    }
}
