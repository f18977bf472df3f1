//! File metadata from the kernel's caches, without a request to a file server.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, statx};

use crypto_tracer_event::FileStat;

/// Returns the cached metadata of a file. An empty `name` means `directory` itself.
pub(super) fn cached(directory: impl AsFd, name: impl rustix::path::Arg) -> Option<Statx> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::EMPTY_PATH;
    statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | StatxFlags::BTIME)
        .ok()
}

/// The metadata that plugins may ask for.
pub(super) fn file_stat(stat: &Statx) -> FileStat {
    FileStat {
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mode: stat.stx_mode.into(),
        links: stat.stx_nlink,
        modified_ns: ns(&stat.stx_mtime),
        changed_ns: ctime_ns(stat),
    }
}

/// Change time in nanoseconds since 1970.
pub(super) fn ctime_ns(stat: &Statx) -> i128 {
    ns(&stat.stx_ctime)
}

/// Device number in the kernel's encoding: major << 20 | minor.
pub(super) fn dev(stat: &Statx) -> u32 {
    stat.stx_dev_major << 20 | stat.stx_dev_minor
}

pub(super) fn ns(time: &StatxTimestamp) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
