//! Writes records into the ring buffer. They are built in place and not in per-CPU scratch memory, which a program that
//! preempts this one on the same CPU could overwrite.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::{
    loss,
    record::{Header, LONG, LONGEST_PATH, MEDIUM, SHORT, SMALL, flag, kind},
};

use crate::{
    fixed::offset,
    flood, header,
    kernel::{Access, Path, Probed, Typed, current},
    maps::{EVENTS, lost},
    name::Name,
    task::{self, Task},
    walk,
};

/// Bytes that the kernel adds to each record.
const RECORD_HEADER: u64 = 8;
/// `O_PATH`: no access to the content.
const O_PATH: u32 = 0o10_000_000;
/// `__O_TMPFILE`: no name.
const O_TMPFILE: u32 = 0o20_000_000;
/// `FMODE_CREATED`: the open created the file.
const CREATED: u32 = 0x10_0000;
/// The flags of an open that the file does not keep: `O_CREAT | O_EXCL | O_TRUNC`.
const FORGOTTEN: u32 = 0o1300;
/// Bit of `what`: only the file's own name is in the interest, so the record has the path in its own file system.
const BY_OWN_NAME: u64 = 1 << 16;
/// Bit of `what`: the open created the file.
const HOW_CREATED: u64 = 1 << 17;
const S_IFMT: u16 = 0o170_000;
const S_IFDIR: u16 = 0o040_000;

/// Reserves a record for an event of this kind; counts the event as lost and returns null if there is no room. The caller
/// must pass the record to [`submit`] or [`discard`].
#[inline(always)]
pub(crate) unsafe fn reserve<const SIZE: usize>(kind: u16) -> *mut u8 {
    let ring = (&raw const EVENTS).cast_mut().cast::<c_void>();
    unsafe {
        if flood::exceeds_share(RECORD_HEADER + SIZE as u64) {
            lost(if kind == kind::PROCESS_FORK { loss::FLOOD_FORK } else { loss::FLOOD });
            return ptr::null_mut();
        }
        let record: *mut u8 = helper::bpf_ringbuf_reserve(ring, SIZE as u64, 0).cast();
        if record.is_null() {
            lost(match kind {
                kind::FILE_OPEN => loss::RING_FULL_OPEN,
                kind::LIB_LOAD => loss::RING_FULL_LOAD,
                kind::PROCESS_EXEC => loss::RING_FULL_EXEC,
                kind::PROCESS_EXIT => loss::RING_FULL_EXIT,
                _ => loss::RING_FULL_FORK,
            });
        }
        record
    }
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

/// Reports a file that was opened (`kind::FILE_OPEN`) or mapped (`kind::LIB_LOAD`), if one of its names is in the
/// interest: its own, or that of the mount point if it is the root of a mount. Anybody can mount a file under another name
/// in a namespace of their own.
#[inline(always)]
pub(crate) unsafe fn file<A: Accessible>(kind: u16, file: u64, detail: u32) {
    unsafe {
        let path = A::path(file);
        let (dentry, _) = A::dentry(path.dentry);
        let root: u64 = A::get(path.mnt, offset!(vfsmount_root));
        let is_own_wanted = Name::of(dentry).is_wanted(kind);
        let mut what = kind as u64;
        if root == path.dentry && mount_point_is_wanted(kind as u64, path.mnt, path.dentry) == 0 {
            what |= BY_OWN_NAME;
        }
        if is_own_wanted || (root == path.dentry && what & BY_OWN_NAME == 0) {
            A::named_file(what, file, path, detail);
        }
    }
}

/// Whether the name of the mount point is in the interest. Rarely called, so it is not inlined. Not exported: an exported
/// function accepts no typed pointers.
#[inline(never)]
unsafe extern "C" fn mount_point_is_wanted(kind: u64, mnt: u64, dentry: u64) -> u64 {
    unsafe { Name::of_mount_point(Path { mnt, dentry }).is_wanted(kind as u16) as u64 }
}

/// An [`Access`] for which the code that reports a file exists.
pub(crate) trait Accessible: Access + Sized {
    /// Reports a file whose name is in the interest. `what`: the kind, and [`BY_OWN_NAME`].
    unsafe fn named_file(what: u64, file: u64, path: Path, detail: u32);
    /// Writes the record of a process that is reported.
    unsafe fn record(report: Report, ids: Task);
}

impl Accessible for Typed {
    #[inline(always)]
    unsafe fn named_file(what: u64, file: u64, path: Path, detail: u32) {
        unsafe { named_typed_file(what, file, path.mnt, path.dentry, detail) }
    }

    #[inline(always)]
    unsafe fn record(report: Report, ids: Task) {
        unsafe { sized::<Typed>(&report, ids) }
    }
}

impl Accessible for Probed {
    #[inline(always)]
    unsafe fn named_file(what: u64, file: u64, path: Path, detail: u32) {
        // Not a function of its own: in 6.1, the stacks of nested calls have 512 bytes together.
        unsafe { named_file::<Probed>(what, file, path, detail) };
    }

    #[inline(always)]
    unsafe fn record(report: Report, ids: Task) {
        let Report { what, path, detail } = report;
        let Task { tgid, tid, ppid } = ids;
        let (process, rest) = (pair(tgid, tid), pair(ppid, detail));
        unsafe { probed_record(what, path.mnt, path.dentry, process, rest) };
    }
}

// One function for all hooks, because it is most of their code.
#[inline(never)]
unsafe extern "C" fn named_typed_file(what: u64, file: u64, mnt: u64, dentry: u64, detail: u32) {
    unsafe { named_file::<Typed>(what, file, Path { mnt, dentry }, detail) }
}

/// Two values in one argument: a function has at most five.
#[inline(always)]
fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

// Exported, so that the verifier analyses it once and not for each call. That is possible because its arguments have no
// types. The result is always 0: such a function must have one.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) unsafe extern "C" fn probed_record(
    what: u64,
    mnt: u64,
    dentry: u64,
    process: u64,
    rest: u64,
) -> u64 {
    let report = Report { what, path: Path { mnt, dentry }, detail: (rest >> 32) as u32 };
    let ids = Task { tgid: process as u32, tid: (process >> 32) as u32, ppid: rest as u32 };
    unsafe { sized::<Probed>(&report, ids) };
    0
}

/// `caller`: the flags that the caller of an open passed. They may come from memory that the process has changed meanwhile,
/// so they decide nothing: the file itself determines whether it has content.
#[inline(always)]
unsafe fn named_file<A: Accessible>(what: u64, file: u64, path: Path, caller: u32) {
    unsafe {
        let mut report = Report { what, path, detail: 0 };
        if what as u16 == kind::FILE_OPEN {
            let flags: u32 = A::get(file, offset!(file_flags));
            let (dentry, _) = A::dentry(path.dentry);
            let mode: u16 = A::get(dentry.inode, offset!(inode_mode));
            if flags & O_PATH != 0 || flags & O_TMPFILE == O_TMPFILE || mode & S_IFMT == S_IFDIR {
                return;
            }
            if A::get::<u32>(file, offset!(file_mode)) & CREATED != 0 {
                report.what |= HOW_CREATED;
            }
            report.detail = (flags & !FORGOTTEN) | (caller & FORGOTTEN);
        }
        if let Some(ids) = task::wanted() {
            A::record(report, ids);
        }
    }
}

/// The file of a record.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    /// The kind, [`BY_OWN_NAME`] and [`HOW_CREATED`].
    what: u64,
    path: Path,
    /// The open flags.
    detail: u32,
}

impl Report {
    #[inline(always)]
    fn by_own_name(&self) -> bool {
        self.what & BY_OWN_NAME != 0
    }
}

/// Submits the smallest record that holds the path. Most paths fit into the first one. A path that another process makes
/// longer meanwhile loses its beginning.
#[inline(always)]
unsafe fn sized<A: Access>(report: &Report, ids: Task) {
    unsafe {
        let path = A::untyped(report.path);
        if try_size::<A, SMALL>(report, path, ids) {
            return;
        }
        let need = walk::length(path, report.by_own_name());
        if need <= walk::capacity(SHORT) {
            try_size::<A, SHORT>(report, path, ids);
        } else if need <= walk::capacity(MEDIUM) {
            try_size::<A, MEDIUM>(report, path, ids);
        } else if need <= walk::capacity(LONG) {
            try_size::<A, LONG>(report, path, ids);
        } else {
            try_size::<A, LONGEST_PATH>(report, path, ids);
        }
    }
}

/// Returns false if the path needs a larger record. `path`: that of the report, untyped.
#[inline(always)]
unsafe fn try_size<A: Access, const SIZE: usize>(report: &Report, path: Path, ids: Task) -> bool {
    unsafe {
        let kind = report.what as u16;
        let record = reserve::<SIZE>(kind);
        if record.is_null() {
            return true;
        }
        let walked = walk::path::<SIZE>(record, path, report.by_own_name());
        if SIZE == SMALL && walked.flags & flag::PATH_TRUNCATED != 0 {
            discard(record);
            return false;
        }
        let header = record.cast::<Header>();
        header::process(header, kind, current(), ids);
        let how = if report.what & HOW_CREATED != 0 { flag::CREATED } else { 0 };
        (*header).flags = walked.flags | how | header::file::<A>(header, report.path.dentry);
        (*header).path_len = walked.len as u16;
        (*header).detail = report.detail;
        submit(record);
        true
    }
}
