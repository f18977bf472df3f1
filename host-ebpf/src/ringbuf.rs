//! Writes records into the ring buffer. They are built in place and not in per-CPU scratch memory, which a program that
//! preempts this one on the same CPU could overwrite.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::{
    loss,
    record::{Header, LARGE, MEDIUM, SMALL, flag, kind},
};

use crate::{
    fixed::offset,
    header,
    kernel::{Dentry, Path, current, load, read},
    maps::{EVENTS, lost},
    name::Name,
    task::{self, Task},
    walk,
};

/// `O_PATH`: no access to the content.
const O_PATH: u32 = 0o10_000_000;
/// `__O_TMPFILE`: no name.
const O_TMPFILE: u32 = 0o20_000_000;
/// `FMODE_CREATED`: the open created the file.
const CREATED: u32 = 0x10_0000;
const S_IFMT: u16 = 0o170_000;
const S_IFDIR: u16 = 0o040_000;

/// Reserves a record; returns null if the ring buffer is full. The caller must pass it to [`submit`] or [`discard`].
#[inline(always)]
pub(crate) unsafe fn reserve<const SIZE: usize>() -> *mut u8 {
    let ring = (&raw const EVENTS).cast_mut().cast::<c_void>();
    unsafe { helper::bpf_ringbuf_reserve(ring, SIZE as u64, 0).cast() }
}

/// Submits a reserved record.
#[inline(always)]
pub(crate) unsafe fn submit(record: *mut u8) {
    unsafe { helper::bpf_ringbuf_submit(record.cast(), 0) }
}

/// Discards a reserved record.
#[inline(always)]
pub(crate) unsafe fn discard(record: *mut u8) {
    unsafe { helper::bpf_ringbuf_discard(record.cast(), 0) }
}

/// Reports a file that was opened (`kind::FILE_OPEN`) or mapped (`kind::LIB_LOAD`), if its name is in the interest.
#[inline(always)]
pub(crate) unsafe fn file(kind: u16, file: u64, detail: u32) {
    unsafe {
        let path: Path = read(file, offset!(file_path));
        if is_wanted(kind, Name::visible(path)) {
            named_file(kind as u64, file, path.mnt, path.dentry, detail);
        }
    }
}

/// Like [`file`], for a file whose type the verifier knows: a file outside the interest costs only one helper call.
#[inline(always)]
pub(crate) unsafe fn typed_file(kind: u16, file: *const u8, detail: u32) {
    unsafe {
        if is_wanted(kind, Name::visible_typed(file)) {
            let mnt = load(file, offset!(file_path) + offset!(path_mnt));
            let dentry = load(file, offset!(file_path) + offset!(path_dentry));
            named_file(kind as u64, file as u64, mnt, dentry, detail);
        }
    }
}

#[inline(always)]
unsafe fn is_wanted(kind: u16, name: Name) -> bool {
    unsafe {
        match kind {
            kind::LIB_LOAD => name.is_wanted_library(),
            _ => name.is_wanted_file(),
        }
    }
}

/// Reports a file whose name is in the interest. One function for all hooks, because it is most of their code.
#[inline(never)]
unsafe extern "C" fn named_file(kind: u64, file: u64, mnt: u64, dentry: u64, detail: u32) {
    unsafe {
        let (kind, path) = (kind as u16, Path { mnt, dentry });
        let mut how = 0;
        if kind == kind::FILE_OPEN {
            let flags = detail | read::<u32>(file, offset!(file_flags));
            let (dentry, _) = Dentry::read(path.dentry);
            let mode: u16 = read(dentry.inode, offset!(inode_mode));
            if flags & O_PATH != 0 || flags & O_TMPFILE == O_TMPFILE || mode & S_IFMT == S_IFDIR {
                return;
            }
            if read::<u32>(file, offset!(file_mode)) & CREATED != 0 {
                how = flag::CREATED;
            }
        }
        if let Some(ids) = task::wanted() {
            let detail = if kind == kind::FILE_OPEN { detail } else { 0 };
            sized(kind, path, detail, how, ids);
        }
    }
}

/// Submits the smallest record that holds the path. `how`: bits of [`flag`].
#[inline(always)]
unsafe fn sized(kind: u16, path: Path, detail: u32, how: u16, ids: Task) {
    unsafe {
        if !(try_size::<SMALL>(kind, path, detail, how, ids)
            || try_size::<MEDIUM>(kind, path, detail, how, ids))
        {
            try_size::<LARGE>(kind, path, detail, how, ids);
        }
    }
}

/// Returns false if the path does not fit and a larger record could hold it.
#[inline(always)]
unsafe fn try_size<const SIZE: usize>(
    kind: u16,
    path: Path,
    detail: u32,
    how: u16,
    ids: Task,
) -> bool {
    unsafe {
        let record = reserve::<SIZE>();
        if record.is_null() {
            lost(if kind == kind::LIB_LOAD { loss::RING_FULL_LOAD } else { loss::RING_FULL_OPEN });
            return true;
        }
        let (len, flags) = walk::path::<SIZE>(record, path);
        if SIZE != LARGE && flags & flag::PATH_TRUNCATED != 0 {
            discard(record);
            return false;
        }
        let header = record.cast::<Header>();
        header::process(header, kind, current(), ids);
        (*header).flags = flags | how | header::file(header, path);
        (*header).path_len = len as u16;
        (*header).detail = detail;
        submit(record);
        true
    }
}
