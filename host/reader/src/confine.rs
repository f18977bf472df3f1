//! Drops the privileges that the reader does not need.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Capabilities of the reader: access to other processes, and read access to every file.
pub(super) const READER_CAPABILITIES: CapabilitySet =
    CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);

/// Irrevocably drops all capabilities except [`READER_CAPABILITIES`].
pub(super) fn reader() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    let permitted = capabilities(None)?.permitted & READER_CAPABILITIES;
    let inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable })?)
}
