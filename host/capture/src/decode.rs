//! Decodes records into [`KernelEvent`]s. It is total: any bytes decode to an event or an error.

use crypto_tracer_common::record::{HEADER, Header, flag, kind};
use zerocopy::FromBytes;

use crypto_tracer_event::{
    Arguments, Comm, KernelEvent, KernelPath, KernelWhat, OpenFlags, OpenedFile, PathState,
    ProcessKey, RawRecord,
};

/// Reason why bytes are not a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than a header, or than the lengths in its header.
    #[error("record of {0} bytes is too short")]
    Short(usize),
    /// The kind is not one of [`kind`].
    #[error("unknown record kind {0}")]
    Kind(u16),
}

/// Nanoseconds in a second.
const SECOND_NS: i128 = 1_000_000_000;

/// `I_CTIME_QUERIED`: a flag that newer kernels keep in the nanoseconds of a ctime.
const CTIME_QUERIED: u32 = 1 << 31;

/// Decodes one record.
pub fn decode(record: RawRecord<'_>) -> Result<KernelEvent, DecodeError> {
    decode_with(record, &mut Vec::new)
}

/// Decodes one record. `buffer` returns an empty buffer, for its path or its arguments.
pub fn decode_with(
    record: RawRecord<'_>,
    buffer: &mut dyn FnMut() -> Vec<u8>,
) -> Result<KernelEvent, DecodeError> {
    let bytes = record.0;
    let short = DecodeError::Short(bytes.len());
    let (header, rest) = Header::read_from_prefix(bytes).map_err(|_ignored| short)?;
    let (path, rest) = rest.split_at_checked(header.path_len.into()).ok_or(short)?;
    let arguments = rest.get(..header.args_len.into()).ok_or(short)?;
    let what = match header.kind {
        kind::FILE_OPEN => {
            KernelWhat::FileOpen { file: file(&header, path, buffer()), flags: header.detail }
        }
        kind::LIB_LOAD => KernelWhat::LibLoad { file: file(&header, path, buffer()) },
        kind::PROCESS_EXEC => KernelWhat::Exec {
            exe: file(&header, path, buffer()),
            arguments: Arguments {
                bytes: copied(arguments, buffer()),
                truncated: header.flags & (flag::ARGS_TRUNCATED | flag::ARGS_UNREADABLE) != 0,
            },
        },
        kind::PROCESS_EXIT => KernelWhat::Exit { wait_status: header.detail },
        kind::PROCESS_FORK => KernelWhat::Fork,
        other => return Err(DecodeError::Kind(other)),
    };
    Ok(KernelEvent {
        ts_ns: header.ts_ns,
        process: ProcessKey { tgid: header.tgid, start_ns: header.start_ns },
        exec_id: header.exec_id,
        tid: header.tid,
        ppid: header.ppid,
        uid: header.uid,
        comm: Comm::new(header.comm),
        mount_ns: header.mount_ns,
        cgroup_id: header.cgroup_id,
        root: (header.root_dev, header.root_inode),
        what,
    })
}

fn copied(from: &[u8], mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.extend_from_slice(from);
    buffer
}

fn file(header: &Header, path: &[u8], buffer: Vec<u8>) -> OpenedFile {
    OpenedFile {
        path: self::path(path, header.flags, buffer),
        dev: header.dev,
        inode: header.inode,
        size: header.size,
        ctime_ns: i128::from(header.ctime_sec) * SECOND_NS
            + i128::from(header.ctime_nsec & !CTIME_QUERIED),
        sb_magic: header.sb_magic,
        foreign_user_ns: header.flags & flag::FOREIGN_USER_NS != 0,
        created: header.kind == kind::FILE_OPEN
            && (header.flags & flag::CREATED != 0 || header.detail & OpenFlags::TRUNC != 0),
    }
}

/// Joins the components, which are stored leaf first, each followed by a NUL, in `bytes`.
fn path(raw: &[u8], flags: u16, mut bytes: Vec<u8>) -> KernelPath {
    let state = if flags & flag::PATH_UNREADABLE != 0 {
        PathState::Unreadable
    } else if flags & flag::PATH_TRUNCATED != 0 {
        PathState::Truncated
    } else {
        PathState::Complete
    };
    bytes.reserve(raw.len() + "…/".len());
    if state != PathState::Complete {
        bytes.extend_from_slice("…".as_bytes());
    }
    let components = raw.strip_suffix(b"\0").unwrap_or(raw);
    if raw.is_empty() {
        bytes.push(b'/');
    } else {
        for component in components.rsplit(|&byte| byte == 0) {
            bytes.push(b'/');
            bytes.extend_from_slice(component);
        }
    }
    KernelPath {
        bytes,
        state,
        unreachable: flags & flag::PATH_UNREACHABLE != 0,
        deleted: flags & flag::PATH_DELETED != 0,
        pseudo: flags & flag::PATH_PSEUDO != 0,
    }
}

/// Returns the length of header, path and arguments in bytes, without padding. `None`: the record is too short.
pub fn meaningful_len(record: RawRecord<'_>) -> Option<usize> {
    let (header, _) = Header::read_from_prefix(record.0).ok()?;
    let len = HEADER + usize::from(header.path_len) + usize::from(header.args_len);
    (len <= record.0.len()).then_some(len)
}

/// Returns whether the record is an event that a run prints, filters or loses. A fork is none of them: it only tells
/// which process is a descendant.
pub fn is_event(record: RawRecord<'_>) -> bool {
    Header::read_from_prefix(record.0).map_or(true, |(header, _)| header.kind != kind::PROCESS_FORK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::{FromZeros, IntoBytes};

    fn record(kind: u16, flags: u16, path: &[u8], arguments: &[u8]) -> Vec<u8> {
        let mut header = Header::new_zeroed();
        header.kind = kind;
        header.flags = flags;
        header.path_len = path.len() as u16;
        header.args_len = arguments.len() as u16;
        header.comm = *b"nginx\0garbage\0\0\0";
        header.ctime_sec = 7;
        header.ctime_nsec = CTIME_QUERIED | 5;
        [header.as_bytes(), path, arguments, b"padding"].concat()
    }

    fn opened(flags: u16, path: &[u8]) -> KernelPath {
        match decode(RawRecord(&record(kind::FILE_OPEN, flags, path, b""))).unwrap().what {
            KernelWhat::FileOpen { file, .. } => file.path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn path_components_are_joined_in_reverse_order() {
        assert_eq!(opened(0, b"a.pem\0b\0").bytes, b"/b/a.pem");
        assert_eq!(opened(0, b"a.pem\0").bytes, b"/a.pem");
        assert_eq!(opened(0, b"").bytes, b"/");
        assert_eq!(opened(0, b"new\nline\xff.pem\0").bytes, b"/new\nline\xff.pem");
    }

    #[test]
    fn path_flags_are_decoded() {
        let path = opened(flag::PATH_TRUNCATED, b"a.pem\0b\0");
        assert_eq!(
            (path.bytes.as_slice(), path.state),
            ("…/b/a.pem".as_bytes(), PathState::Truncated)
        );
        assert_eq!(opened(flag::PATH_UNREADABLE, b"a\0").state, PathState::Unreadable);
        assert!(opened(flag::PATH_UNREACHABLE, b"a\0").unreachable);
        assert!(opened(flag::PATH_DELETED, b"a\0").deleted);
    }

    #[test]
    fn comm_ends_at_the_first_nul_and_the_ctime_has_no_queried_flag() {
        let event = decode(RawRecord(&record(kind::FILE_OPEN, 0, b"a\0", b""))).unwrap();
        assert_eq!(event.comm.as_bytes(), b"nginx");
        let KernelWhat::FileOpen { file, .. } = event.what else { panic!() };
        assert_eq!(file.ctime_ns, 7_000_000_005);
    }

    #[test]
    fn opens_that_create_or_truncate_are_marked_as_created() {
        let created = |kind, flags, detail: u32| {
            let mut bytes = record(kind, flags, b"a\0", b"");
            let at = std::mem::offset_of!(Header, detail);
            bytes[at..at + 4].copy_from_slice(&detail.to_ne_bytes());
            match decode(RawRecord(&bytes)).unwrap().what {
                KernelWhat::FileOpen { file, .. } | KernelWhat::LibLoad { file } => file.created,
                other => panic!("{other:?}"),
            }
        };
        assert!(created(kind::FILE_OPEN, flag::CREATED, 0o101));
        assert!(created(kind::FILE_OPEN, 0, 0o1001));
        assert!(!created(kind::FILE_OPEN, 0, 0o102), "O_CREAT also opens existing files");
        assert!(!created(kind::LIB_LOAD, flag::CREATED, 0o1000));
    }

    #[test]
    fn arguments_follow_the_path() {
        let bytes = record(kind::PROCESS_EXEC, flag::ARGS_TRUNCATED, b"sh\0", b"sh\0\0-c\0");
        let KernelWhat::Exec { arguments, exe } = decode(RawRecord(&bytes)).unwrap().what else {
            panic!()
        };
        assert_eq!(exe.path.bytes, b"/sh");
        assert_eq!(arguments.iter().collect::<Vec<_>>(), [&b"sh"[..], b"", b"-c"]);
        assert!(arguments.truncated);
    }

    #[test]
    fn only_forks_are_no_events() {
        for number in 0..9 {
            let bytes = record(number, 0, b"", b"");
            assert_eq!(is_event(RawRecord(&bytes)), number != kind::PROCESS_FORK);
        }
        assert!(is_event(RawRecord(b"")), "counted as malformed");
    }

    #[test]
    fn invalid_records_are_rejected() {
        assert_eq!(decode(RawRecord(b"")), Err(DecodeError::Short(0)));
        assert_eq!(decode(RawRecord(&record(99, 0, b"", b""))), Err(DecodeError::Kind(99)));
        let bytes = record(kind::FILE_OPEN, 0, b"a.pem\0", b"");
        let cut = HEADER + 3;
        assert_eq!(decode(RawRecord(&bytes[..cut])), Err(DecodeError::Short(cut)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(RawRecord(&bytes));
        }

        #[test]
        fn arbitrary_headers_do_not_panic(
            kind in 0u16..8, flags: u16, path in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let decoded = decode(RawRecord(&record(kind, flags, &path, b"")));
            if let Ok(KernelEvent { what: KernelWhat::FileOpen { file, .. }, .. }) = decoded {
                prop_assert!(file.path.bytes.contains(&b'/'));
            }
        }
    }
}
