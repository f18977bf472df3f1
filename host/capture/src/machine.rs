//! What this machine and these privileges allow, as far as it can be told before anything is loaded.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::thread::CapabilitySet;

use super::error::Error;
use super::offsets::Layout;

/// Where the kernel tells its types.
pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";
/// The inode number that the first pid namespace has on every kernel (`PROC_PID_INIT_INO`).
const FIRST_PID_NS: u64 = 0xEFFF_FFFC;

/// The inode number that the first user namespace has on every kernel (`PROC_USER_INIT_INO`).
const FIRST_USER_NS: u64 = 0xEFFF_FFFD;

/// Where the kernel tells what watches over it.
const SECURITY: &str = "/sys/kernel/security";
/// Where it tells how it is preempted.
const PREEMPT: &str = "/sys/kernel/debug/sched/preempt";
/// Where a kernel that is preempted everywhere says so.
const REAL_TIME: &str = "/sys/kernel/realtime";

/// When the kernel lets another thread run in the middle of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// At places that the kernel chose: none, voluntary.
    Chosen,
    /// Nearly everywhere: full, lazy, real time.
    Full,
    /// It does not say.
    Unknown,
}

/// What was found out.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) release: String,
    pub(super) preemption: Preemption,
    /// The active security modules, if the kernel tells.
    pub(super) security_modules: Option<Vec<String>>,
    /// `none`, `integrity` or `confidentiality`, if the kernel tells.
    pub(super) lockdown: Option<String>,
}

impl Machine {
    pub(super) fn detect() -> Machine {
        let name = rustix::system::uname();
        let release = release();
        let model = name.version().to_string_lossy().into_owned();
        let text = |path: String| fs::read_to_string(path).ok();
        let lockdown = text(format!("{SECURITY}/lockdown"));
        let security_modules = text(format!("{SECURITY}/lsm"));
        // Where distributions keep what the kernel was built with.
        let config = text(format!("/boot/config-{release}"))
            .or_else(|| text(format!("/lib/modules/{release}/config")));
        let preemption = preemption(
            &model,
            text(REAL_TIME.to_owned()).is_some_and(|said| said.trim() == "1"),
            text(PREEMPT.to_owned()).as_deref(),
            &text("/proc/cmdline".to_owned()).unwrap_or_default(),
            config.as_deref(),
        );
        Machine {
            preemption,
            security_modules: security_modules
                .map(|all| all.trim().split(',').map(str::to_owned).collect()),
            lockdown: lockdown.as_deref().and_then(chosen).map(str::to_owned),
            release,
        }
    }
}

/// The word in brackets or parentheses among others.
fn chosen(words: &str) -> Option<&str> {
    words.split_whitespace().find_map(|word| {
        let inside = word.strip_prefix(['[', '('])?;
        inside.strip_suffix([']', ')'])
    })
}

/// From the kernel's build description, what debugfs says, the command line, and the configuration it was built with:
/// the first that knows decides.
fn preemption(
    model: &str,
    real_time: bool,
    debugfs: Option<&str>,
    command_line: &str,
    config: Option<&str>,
) -> Preemption {
    let of_word = |word: &str| match word {
        "none" | "voluntary" => Preemption::Chosen,
        "full" | "lazy" => Preemption::Full,
        _ => Preemption::Unknown,
    };
    let words: Vec<&str> = model.split_whitespace().collect();
    if real_time || words.contains(&"PREEMPT_RT") || words.contains(&"PREEMPT") {
        return Preemption::Full;
    }
    if !words.contains(&"PREEMPT_DYNAMIC") {
        return Preemption::Chosen;
    }
    let asked =
        command_line.split_whitespace().rev().find_map(|word| word.strip_prefix("preempt="));
    let built = config.and_then(|config| {
        let has = |name: &str| config.lines().any(|line| line == format!("CONFIG_{name}=y"));
        let names = [("PREEMPT_NONE", "none"), ("PREEMPT_VOLUNTARY", "voluntary")];
        let more = [("PREEMPT", "full"), ("PREEMPT_LAZY", "lazy")];
        names.into_iter().chain(more).find(|(name, _)| has(name)).map(|(_, word)| word)
    });
    debugfs.and_then(chosen).or(asked).or(built).map_or(Preemption::Unknown, of_word)
}

/// Refuses a machine that can never be traced.
pub(super) fn check_kernel() -> Result<(), Error> {
    if std::env::consts::ARCH != "x86_64" {
        let lacks = format!("it runs on {}", std::env::consts::ARCH);
        return Err(Error::Kernel { lacks });
    }
    if !std::path::Path::new(BTF_PATH).exists() {
        let lacks = format!("it is made without BTF ({BTF_PATH} is missing)");
        return Err(Error::Kernel { lacks });
    }
    Ok(())
}

/// Refuses a kernel without the functions that the programs call. Its release is for the message alone.
pub(super) fn check_helpers(release: &str, layout: &Layout) -> Result<(), Error> {
    let missing = &layout.missing_helpers;
    if missing.is_empty() {
        return Ok(());
    }
    let s = if missing.len() == 1 { "" } else { "s" };
    let lacks = format!("Linux {release} does not have the BPF helper{s} {}", missing.join(", "));
    Err(Error::Kernel { lacks })
}

/// What the kernel calls itself.
pub(super) fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Refuses a process in a user namespace of its own: whatever capabilities it has there, to the kernel they are none.
pub(super) fn check_user_namespace() -> Result<(), Error> {
    if in_first_user_namespace() { Ok(()) } else { Err(Error::UserNamespace) }
}

fn in_first_user_namespace() -> bool {
    // Where that cannot be read, loading the programs will tell.
    fs::metadata("/proc/self/ns/user").map_or(true, |found| found.ino() == FIRST_USER_NS)
}

/// Refuses a process that may not load programs.
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

/// A capability that a run makes use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Whether this process has it, or one that stands for it.
    pub held: bool,
    /// What it is needed for.
    pub needed_for: &'static str,
}

/// All that a run makes use of. Without the last two it runs, and sees less.
pub(super) fn capabilities() -> Vec<Capability> {
    let held = held();
    let tracing = "loading the probes: without it nothing runs";
    let reading = "heads of other users' files, and what /proc tells of their processes";
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

/// What this process may do to the whole system.
fn held() -> CapabilitySet {
    if !in_first_user_namespace() {
        return CapabilitySet::empty();
    }
    rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

/// Which processes are not told, whatever they do.
pub(super) fn outside() -> Option<&'static str> {
    let first = pid_namespace().is_ok_and(|number| number == 0);
    (!first).then_some("processes outside this process's pid namespace are not reported")
}

/// Size in bytes of the kernel's type information; None: it has none.
pub(super) fn btf_bytes() -> Option<u64> {
    fs::metadata(BTF_PATH).ok().map(|found| found.len())
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
    let inode = fs::metadata("/proc/self/ns/pid")
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

    /// RHEL 9 is 5.14 by name and has what is needed; a kernel of a later name may have been made without it.
    #[test]
    fn what_a_kernel_has_decides_and_never_its_release() {
        use super::super::helpers::tests::kernel_without;

        let layout = |without: &[&str]| Layout::of(kernel_without(without), &[]).unwrap();
        let releases = ["5.14.0-570.el9.x86_64", "2.6.78", "6.1.0-13-amd64", "odd", ""];
        for release in releases {
            assert!(check_helpers(release, &layout(&[])).is_ok(), "{release}");
            let refused = check_helpers(release, &layout(&["bpf_loop"])).unwrap_err();
            let said = refused.to_string();
            assert_eq!(refused.exit_code(), 4);
            let lacks = format!("Linux {release} does not have the BPF helper bpf_loop");
            assert!(said.contains(&lacks), "{said}");
        }
        let without = ["bpf_ringbuf_reserve", "bpf_loop"];
        let said = check_helpers("5.14.0-570.el9", &layout(&without)).unwrap_err().to_string();
        assert!(said.contains("helpers bpf_ringbuf_reserve, bpf_loop"), "{said}");
    }

    #[test]
    fn privileges_are_two_capabilities_or_the_old_one() {
        assert_eq!(missing(CapabilitySet::empty()), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(CapabilitySet::BPF), ["CAP_PERFMON"]);
        assert!(missing(CapabilitySet::BPF | CapabilitySet::PERFMON).is_empty());
        assert!(missing(CapabilitySet::SYS_ADMIN).is_empty());
    }

    #[test]
    fn preemption_by_the_first_that_knows() {
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-11-14)";
        let config = Some("CONFIG_PREEMPT_BUILD=y\nCONFIG_PREEMPT_VOLUNTARY=y\n");
        let none = None;
        let preemption = |model: &str, debugfs: Option<&str>, line: &str, config: Option<&str>| {
            preemption(model, false, debugfs, line, config)
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
    fn the_chosen_word_is_in_brackets() {
        assert_eq!(chosen("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(chosen("nothing chosen"), None);
    }
}
