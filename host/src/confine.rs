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
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// The first kernel where whoever has a map's descriptor may use it without CAP_BPF.
const MAPS_BY_DESCRIPTOR: (u32, u32) = (5, 19);

/// What a run keeps.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The directory of the output file: nothing is written elsewhere.
    directory: Option<PathBuf>,
    capabilities: CapabilitySet,
}

impl Kept {
    /// Nothing.
    pub const NOTHING: Kept = Kept { directory: None, capabilities: CapabilitySet::empty() };

    /// What it takes to write this file, to put another one in its place, and, with `gives`, to give that one to a
    /// group. In root's own directories root needs nothing more for it.
    pub fn for_output(file: Option<&Path>, gives: bool) -> Kept {
        let Some(file) = file else { return Kept::NOTHING };
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
        Kept { directory: Some(directory.to_owned()), capabilities }
    }
}

/// Gives up every privilege of this thread but these.
///
/// # Errors
/// The capabilities could not be dropped. A kernel without Landlock is no error.
pub fn thread(more: &Kept) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let mut kept = more.capabilities;
    kept.set(CapabilitySet::BPF, !maps_by_descriptor());
    let left = capabilities(None)?.permitted & kept;
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

fn maps_by_descriptor() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= MAPS_BY_DESCRIPTOR,
        _ => false,
    }
}
