//! What the kernel knows of a file, without asking a server.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, statx};

/// What the kernel knows of a file, without asking a server for news.
pub(super) fn known(directory: impl AsFd, name: impl rustix::path::Arg) -> Option<Statx> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::EMPTY_PATH;
    statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | StatxFlags::BTIME)
        .ok()
}

/// When the file was last changed, in nanoseconds.
pub(super) fn ctime_ns(stat: &Statx) -> i128 {
    ns(&stat.stx_ctime)
}

/// A device as the kernel keeps it, from the form that it shows to programs.
pub(super) fn dev(stat: &Statx) -> u32 {
    stat.stx_dev_major << 20 | stat.stx_dev_minor
}

pub(super) fn ns(time: &StatxTimestamp) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
