//! Probes: BPF programs, each with its hook. A rung consists of one or more of them.

use crypto_tracer_event::EventKinds;
use std::os::fd::{AsFd, AsRawFd};

use aya::{
    Btf, Ebpf, Endianness,
    programs::{BtfTracePoint, FExit, Lsm, Program, ProgramError},
};

use super::{
    error::{AttachRefusal, error_chain},
    kernel_field::OffsetGroup,
    machine::Machine,
    offsets::Layout,
};

/// Input for loading and attaching probes.
#[derive(Debug)]
pub(super) struct AttachContext<'a> {
    pub(super) layout: &'a Layout,
    pub(super) machine: &'a Machine,
    /// The event kinds to capture.
    pub(super) kinds: EventKinds,
}

/// A hook in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// A BTF-enabled tracepoint (`tp_btf`).
    TracePoint(&'static str),
    /// A hook of the Linux security module framework.
    Lsm(&'static str),
    /// The return of a kernel function with this number of parameters (`fexit`).
    FExit(&'static str, u32),
}

impl Hook {
    /// Returns the name for messages.
    pub(super) fn name(self) -> String {
        match self {
            Hook::TracePoint(name) => format!("tp_btf {name}"),
            Hook::Lsm(name) => format!("lsm {name}"),
            Hook::FExit(name, _) => format!("fexit {name}"),
        }
    }

    /// Returns the name of the function or typedef in BTF.
    pub(super) fn btf_name(self) -> String {
        match self {
            Hook::TracePoint(name) => format!("btf_trace_{name}"),
            Hook::Lsm(name) => format!("bpf_lsm_{name}"),
            Hook::FExit(name, _) => name.to_owned(),
        }
    }
}

/// Remedy if the kernel's data structures are unknown.
const OTHER_KERNEL: &str = "trace on another kernel, or with a newer crypto-tracer";

/// Remedy if the kernel does not have a hook.
const KERNEL_WITH_HOOKS: &str =
    "use a kernel with CONFIG_BPF_LSM and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";

/// A program and its hook.
#[derive(Debug)]
pub(super) struct Probe {
    /// The program's name in the BPF object.
    pub(super) program: &'static str,
    pub(super) hook: Hook,
    /// The event kinds that it captures.
    pub(super) serves: EventKinds,
    pub(super) needs: &'static [OffsetGroup],
    /// If its rung also works without it: the route that the rung then misses, and its description.
    pub(super) optional: Option<(&'static str, &'static str)>,
}

impl Probe {
    pub(super) fn load(
        &self,
        bpf: &mut Ebpf,
        context: &AttachContext<'_>,
    ) -> Result<(), AttachRefusal> {
        let AttachContext { layout, machine, .. } = *context;
        let unknown_layout = |reason| AttachRefusal { reason, remedy: OTHER_KERNEL };
        if let Some(lacks) = layout.lacks(self.needs) {
            return Err(unknown_layout(lacks));
        }
        if let Hook::FExit(function, parameters) = self.hook {
            layout.check_function(function, parameters).map_err(unknown_layout)?;
        }
        let Some(hook) = layout.hook(&self.hook.btf_name()) else {
            let reason = format!("this kernel has no {}", self.hook.name());
            return Err(AttachRefusal { reason, remedy: KERNEL_WITH_HOOKS });
        };
        let btf = &Btf::parse(&hook.minimal_btf(), Endianness::default())
            .map_err(|error| AttachRefusal::unexpected(error_chain(&error)))?;
        let loaded = match (self.hook, self.program(bpf).map_err(AttachRefusal::unexpected)?) {
            (Hook::TracePoint(name), Program::BtfTracePoint(program)) => program.load(name, btf),
            (Hook::Lsm(name), Program::Lsm(program)) => program.load(name, btf),
            (Hook::FExit(name, _), Program::FExit(program)) => program.load(name, btf),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        match loaded {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
            Err(error) => Err(refusal(&error, machine)),
        }
    }

    pub(super) fn attach(&self, bpf: &mut Ebpf, machine: &Machine) -> Result<(), AttachRefusal> {
        let attached = match self.program(bpf).map_err(AttachRefusal::unexpected)? {
            Program::BtfTracePoint(program) => BtfTracePoint::attach(program).map(drop),
            Program::Lsm(program) => Lsm::attach(program).map(drop),
            Program::FExit(program) => FExit::attach(program).map(drop),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        match attached {
            Ok(()) | Err(ProgramError::AlreadyAttached) => Ok(()),
            Err(error) => Err(refusal(&error, machine)),
        }
    }

    /// Detaches and unloads the program, if it is loaded.
    pub(super) fn unload(&self, bpf: &mut Ebpf) {
        let _ = match self.program(bpf) {
            Ok(Program::BtfTracePoint(program)) => program.unload(),
            Ok(Program::Lsm(program)) => program.unload(),
            Ok(Program::FExit(program)) => program.unload(),
            _ => Ok(()),
        };
    }

    /// Returns the number of instructions that the verifier processed. `None`: the kernel does not report it, or the
    /// program is not loaded.
    pub(super) fn verified_instructions(&self, bpf: &mut Ebpf) -> Option<u32> {
        self.program(bpf).ok()?.info().ok()?.verified_instruction_count()
    }

    fn program<'a>(&self, bpf: &'a mut Ebpf) -> Result<&'a mut Program, String> {
        bpf.program_mut(self.program)
            .ok_or_else(|| format!("the BPF object has no program {}", self.program))
    }
}

/// Returns how often the kernel skipped loaded programs because they were already running on the same CPU, summed over
/// all programs and CPUs.
pub(super) fn recursion_misses(bpf: &Ebpf) -> u64 {
    let loaded = bpf.programs().filter_map(|(_, program)| program.fd().ok());
    loaded.filter_map(|fd| program_recursion_misses(fd.as_fd().as_raw_fd())).sum()
}

/// Returns `bpf_prog_info.recursion_misses`, which aya does not expose.
fn program_recursion_misses(program: i32) -> Option<u64> {
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    const INFO_LEN: usize = 256;
    /// Offset of the field: after `run_cnt` (200), before `verified_insns` (216).
    const RECURSION_MISSES: usize = 208;
    let mut info = [0_u8; INFO_LEN];
    let address = info.as_mut_ptr() as u64;
    let mut attributes = [0_u8; 16];
    let (fd, rest) = attributes.split_first_chunk_mut::<4>()?;
    let (length, rest) = rest.split_first_chunk_mut::<4>()?;
    *fd = program.to_ne_bytes();
    *length = u32::try_from(INFO_LEN).ok()?.to_ne_bytes();
    rest.copy_from_slice(&address.to_ne_bytes());
    // SAFETY: the attributes are those of BPF_OBJ_GET_INFO_BY_FD. The kernel writes at most INFO_LEN bytes to `info`,
    // which is not borrowed elsewhere, and the length to the attributes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            attributes.as_mut_ptr(),
            attributes.len(),
        )
    };
    let count = info.get(RECURSION_MISSES..RECURSION_MISSES + 8)?.try_into().ok()?;
    (result == 0).then(|| u64::from_ne_bytes(count))
}

/// Returns the refusal for EPERM without a verifier log, although no capability is missing.
fn not_permitted(lockdown: Option<&str>) -> AttachRefusal {
    let (cause, remedy) = match lockdown {
        None => (
            "lockdown, whose state is unknown because securityfs is not mounted, or a security policy",
            "run `mount -t securityfs none /sys/kernel/security`, then doctor again",
        ),
        Some("none") => {
            ("a security policy", "change the policy of the virtual machine or container")
        }
        Some(_) => (
            "lockdown, or a security policy",
            "boot without lockdown=, or change the policy of the virtual machine or container",
        ),
    };
    AttachRefusal { reason: format!("not permitted here ({cause})"), remedy }
}

/// Returns the refusal for a failed load or attachment, with the last line of the verifier log that gives a reason.
fn refusal(error: &ProgramError, machine: &Machine) -> AttachRefusal {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return AttachRefusal { reason: error_chain(error), remedy: KERNEL_WITH_HOOKS };
    };
    let log = verifier_log.to_string();
    let statistics = ["processed ", "verification time", "stack depth"];
    let is_reason = |line: &&str| !statistics.iter().any(|prefix| line.starts_with(prefix));
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    match lines.rfind(is_reason) {
        Some(line) => AttachRefusal::unexpected(format!(
            "the kernel's verifier rejected it: {line} ({io_error})"
        )),
        None if io_error.raw_os_error() == Some(libc::EPERM) => {
            not_permitted(machine.lockdown.as_deref())
        }
        None => AttachRefusal {
            reason: io_error.to_string(),
            remedy: "use a kernel with CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_depends_on_the_state_of_lockdown() {
        let unknown = not_permitted(None);
        assert!(unknown.reason.contains("securityfs is not mounted"), "{unknown:?}");
        assert!(!unknown.remedy.contains("boot without"), "{unknown:?}");
        let locked = not_permitted(Some("integrity"));
        assert!(locked.remedy.contains("boot without lockdown="), "{locked:?}");
        assert!(!not_permitted(Some("none")).reason.contains("lockdown"));
    }
}
