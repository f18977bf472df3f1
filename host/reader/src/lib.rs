//! The reader: everything that touches `/proc` or other people's files happens in a second process, which may hang on
//! somebody's file system and be replaced. It gets questions in batches and has until a deadline.

mod ancestry;
mod cgroup;
mod client;
mod confine;
mod connection;
mod fs_magic;
mod head;
mod inspect;
mod links;
mod mount_namespaces;
mod mounts;
mod other_tracer;
mod paging;
mod pem;
mod proc_probe;
mod procfs;
mod protocol;
mod public_prefix;
mod restart_backoff;
mod serve;
mod spawner;
mod statx;

pub use client::{ReaderClient, ReaderEvent};
pub use links::resolve_links;
pub use other_tracer::may_be_readers_open;
pub use protocol::{
    Ancestry, ExistingProcess, FileDescriptor, Found, HeadRefusal, HeadRequest, HeadResponse,
    MappedFile, MaybeReader, ProcessDetails, Wanted,
};
pub use spawner::Spawner;

/// What a plugin would see of a file with this content.
pub fn public_head(content: &[u8]) -> Vec<u8> {
    let first = content.get(..head::FIRST_BYTES).unwrap_or(content);
    let most = if pem::needs_more(first) { head::MOST_BYTES } else { head::FIRST_BYTES };
    let read = content.get(..most).unwrap_or(content);
    public_prefix::public_prefix(read, read.len() < content.len())
}
