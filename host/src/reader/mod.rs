//! The reader: everything that touches `/proc` or other people's files happens in a second process, which may hang on
//! somebody's file system and be replaced. It gets questions in batches and has until a deadline.

mod aside;
mod cgroup;
mod confine;
mod enough;
mod head;
mod hung;
mod kin;
mod links;
mod look;
mod mounts;
mod nursery;
mod other_tracer;
mod pem;
mod places;
mod process;
mod protocol;
mod running;
mod scan;
mod secrets;
mod serve;

pub use links::resolve_links;
pub use nursery::Nursery;
pub use other_tracer::may_be_readers_open;
pub use process::{News, Reader};
pub use protocol::{
    Descriptor, Found, HeadAnswer, HeadQuestion, Kin, LookedAt, MappedFile, MaybeReader, Refusal,
    SeenProcess, Wanted,
};

/// What a plugin would see of a file with this content.
pub fn visible_head(content: &[u8]) -> Vec<u8> {
    let first = content.get(..head::FIRST_BYTES).unwrap_or(content);
    let most = if pem::needs_more(first) { head::MOST_BYTES } else { head::FIRST_BYTES };
    let read = content.get(..most).unwrap_or(content);
    secrets::visible(read, read.len() < content.len())
}
