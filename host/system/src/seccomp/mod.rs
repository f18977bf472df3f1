//! System call filters (seccomp). After its start, a process can only make the system calls of its list, so an attacker who takes
//! it over, for instance through a file that it parses, can neither start programs, nor change other processes, nor open
//! connections.
//!
//! Calls that the C library tries before another one fail with an error. Any other call that is not on the list ends the
//! process with a message: a list that is too short must be noticed.

mod calls;
mod refused;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

pub use refused::{name_of, report_refusals, take_refused};

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// Processes with a filter of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The process that runs the pipeline and writes the output.
    Main,
    /// The reader, and the spawner that forks it.
    Reader,
    /// The process that opens the output again.
    Opener,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 3] = [Role::Main, Role::Reader, Role::Opener];

    /// Number of system calls that this role may make.
    pub fn allowed_calls(self) -> usize {
        self.calls().len() + calls::CONDITIONAL.len()
    }

    fn calls(self) -> Vec<i64> {
        let own: &[i64] = match self {
            Role::Main => calls::MAIN,
            Role::Reader => calls::READER,
            Role::Opener => calls::OPENER,
        };
        [calls::COMMON, calls::OF_ARCH, own].concat()
    }

    fn filters(self) -> Result<Vec<BpfProgram>, seccompiler::Error> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            self.calls().into_iter().map(|call| (call, vec![])).collect();
        // The filters below refuse these.
        rules.extend(calls::FAILING.iter().map(|&(call, _)| (call, vec![])));
        rules.insert(libc::SYS_clone, vec![without_bits(0, calls::NEW_NAMESPACES)?]);
        rules.insert(libc::SYS_ioctl, vec![none_of(1, calls::REFUSED_IOCTLS)?]);
        rules.insert(libc::SYS_prctl, one_of(0, calls::PRCTLS)?);
        rules.insert(libc::SYS_prlimit64, one_of(0, &[0])?);
        if self == Role::Main {
            rules.insert(libc::SYS_bpf, one_of(0, calls::BPF_COMMANDS)?);
        }
        let mut programs = Vec::new();
        for error in [libc::EACCES, libc::ENOSYS] {
            let failing = calls::FAILING.iter().filter(|(_, code)| *code == error);
            let rules = failing.map(|&(call, _)| (call, vec![])).collect();
            let action = SeccompAction::Errno(error.cast_unsigned());
            programs.push(program(rules, SeccompAction::Allow, action)?);
        }
        // Last, because it refuses further filters. The handler of the signal reports a refused call.
        programs.push(program(rules, SeccompAction::Trap, SeccompAction::Allow)?);
        Ok(programs)
    }
}

/// Restricts all threads of this process, and its later threads and children, to the system calls of a role. Requires
/// `no_new_privs`.
///
/// # Errors
/// The kernel does not support seccomp, or refuses the filter.
pub fn restrict(role: Role) -> io::Result<()> {
    refused::handle()?;
    for program in role.filters().map_err(io::Error::other)? {
        seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Whether this kernel supports the filters.
pub fn is_available() -> bool {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    actions.is_ok_and(|actions| actions.split_whitespace().any(|action| action == "trap"))
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, seccompiler::Error> {
    Ok(BpfProgram::try_from(SeccompFilter::new(rules, otherwise, matched, ARCH)?)?)
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::Error> {
    // The kernel uses the lower half of these arguments.
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?)
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, seccompiler::Error> {
    let rule =
        |&value: &u64| Ok(SeccompRule::new(vec![condition(argument, SeccompCmpOp::Eq, value)?])?);
    values.iter().map(rule).collect()
}

fn none_of(argument: u8, values: &[u64]) -> Result<SeccompRule, seccompiler::Error> {
    let conditions = values.iter().map(|&value| condition(argument, SeccompCmpOp::Ne, value));
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

fn without_bits(argument: u8, bits: u64) -> Result<SeccompRule, seccompiler::Error> {
    Ok(SeccompRule::new(vec![condition(argument, SeccompCmpOp::MaskedEq(bits), 0)?])?)
}

#[cfg(test)]
mod tests;
