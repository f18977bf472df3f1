//! Checks of the kernel and of this process's privileges that need no BPF program.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::thread::CapabilitySet;

use super::arch;
use super::error::Error;
use super::offsets::Layout;

/// The kernel's BTF.
pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Inode number of the initial pid namespace (`PROC_PID_INIT_INO`).
const INIT_PID_NS_INO: u64 = 0xEFFF_FFFC;
/// Inode number of the initial user namespace (`PROC_USER_INIT_INO`).
const INIT_USER_NS_INO: u64 = 0xEFFF_FFFD;

/// Mount point of securityfs.
const SECURITYFS: &str = "/sys/kernel/security";
/// The available preemption modes, with the active one in parentheses.
const PREEMPT_MODE: &str = "/sys/kernel/debug/sched/preempt";
/// Contains 1 on a PREEMPT_RT kernel.
const REAL_TIME: &str = "/sys/kernel/realtime";

/// Where the kernel can be preempted during a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// At explicit points only: modes `none` and `voluntary`.
    Chosen,
    /// Almost everywhere: modes `full` and `lazy`, PREEMPT_RT.
    Full,
    /// The mode cannot be determined.
    Unknown,
}

/// Properties of the running kernel.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) release: String,
    pub(super) preemption: Preemption,
    /// The active security modules. `None`: securityfs is not readable.
    pub(super) security_modules: Option<Vec<String>>,
    /// `none`, `integrity` or `confidentiality`. `None`: securityfs is not readable.
    pub(super) lockdown: Option<String>,
}

impl Machine {
    pub(super) fn detect() -> Machine {
        let uname = rustix::system::uname();
        let release = release();
        let read = |path: &str| fs::read_to_string(path).ok();
        let lockdown = read(&format!("{SECURITYFS}/lockdown"));
        let security_modules = read(&format!("{SECURITYFS}/lsm"));
        let config = read(&format!("/boot/config-{release}"))
            .or_else(|| read(&format!("/lib/modules/{release}/config")));
        let preemption = preemption(
            &uname.version().to_string_lossy(),
            read(REAL_TIME).is_some_and(|text| text.trim() == "1"),
            read(PREEMPT_MODE).as_deref(),
            &read("/proc/cmdline").unwrap_or_default(),
            config.as_deref(),
        );
        Machine {
            preemption,
            security_modules: security_modules
                .map(|all| all.trim().split(',').map(str::to_owned).collect()),
            lockdown: lockdown.as_deref().and_then(bracketed).map(str::to_owned),
            release,
        }
    }
}

/// Returns the word in brackets or parentheses, which marks the active one of several values.
fn bracketed(words: &str) -> Option<&str> {
    words.split_whitespace().find_map(|word| {
        let inside = word.strip_prefix(['[', '('])?;
        inside.strip_suffix([']', ')'])
    })
}

/// Determines the preemption mode from `uname -v`. A PREEMPT_DYNAMIC kernel selects it at boot: the first source that has
/// it is used, of debugfs, the kernel command line and the build configuration.
fn preemption(
    version: &str,
    real_time: bool,
    debugfs: Option<&str>,
    command_line: &str,
    config: Option<&str>,
) -> Preemption {
    let of_mode = |mode: &str| match mode {
        "none" | "voluntary" => Preemption::Chosen,
        "full" | "lazy" => Preemption::Full,
        _ => Preemption::Unknown,
    };
    let words: Vec<&str> = version.split_whitespace().collect();
    if real_time || words.contains(&"PREEMPT_RT") || words.contains(&"PREEMPT") {
        return Preemption::Full;
    }
    if !words.contains(&"PREEMPT_DYNAMIC") {
        return Preemption::Chosen;
    }
    let requested =
        command_line.split_whitespace().rev().find_map(|word| word.strip_prefix("preempt="));
    let default = config.and_then(|config| {
        let is_set = |name: &str| config.lines().any(|line| line == format!("CONFIG_{name}=y"));
        let modes = [
            ("PREEMPT_NONE", "none"),
            ("PREEMPT_VOLUNTARY", "voluntary"),
            ("PREEMPT", "full"),
            ("PREEMPT_LAZY", "lazy"),
        ];
        modes.into_iter().find(|(name, _)| is_set(name)).map(|(_, mode)| mode)
    });
    debugfs.and_then(bracketed).or(requested).or(default).map_or(Preemption::Unknown, of_mode)
}

/// Fails if the processor is not supported or the kernel has no BTF.
pub(super) fn check_kernel() -> Result<(), Error> {
    arch::check().map_err(|other| Error::Kernel { lacks: format!("it runs on {other}") })?;
    if !std::path::Path::new(BTF_PATH).exists() {
        let lacks = format!("it was built without BTF ({BTF_PATH} is missing)");
        return Err(Error::Kernel { lacks });
    }
    Ok(())
}

/// Fails if the kernel lacks a BPF helper that the programs call. `release` is only for the message.
pub(super) fn check_helpers(release: &str, layout: &Layout) -> Result<(), Error> {
    let missing = &layout.missing_helpers;
    if missing.is_empty() {
        return Ok(());
    }
    let s = if missing.len() == 1 { "" } else { "s" };
    let lacks = format!("Linux {release} does not have the BPF helper{s} {}", missing.join(", "));
    Err(Error::Kernel { lacks })
}

/// Returns the kernel release, as `uname -r`.
pub(super) fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Fails if this process is not in the initial user namespace: its capabilities in another one do not permit tracing.
pub(super) fn check_user_namespace() -> Result<(), Error> {
    if in_initial_user_namespace() { Ok(()) } else { Err(Error::UserNamespace) }
}

fn in_initial_user_namespace() -> bool {
    // If /proc is not readable, a missing permission is detected when the programs are loaded.
    fs::metadata("/proc/self/ns/user").map_or(true, |namespace| namespace.ino() == INIT_USER_NS_INO)
}

/// Fails if this process may not load BPF programs.
pub(super) fn check_privileges() -> Result<(), Error> {
    check_user_namespace()?;
    let missing = missing(held());
    if missing.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe().unwrap_or_else(|_unknown| "crypto-tracer".into());
    let program = program.to_string_lossy();
    // Only a path with a NUL byte has no quoted form.
    let program = shlex::try_quote(&program).unwrap_or(Cow::Borrowed(&*program)).into_owned();
    Err(Error::Privileges { missing: missing.join(", "), program })
}

/// A capability that tracing uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Name, as `CAP_BPF`.
    pub name: &'static str,
    /// Whether this process has it, or another one that includes it.
    pub held: bool,
    /// Purpose, and the effect if it is missing.
    pub needed_for: &'static str,
}

/// Returns all capabilities that tracing uses. Only the first two are required.
pub(super) fn capabilities() -> Vec<Capability> {
    let held = held();
    let tracing = "loading the probes: tracing fails without it";
    let reading = "reading heads of other users' files, and /proc entries of their processes";
    let admin = held.contains(CapabilitySet::SYS_ADMIN);
    [
        ("CAP_BPF", admin || held.contains(CapabilitySet::BPF), tracing),
        ("CAP_PERFMON", admin || held.contains(CapabilitySet::PERFMON), tracing),
        ("CAP_SYS_PTRACE", held.contains(CapabilitySet::SYS_PTRACE), reading),
        ("CAP_DAC_READ_SEARCH", held.contains(CapabilitySet::DAC_READ_SEARCH), reading),
    ]
    .into_iter()
    .map(|(name, held, needed_for)| Capability { name, held, needed_for })
    .collect()
}

/// Returns the effective capabilities in the initial user namespace.
fn held() -> CapabilitySet {
    if !in_initial_user_namespace() {
        return CapabilitySet::empty();
    }
    rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

/// Returns a sentence about the processes that are not reported because they are outside the tracer's pid namespace.
/// `None`: no pid namespace limit.
pub(super) fn pid_namespace_limit() -> Option<&'static str> {
    let is_initial = pid_namespace().is_ok_and(|inode| inode == 0);
    (!is_initial).then_some("processes outside this process's pid namespace are not reported")
}

/// Returns the size of the kernel's BTF in bytes. `None`: the kernel has no BTF.
pub(super) fn btf_bytes() -> Option<u64> {
    fs::metadata(BTF_PATH).ok().map(|metadata| metadata.len())
}

fn missing(held: CapabilitySet) -> Vec<&'static str> {
    if held.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    let required = [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")];
    required.into_iter().filter(|(set, _)| !held.contains(*set)).map(|(_, name)| name).collect()
}

/// Returns the inode number of this process's pid namespace; 0 for the initial one.
pub(super) fn pid_namespace() -> Result<u32, Error> {
    let inode = fs::metadata("/proc/self/ns/pid")
        .map_err(|error| Error::Setup { what: format!("/proc/self/ns/pid: {error}") })?
        .ino();
    if inode == INIT_PID_NS_INO {
        return Ok(0);
    }
    u32::try_from(inode).map_err(|_too_large| Error::Setup {
        what: format!("the pid namespace's inode number {inode} does not fit in 32 bits"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RHEL 9 is 5.14 by release and has all helpers; a kernel of a later release may lack some.
    #[test]
    fn helpers_decide_and_not_the_release() {
        use super::super::helpers::tests::kernel_without;

        let layout = |without: &[&str]| Layout::parse(kernel_without(without), &[]).unwrap();
        let releases = ["5.14.0-570.el9.x86_64", "2.6.78", "6.1.0-13-amd64", "odd", ""];
        for release in releases {
            assert!(check_helpers(release, &layout(&[])).is_ok(), "{release}");
            let refused = check_helpers(release, &layout(&["bpf_loop"])).unwrap_err();
            let message = refused.to_string();
            assert_eq!(refused.exit_code(), 4);
            let lacks = format!("Linux {release} does not have the BPF helper bpf_loop");
            assert!(message.contains(&lacks), "{message}");
        }
        let without = ["bpf_ringbuf_reserve", "bpf_loop"];
        let error = check_helpers("5.14.0-570.el9", &layout(&without)).unwrap_err().to_string();
        assert!(error.contains("helpers bpf_ringbuf_reserve, bpf_loop"), "{error}");
    }

    #[test]
    fn cap_sys_admin_includes_cap_bpf_and_cap_perfmon() {
        assert_eq!(missing(CapabilitySet::empty()), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(CapabilitySet::BPF), ["CAP_PERFMON"]);
        assert!(missing(CapabilitySet::BPF | CapabilitySet::PERFMON).is_empty());
        assert!(missing(CapabilitySet::SYS_ADMIN).is_empty());
    }

    #[test]
    fn first_source_with_a_preemption_mode_decides() {
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-11-14)";
        let config = Some("CONFIG_PREEMPT_BUILD=y\nCONFIG_PREEMPT_VOLUNTARY=y\n");
        let none = None;
        let preemption =
            |version: &str, debugfs: Option<&str>, line: &str, config: Option<&str>| {
                preemption(version, false, debugfs, line, config)
            };
        assert_eq!(preemption("#1 SMP PREEMPT_RT x", none, "", config), Preemption::Full);
        assert_eq!(preemption("#1 SMP PREEMPT x", none, "", config), Preemption::Full);
        assert_eq!(preemption("#1 SMP x", none, "", none), Preemption::Chosen);
        assert_eq!(preemption(dynamic, none, "", config), Preemption::Chosen);
        assert_eq!(preemption(dynamic, none, "quiet preempt=full", config), Preemption::Full);
        assert_eq!(preemption(dynamic, none, "preempt=lazy", none), Preemption::Full);
        let debugfs = Some("(none) voluntary full\n");
        assert_eq!(preemption(dynamic, debugfs, "preempt=full", config), Preemption::Chosen);
        assert_eq!(preemption(dynamic, none, "", none), Preemption::Unknown);
        assert_eq!(preemption(dynamic, none, "", Some("CONFIG_PREEMPT=y")), Preemption::Full);
        assert_eq!(super::preemption("#1 SMP x", true, none, "", none), Preemption::Full);
    }

    #[test]
    fn active_value_is_in_brackets() {
        assert_eq!(bracketed("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(bracketed("no brackets"), None);
    }
}
