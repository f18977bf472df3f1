//! Privileges: drops those of a thread, drops those that the invoker does not have, and runs a task with those of the
//! invoker.
//!
//! The main process confines itself once the kernel side is attached. The reader is a separate process because a thread
//! under Landlock cannot access `/proc/PID/root` of other processes.
//!
//! Capabilities and Landlock rules are per-thread. Each thread that already runs must drop them itself; threads that it
//! starts later inherit the restrictions.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_res_gid,
    set_thread_res_uid,
};

const NO_CAPABILITIES: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Privileges that a thread keeps.
#[derive(Clone, Debug)]
pub struct RetainedPrivileges {
    /// Directory of the output file, the only directory in which the thread may write.
    directory: Option<PathBuf>,
    capabilities: CapabilitySet,
}

impl RetainedPrivileges {
    /// No privileges.
    pub const NONE: RetainedPrivileges =
        RetainedPrivileges { directory: None, capabilities: CapabilitySet::empty() };

    /// Privileges for writing this file and replacing it; with `changes_group`, also for changing its group. Root without
    /// capabilities can still write and replace files in directories it owns.
    pub fn for_output(file: Option<&Path>, changes_group: bool) -> RetainedPrivileges {
        let Some(file) = file else { return RetainedPrivileges::NONE };
        let directory = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let own_uid = rustix::process::geteuid().as_raw();
        let metadata = [file.symlink_metadata(), file.metadata(), directory.metadata()];
        let foreign = metadata.iter().flatten().any(|metadata| metadata.uid() != own_uid);
        let mut capabilities = CapabilitySet::empty();
        capabilities.set(CapabilitySet::DAC_OVERRIDE, foreign);
        // In a directory with the sticky bit, only the owner of the file or directory may rename or remove the file.
        capabilities.set(CapabilitySet::FOWNER, foreign);
        capabilities.set(CapabilitySet::CHOWN, changes_group);
        RetainedPrivileges { directory: Some(directory.to_owned()), capabilities }
    }
}

/// Forbids core dumps, and access to the memory and the `/proc` files of this process by other processes of its user. The
/// memory contains command lines and names before redaction. Children inherit both.
///
/// # Errors
/// The kernel refuses it.
pub fn forbid_inspection() -> io::Result<()> {
    // A core dump that goes to a program ignores the limit, so the process is also marked as not dumpable.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Makes new files of this process and its children accessible to their owner only, unless their permissions are set.
pub fn set_private_umask() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Whether this program has more privileges than its invoker (AT_SECURE), through file capabilities or set-user-ID.
pub fn is_elevated() -> bool {
    // SAFETY: getauxval reads a value that the kernel passed at exec, and has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Irrevocably drops all privileges that the invoker does not have. Call it while the process has a single thread.
///
/// # Errors
/// The privileges could not be dropped.
pub fn drop_to_invoker() -> io::Result<()> {
    if !is_elevated() {
        return Ok(());
    }
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    rustix::thread::set_no_new_privs(true)?;
    // The kernel removes capabilities that are not permitted from the ambient set too.
    set_capabilities(None, NO_CAPABILITIES)?;
    Ok(())
}

/// Runs `task` with the privileges of the invoker, for instance to open a file that the invoker named. Otherwise the
/// invoker could use this program to access directories without permission.
///
/// # Errors
/// The privileges could not be dropped or restored.
pub fn as_invoker<T>(task: impl FnOnce() -> T) -> io::Result<T> {
    if !is_elevated() {
        return Ok(task());
    }
    let before = capabilities(None)?;
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..before })?;
    let result = task();
    set_capabilities(None, before)?;
    Ok(result)
}

/// Irrevocably drops all privileges of this thread except `retained`.
///
/// # Errors
/// The capabilities could not be dropped. A kernel without Landlock is not an error.
pub fn confine_thread(retained: &RetainedPrivileges) -> io::Result<()> {
    let before = capabilities(None)?;
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..before })?;
    let mut capabilities = retained.capabilities;
    capabilities.set(CapabilitySet::BPF, !allows_unprivileged_map_access());
    drop_capabilities(before, capabilities)?;
    // Best effort: older kernels support fewer access rights, or no Landlock.
    let _ = restrict_writes(retained.directory.as_deref());
    Ok(())
}

/// Irrevocably drops all capabilities of this thread except the `retained` ones.
///
/// # Errors
/// The capabilities could not be dropped.
pub fn retain_capabilities(retained: &RetainedPrivileges) -> io::Result<()> {
    drop_capabilities(capabilities(None)?, retained.capabilities)
}

fn drop_capabilities(before: CapabilitySets, allowed: CapabilitySet) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let permitted = before.permitted & allowed;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable })?;
    Ok(())
}

/// Denies write access outside `writable` to this thread.
fn restrict_writes(writable: Option<&Path>) -> Result<(), landlock::RulesetError> {
    let writes = AccessFs::from_write(ABI::V3);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(writes)?
        .create()?;
    if let Some(fd) = writable.and_then(|directory| PathFd::new(directory).ok()) {
        ruleset = ruleset.add_rule(PathBeneath::new(fd, writes))?;
    }
    ruleset.restrict_self()?;
    Ok(())
}

/// Version of Landlock in this kernel. `None`: it is not enabled.
pub fn landlock_version() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call accesses no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(version).ok().filter(|&version| version > 0)
}

/// Whether this thread, which must not have effective capabilities, may use BPF maps through open file descriptors.
/// Kernels since 5.19 allow it; older ones do so only with unprivileged BPF enabled.
fn allows_unprivileged_map_access() -> bool {
    const MAP_LOOKUP_ELEM: libc::c_long = 1;
    /// Map descriptor (invalid) and padding, key, value, flags.
    const NO_MAP: [u64; 4] = [u32::MAX as u64, 0, 0, 0];
    // SAFETY: the kernel reads only the attributes, because the descriptor is invalid.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, MAP_LOOKUP_ELEM, NO_MAP.as_ptr(), size_of_val(&NO_MAP))
    };
    // The kernel checks the permission, which fails with EPERM, before it looks up the descriptor.
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;

    use super::*;

    /// The restrictions are per-thread, so a test can apply them too.
    #[test]
    fn a_confined_thread_writes_only_in_the_output_directory() {
        if landlock_version().is_none() {
            let required = std::env::var_os("CRYPTO_TRACER_REQUIRE_BPF").is_some();
            assert!(!required, "this kernel has no Landlock");
            return;
        }
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let output = inside.path().join("events");
        let existing = outside.path().join("existing");
        fs::write(&existing, "unchanged").unwrap();
        let confined = std::thread::scope(|scope| {
            let task = || {
                confine_thread(&RetainedPrivileges::for_output(Some(&output), false)).unwrap();
                let kind = |result: io::Result<()>| result.unwrap_err().kind();
                let new = outside.path().join("new");
                assert_eq!(kind(File::create(&new).map(drop)), ErrorKind::PermissionDenied);
                assert_eq!(kind(fs::create_dir(&new)), ErrorKind::PermissionDenied);
                assert_eq!(kind(fs::write(&existing, "")), ErrorKind::PermissionDenied);
                assert_eq!(kind(fs::remove_file(&existing)), ErrorKind::PermissionDenied);
                let append = File::options().append(true).open(&existing).map(drop);
                assert_eq!(kind(append), ErrorKind::PermissionDenied);
                // Landlock restricts only writes.
                assert_eq!(fs::read_to_string(&existing).unwrap(), "unchanged");
                fs::write(&output, "1").unwrap();
                fs::rename(&output, inside.path().join("events.1")).unwrap();
                fs::write(&output, "2").unwrap();
                let sets = capabilities(None).unwrap();
                assert!(sets.effective.is_empty() && sets.permitted.is_empty(), "{sets:?}");
                assert!(rustix::thread::no_new_privs().unwrap());
            };
            scope.spawn(task).join()
        });
        confined.unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"2");

        std::thread::scope(|scope| {
            let task = || {
                confine_thread(&RetainedPrivileges::NONE).unwrap();
                assert!(fs::write(&output, "3").is_err(), "no output, no writable directory");
            };
            scope.spawn(task).join()
        })
        .unwrap();
    }
}
