//! What the main process gives up once the kernel side is attached. The reader keeps what it needs in a process of its
//! own, because Landlock closes other processes' `/proc/PID/root` to whoever is under it.
//!
//! Capabilities and Landlock belong to a thread: each thread that is there before has to do this for itself, and those
//! that are started later inherit it.

use std::io;
use std::path::Path;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// The first kernel where whoever has a map's descriptor may use it without CAP_BPF.
const MAPS_BY_DESCRIPTOR: (u32, u32) = (5, 19);

/// Gives up every privilege of this thread but writing below `writable`, the directories of output files, and, with
/// `gives_files`, giving a new one to the group that the configuration names.
///
/// # Errors
/// The capabilities could not be dropped. A kernel without Landlock is no error.
pub fn thread(writable: &[&Path], gives_files: bool) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let mut kept = CapabilitySet::empty();
    kept.set(CapabilitySet::BPF, !maps_by_descriptor());
    kept.set(CapabilitySet::CHOWN, gives_files);
    let left = capabilities(None)?.permitted & kept;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: left, permitted: left, inheritable })?;
    // Best effort: an older kernel has fewer rights to take away, or none.
    let _ = restrict_writes(writable);
    Ok(())
}

fn restrict_writes(writable: &[&Path]) -> Result<(), landlock::RulesetError> {
    let writes = AccessFs::from_write(ABI::V3);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(writes)?
        .create()?;
    for directory in writable {
        if let Ok(fd) = PathFd::new(directory) {
            ruleset = ruleset.add_rule(PathBeneath::new(fd, writes))?;
        }
    }
    ruleset.restrict_self()?;
    Ok(())
}

fn maps_by_descriptor() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= MAPS_BY_DESCRIPTOR,
        _ => false,
    }
}
