//! The reader process: all accesses to `/proc` and to files of other users. A file system can block the process
//! indefinitely; then the tracer replaces it. Requests come in batches and have a deadline.

mod ancestry;
mod cgroup;
mod client;
mod confine;
mod connection;
mod cost;
mod descriptors;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod head;
mod inspect;
mod links;
mod listing;
mod mount_namespaces;
mod mounts;
mod other_tracer;
mod packages;
mod paging;
mod pem;
mod proc_probe;
mod procfs;
mod protocol;
mod public_prefix;
mod restart_backoff;
mod serve;
mod spawner;
mod stale;
mod statx;
mod unobservable;
mod version;
mod visible;

pub use client::{ReaderClient, ReaderEnd, ReaderEvent};
pub use links::resolve_links;
pub use other_tracer::may_be_readers_open;
pub use protocol::{
    Ancestry, Currency, ExistingProcess, FileDescriptor, Fingerprint, Found, HeadRefusal,
    HeadRequest, HeadResponse, LibraryQuery, MappedFile, MaybeReader, ProcessDetails, StaleQuery,
    Unobservable, UsedFile, Wanted, WantedCgroup,
};
pub use spawner::Spawner;

use crypto_tracer_event::PemBlock;

/// Returns the PEM blocks that begin in the visible part of a file with this content.
pub fn pem_blocks(content: &[u8]) -> Vec<PemBlock> {
    listing::list(content.get(..visible::READ_BYTES).unwrap_or(content))
}

/// Returns all of a file with this content that plugins may see.
pub fn public_content(content: &[u8]) -> Vec<u8> {
    let read = content.get(..visible::READ_BYTES).unwrap_or(content);
    visible::visible(read, read.len() < content.len())
}

/// Returns the part of a file with this content that the reader passes to plugins as its head.
pub fn public_head(content: &[u8]) -> Vec<u8> {
    let first = content.get(..head::FIRST_BYTES).unwrap_or(content);
    let max = if pem::needs_more(first) { head::MAX_BYTES } else { head::FIRST_BYTES };
    let read = content.get(..max).unwrap_or(content);
    public_prefix::public_prefix(read, read.len() < content.len())
}
