//! One BPF program at one hook.

use std::os::fd::{AsFd, AsRawFd};

use aya::{
    Btf, Ebpf, Endianness,
    programs::{BtfTracePoint, FExit, Lsm, Program, ProgramError},
};

use super::{
    EventKinds,
    error::{AttachRefusal, chain},
    kernel_field::OffsetGroup,
    machine::Machine,
    offsets::Layout,
};

/// What every rung needs to be tried.
#[derive(Debug)]
pub(super) struct AttachContext<'a> {
    pub(super) layout: &'a Layout,
    pub(super) machine: &'a Machine,
    /// What is to be attached.
    pub(super) kinds: EventKinds,
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// A tracepoint whose arguments have types.
    TracePoint(&'static str),
    /// A hook for security modules.
    Security(&'static str),
    /// The return of a function of the kernel that has this number of parameters.
    Return(&'static str, u32),
}

impl Hook {
    /// How it is shown.
    pub(super) fn name(self) -> String {
        match self {
            Hook::TracePoint(name) => format!("tp_btf {name}"),
            Hook::Security(name) => format!("lsm {name}"),
            Hook::Return(name, _) => format!("fexit {name}"),
        }
    }

    /// The function or typedef that stands for it among the kernel's types.
    pub(super) fn type_name(self) -> String {
        match self {
            Hook::TracePoint(name) => format!("btf_trace_{name}"),
            Hook::Security(name) => format!("bpf_lsm_{name}"),
            Hook::Return(name, _) => name.to_owned(),
        }
    }
}

/// What helps where the kernel's data is not as this program knows it.
const OTHER_KERNEL: &str = "trace on another kernel, or with a newer crypto-tracer";

/// What helps where a hook is not there.
const BUILT_FOR_IT: &str =
    "a kernel that is built with CONFIG_BPF_LSM and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";

/// One program at one hook.
#[derive(Debug)]
pub(super) struct Probe {
    /// Its name in the object.
    pub(super) program: &'static str,
    pub(super) hook: Hook,
    /// Which events it gives.
    pub(super) serves: EventKinds,
    pub(super) needs: &'static [OffsetGroup],
    /// Without it, its rung works all the same, but does not see this route: its name, and what it is in words.
    pub(super) optional: Option<(&'static str, &'static str)>,
}

impl Probe {
    pub(super) fn load(
        &self,
        bpf: &mut Ebpf,
        ground: &AttachContext<'_>,
    ) -> Result<(), AttachRefusal> {
        let AttachContext { layout, machine, .. } = *ground;
        let other = |reason| AttachRefusal { reason, remedy: OTHER_KERNEL };
        if let Some(lacks) = layout.lacks(self.needs) {
            return Err(other(lacks));
        }
        if let Hook::Return(function, parameters) = self.hook {
            layout.has_function(function, parameters).map_err(other)?;
        }
        let Some(hook) = layout.attached(&self.hook.type_name()) else {
            let lacks = format!("this kernel has no {}", self.hook.name());
            return Err(AttachRefusal { reason: lacks, remedy: BUILT_FOR_IT });
        };
        let btf = &Btf::parse(&hook.alone(), Endianness::default())
            .map_err(|error| AttachRefusal::unexpected(chain(&error)))?;
        let loaded = match (self.hook, self.of(bpf).map_err(AttachRefusal::unexpected)?) {
            (Hook::TracePoint(name), Program::BtfTracePoint(program)) => program.load(name, btf),
            (Hook::Security(name), Program::Lsm(program)) => program.load(name, btf),
            (Hook::Return(name, _), Program::FExit(program)) => program.load(name, btf),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        match loaded {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
            Err(error) => Err(refusal(&error, machine)),
        }
    }

    pub(super) fn attach(&self, bpf: &mut Ebpf, machine: &Machine) -> Result<(), AttachRefusal> {
        let attached = match self.of(bpf).map_err(AttachRefusal::unexpected)? {
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

    /// Detaches and unloads; nothing, if it is not loaded.
    pub(super) fn unload(&self, bpf: &mut Ebpf) {
        let _ = match self.of(bpf) {
            Ok(Program::BtfTracePoint(program)) => program.unload(),
            Ok(Program::Lsm(program)) => program.unload(),
            Ok(Program::FExit(program)) => program.unload(),
            _ => Ok(()),
        };
    }

    /// How many instructions the verifier went through; None: the kernel does not tell.
    pub(super) fn verified(&self, bpf: &mut Ebpf) -> Option<u32> {
        self.of(bpf).ok()?.info().ok()?.verified_instruction_count()
    }

    fn of<'a>(&self, bpf: &'a mut Ebpf) -> Result<&'a mut Program, String> {
        bpf.program_mut(self.program)
            .ok_or_else(|| format!("the BPF object has no program {}", self.program))
    }
}

/// How often programs that are attached were not run because they were running already, on all processors.
pub(super) fn misses(bpf: &Ebpf) -> u64 {
    let loaded = bpf.programs().filter_map(|(_, program)| program.fd().ok());
    loaded.filter_map(|fd| recursion_misses(fd.as_fd().as_raw_fd())).sum()
}

/// `bpf_prog_info.recursion_misses`, which aya does not know: by the system call itself.
fn recursion_misses(program: i32) -> Option<u64> {
    const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    const INFO: usize = 256;
    // Behind `run_cnt` at 200. At 216 is `verified_insns`, which is never zero.
    const MISSES: usize = 208;
    let mut info = [0_u8; INFO];
    let address = info.as_mut_ptr() as u64;
    let mut attributes = [0_u8; 16];
    let (fd, rest) = attributes.split_first_chunk_mut::<4>()?;
    let (length, rest) = rest.split_first_chunk_mut::<4>()?;
    *fd = program.to_ne_bytes();
    *length = u32::try_from(INFO).ok()?.to_ne_bytes();
    rest.copy_from_slice(&address.to_ne_bytes());
    // SAFETY: the attributes are those of BPF_OBJ_GET_INFO_BY_FD; the kernel writes at most INFO bytes to `info`,
    // which nothing else borrows, and the new length into the attributes.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, attributes.as_mut_ptr(), attributes.len())
    };
    let count = info.get(MISSES..MISSES + 8)?.try_into().ok()?;
    (result == 0).then(|| u64::from_ne_bytes(count))
}

/// Neither the verifier's word nor a missing capability.
fn not_permitted(lockdown: Option<&str>) -> AttachRefusal {
    let (why, remedy) = match lockdown {
        None => (
            "lockdown, which is not to be read here as securityfs is not mounted, or a policy against it",
            "`mount -t securityfs none /sys/kernel/security`, and ask doctor again",
        ),
        Some("none") => {
            ("a policy against it", "lift the policy of the virtual machine or container")
        }
        Some(_) => (
            "lockdown, or a policy against it",
            "boot without lockdown=, or lift the policy of the virtual machine or container",
        ),
    };
    AttachRefusal { reason: format!("not permitted here ({why})"), remedy }
}

/// What the kernel said, in few words: of the verifier's log, the last line that has a reason.
fn refusal(error: &ProgramError, machine: &Machine) -> AttachRefusal {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return AttachRefusal { reason: chain(error), remedy: BUILT_FOR_IT };
    };
    let log = verifier_log.to_string();
    let idle = ["processed ", "verification time", "stack depth"];
    let says_why = |line: &&str| !idle.iter().any(|start| line.starts_with(start));
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    match lines.rfind(says_why) {
        Some(line) => AttachRefusal::unexpected(format!(
            "the kernel's verifier refused it: {line} ({io_error})"
        )),
        None if io_error.raw_os_error() == Some(libc::EPERM) => {
            not_permitted(machine.lockdown.as_deref())
        }
        None => AttachRefusal {
            reason: io_error.to_string(),
            remedy: "a kernel that is built for it (CONFIG_BPF_LSM, CONFIG_DEBUG_INFO_BTF)",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_fits_what_is_known_of_lockdown() {
        let untold = not_permitted(None);
        assert!(untold.reason.contains("securityfs is not mounted"), "{untold:?}");
        assert!(!untold.remedy.contains("boot without"), "{untold:?}");
        let locked = not_permitted(Some("integrity"));
        assert!(locked.remedy.contains("boot without lockdown="), "{locked:?}");
        assert!(!not_permitted(Some("none")).reason.contains("lockdown"));
    }
}
