//! The parsers of the reader, for the fuzz targets in `fuzz` and the property tests here. All inputs are chosen by other
//! users. A parser may return anything, but must not panic, hang or allocate without bound.

use super::inspect::parse_process;
use super::mounts::Mounts;
use super::other_tracer::is_status_of_reader;
use super::protocol::{Request, Response, receive};
use super::{listing, pem, procfs, public_prefix};
use crypto_tracer_event::MAX_PEM_BLOCKS;

/// `/proc/PID/stat` and `/proc/PID/status`.
pub fn process_facts(bytes: &[u8]) {
    let _ = procfs::parse_stat(bytes);
    for index in 0..64 {
        let _ = procfs::stat_field(bytes, index);
    }
    for key in ["Uid:", "Gid:", "NSpid:", ""] {
        let _ = procfs::status_value(bytes, key);
    }
    let _ = is_status_of_reader(bytes);
    parse_process(bytes);
}

/// `/proc/PID/maps`.
pub fn maps(bytes: &[u8]) {
    let files = procfs::parse_maps(bytes);
    assert!(files.len() <= bytes.len() / 2);
    for file in files {
        let _ = procfs::strip_deleted(file.path);
    }
}

/// `/proc/PID/mountinfo`.
pub fn mountinfo(bytes: &[u8]) {
    for foreign in [false, true] {
        let mounts = Mounts::parse(bytes, foreign);
        let _ = (mounts.has_remote(), mounts.may_block(bytes), mounts.kind(1));
    }
}

/// A head: PEM, DER and any other content. Checks that no more than the content is public.
pub fn head(bytes: &[u8]) {
    for is_truncated in [false, true] {
        let public = public_prefix::public_prefix(bytes, is_truncated);
        assert!(public.len() <= bytes.len() + 1, "the public part is longer than the content");
        // What is public stays public: a plugin that gets it learns nothing else from a second pass.
        assert!(public_prefix::public_prefix(&public, is_truncated).len() <= public.len() + 1);
    }
    assert!(listing::list(bytes).len() <= MAX_PEM_BLOCKS, "too many blocks are listed");
    let blocks = pem::blocks(bytes);
    let _ = (pem::deciding(&blocks), pem::begins_early(&blocks), pem::needs_more(bytes));
}

/// Messages between the tracer and the reader. The tracer does not trust a reader, which parses what other users write.
pub fn messages(bytes: &[u8]) {
    let _ = receive::<Response>(bytes);
    let _ = receive::<Request>(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Text of lines like those of `/proc`, with any bytes in between.
    fn lines(word: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            3 => word.prop_map(String::into_bytes),
            1 => vec(any::<u8>(), 0..6),
            1 => Just(b"\n".to_vec()),
        ];
        vec(part, 0..60).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_stat_and_status_are_parsed(
            bytes in lines("[0-9]{1,20} |\\(|\\)|(Name|NoNewPrivs|CapEff|CapPrm|CapInh|Uid|Gid):\t"),
        ) {
            process_facts(&bytes);
        }

        #[test]
        fn any_maps_are_parsed(bytes in lines("[0-9a-f]{1,12}-[0-9a-f]{1,12} r-xp 0 [0-9a-f]{1,4}:[0-9]{1,3} [0-9]{1,20} /")) {
            maps(&bytes);
        }

        #[test]
        fn any_mountinfo_is_parsed(bytes in lines("[0-9]{1,20} |/[a-z\\\\0-7]{0,6} |- (fuse|nfs|overlay) x rw")) {
            mountinfo(&bytes);
        }

        #[test]
        fn any_head_is_parsed(
            bytes in lines("-----BEGIN [A-Z ]{0,12}-----\n|-----END [A-Z ]{0,12}-----|[A-Za-z0-9+/=]{0,64}\n|\u{30}\u{82}"),
        ) {
            head(&bytes);
        }

        #[test]
        fn any_message_is_received(body in vec(any::<u8>(), 0..200), lie in -4_i64..4) {
            let length = u32::try_from((body.len() as i64 + lie).max(0)).unwrap();
            messages(&[&length.to_le_bytes()[..], &body].concat());
        }
    }
}
