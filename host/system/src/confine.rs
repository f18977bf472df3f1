//! What the main process gives up once the kernel side is attached. The reader keeps what it needs in a process of its
//! own, because Landlock closes other processes' `/proc/PID/root` to whoever is under it.
//!
//! Capabilities and Landlock belong to a thread: each thread that is there before has to do this for itself, and those
//! that are started later inherit it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_res_gid,
    set_thread_res_uid,
};

const NO_CAPABILITIES: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// What a run keeps.
#[derive(Clone, Debug)]
pub struct RetainedPrivileges {
    /// The directory of the output file: nothing is written elsewhere.
    directory: Option<PathBuf>,
    capabilities: CapabilitySet,
}

impl RetainedPrivileges {
    /// Nothing.
    pub const NOTHING: RetainedPrivileges =
        RetainedPrivileges { directory: None, capabilities: CapabilitySet::empty() };

    /// What it takes to write this file, to put another one in its place, and, with `gives`, to give that one to a
    /// group. In root's own directories root needs nothing more for it.
    pub fn for_output(file: Option<&Path>, gives: bool) -> RetainedPrivileges {
        let Some(file) = file else { return RetainedPrivileges::NOTHING };
        let directory = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let own = rustix::process::geteuid().as_raw();
        let places = [file.symlink_metadata(), file.metadata(), directory.metadata()];
        let foreign = places.iter().flatten().any(|place| place.uid() != own);
        let mut capabilities = CapabilitySet::empty();
        capabilities.set(CapabilitySet::DAC_OVERRIDE, foreign);
        // Of a directory where everybody may write, only an owner may take a file away.
        capabilities.set(CapabilitySet::FOWNER, foreign);
        capabilities.set(CapabilitySet::CHOWN, gives);
        RetainedPrivileges { directory: Some(directory.to_owned()), capabilities }
    }
}

/// Whether this program may do more than who started it (AT_SECURE): file capabilities, set-user-id.
pub fn is_elevated() -> bool {
    // SAFETY: getauxval reads a value that the kernel gave at the start, and has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Gives up for good all that this program may do and who started it may not. To be called before there is any other
/// thread.
///
/// # Errors
/// It could not be given up.
pub fn drop_to_invoker() -> io::Result<()> {
    if !is_elevated() {
        return Ok(());
    }
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    rustix::thread::set_no_new_privs(true)?;
    // What is not permitted, the kernel takes out of the ambient set too.
    set_capabilities(None, NO_CAPABILITIES)?;
    Ok(())
}

/// Does something as who started this program: opens the files that he named. Else he could reach through this program
/// into directories that are closed to him.
///
/// # Errors
/// The privileges could not be laid down, or taken up again.
pub fn as_caller<T>(task: impl FnOnce() -> T) -> io::Result<T> {
    if !is_elevated() {
        return Ok(task());
    }
    let before = capabilities(None)?;
    let laid_down = CapabilitySets { effective: CapabilitySet::empty(), ..before };
    set_capabilities(None, laid_down)?;
    let done = task();
    set_capabilities(None, before)?;
    Ok(done)
}

/// Gives up every privilege of this thread but these.
///
/// # Errors
/// The capabilities could not be dropped. A kernel without Landlock is no error.
pub fn thread(more: &RetainedPrivileges) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let before = capabilities(None)?;
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..before })?;
    let mut kept = more.capabilities;
    kept.set(CapabilitySet::BPF, !maps_by_descriptor());
    let left = before.permitted & kept;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: left, permitted: left, inheritable })?;
    // Best effort: an older kernel has fewer rights to take away, or none.
    let _ = restrict_writes(more.directory.as_deref());
    Ok(())
}

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

/// Whether the kernel lets a thread without capabilities use the maps of which it has a descriptor, as kernels since 5.19
/// do, and older ones where BPF is for everybody.
fn maps_by_descriptor() -> bool {
    const MAP_LOOKUP_ELEM: libc::c_long = 1;
    /// Descriptor, padding, key, value, flags: with a descriptor that is none.
    const NO_MAP: [u64; 4] = [u32::MAX as u64, 0, 0, 0];
    // SAFETY: the kernel reads the attributes, and nothing else: there is no map to look into.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, MAP_LOOKUP_ELEM, NO_MAP.as_ptr(), size_of_val(&NO_MAP))
    };
    // Whoever may not use maps is told so before anything is looked at.
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;

    use super::*;

    /// Whether this kernel has Landlock switched on.
    fn has_landlock() -> bool {
        const VERSION: libc::c_uint = 1;
        // SAFETY: with this flag the call takes no memory.
        let version = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<libc::c_void>(),
                0_usize,
                VERSION,
            )
        };
        version > 0
    }

    /// All of it belongs to a thread, so a test can give it up too.
    #[test]
    fn nothing_is_written_but_in_the_folder_of_the_output() {
        if !has_landlock() {
            let required = std::env::var_os("CRYPTO_TRACER_REQUIRE_BPF").is_some();
            assert!(!required, "this kernel has no Landlock");
            return;
        }
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let output = inside.path().join("events");
        let there = outside.path().join("there");
        fs::write(&there, "as it was").unwrap();
        let confined = std::thread::scope(|scope| {
            let task = || {
                thread(&RetainedPrivileges::for_output(Some(&output), false)).unwrap();
                let denied = |done: io::Result<()>| done.unwrap_err().kind();
                let new = outside.path().join("new");
                assert_eq!(denied(File::create(&new).map(drop)), ErrorKind::PermissionDenied);
                assert_eq!(denied(fs::create_dir(&new)), ErrorKind::PermissionDenied);
                assert_eq!(denied(fs::write(&there, "")), ErrorKind::PermissionDenied);
                assert_eq!(denied(fs::remove_file(&there)), ErrorKind::PermissionDenied);
                let append = File::options().append(true).open(&there).map(drop);
                assert_eq!(denied(append), ErrorKind::PermissionDenied);
                // Reading is the reader's business, and what permissions are for.
                assert_eq!(fs::read_to_string(&there).unwrap(), "as it was");
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
                thread(&RetainedPrivileges::NOTHING).unwrap();
                assert!(fs::write(&output, "3").is_err(), "without an output nothing is written");
            };
            scope.spawn(task).join()
        })
        .unwrap();
    }
}
