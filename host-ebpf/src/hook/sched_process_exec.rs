//! Execs. At this tracepoint, the new memory of the process holds the complete arguments.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated as helper, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use crypto_tracer_common::record::{
    ARGS_MAX, HEADER, Header, LARGE, MEDIUM, PATH_MAX, SHORT, SMALL, flag, kind,
};

use crate::{
    fixed::offset,
    header,
    kernel::{Path, Probed, at_most, current, load, read},
    ringbuf::{discard, reserve, submit},
    task::{self, Task},
    walk,
};

/// The longest path and the longest arguments that a record of `size` bytes holds together: bounds for the verifier.
const fn bounds(size: usize) -> (u64, u64) {
    match size {
        SMALL => (0x3f, 0x40),
        SHORT => (0x7f, 0x100),
        MEDIUM => (0x17f, 0x1ff),
        _ => (PATH_MAX as u64, ARGS_MAX as u64),
    }
}

const fn is_consistent(size: usize) -> bool {
    let (path, args) = bounds(size);
    HEADER + (path + args) as usize <= size
}
const _: () = assert!(is_consistent(SMALL) && is_consistent(SHORT));
const _: () = assert!(is_consistent(MEDIUM) && is_consistent(LARGE));

/// The address and size of the arguments in the memory of the new program.
#[derive(Clone, Copy)]
struct ArgumentRange {
    at: u64,
    len: u64,
}

#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec(_: BtfTracePointContext) -> i32 {
    unsafe { try_exec() };
    0
}

#[inline(always)]
unsafe fn try_exec() {
    unsafe {
        if !task::process_may_be_wanted() {
            return;
        }
        let Some(ids) = task::wanted() else { return };
        let mm: *const u8 = load(current(), offset!(task_mm));
        let at: u64 = load(mm, offset!(mm_arg_start));
        let end: u64 = load(mm, offset!(mm_arg_end));
        let exe: u64 = load(mm, offset!(mm_exe_file));
        let path: Path = read(exe, offset!(file_path));
        let arguments = ArgumentRange { at, len: end.wrapping_sub(at) };
        // Most execs fit into the first record; if not, the walk has measured the path.
        let first = arguments.len <= bounds(SMALL).1;
        let path_len = if first { try_size::<SMALL>(path, arguments, ids) } else { 0 };
        if first && path_len == 0 {
            return;
        }
        let fits = |size| first && path_len <= bounds(size).0 && arguments.len <= bounds(size).1;
        if fits(SHORT) {
            try_size::<SHORT>(path, arguments, ids);
        } else if arguments.len > bounds(MEDIUM).1 || try_size::<MEDIUM>(path, arguments, ids) != 0
        {
            try_size::<LARGE>(path, arguments, ids);
        }
    }
}

/// Returns 0 if this was the end of it, or else the length of the path as far as it is known.
#[inline(always)]
unsafe fn try_size<const SIZE: usize>(path: Path, arguments: ArgumentRange, ids: Task) -> u64 {
    unsafe {
        let record = reserve::<SIZE>(kind::PROCESS_EXEC);
        if record.is_null() {
            return 0;
        }
        let walked = walk::path::<SIZE>(record, path, false);
        let does_not_fit = walked.need != 0
            || walked.flags & flag::PATH_TRUNCATED != 0
            || walked.len > bounds(SIZE).0;
        if (SIZE == SMALL || SIZE == MEDIUM) && does_not_fit {
            discard(record);
            return walked.need.max(walked.len).max(1);
        }
        let at = path_at_most::<SIZE>(walked.len);
        let len = args_at_most::<SIZE>(arguments.len);
        let mut flags = walked.flags;
        if len < arguments.len {
            flags |= flag::ARGS_TRUNCATED;
        }
        let to = record.add(HEADER + at as usize);
        let mut args_len = len;
        if helper::bpf_probe_read_user(to.cast(), len as u32, arguments.at as *const c_void) != 0 {
            flags |= flag::ARGS_UNREADABLE;
            args_len = 0;
        }
        let header = record.cast::<Header>();
        header::process(header, kind::PROCESS_EXEC, current(), ids);
        (*header).flags = flags | header::file::<Probed>(header, path.dentry);
        (*header).path_len = at as u16;
        (*header).args_len = args_len as u16;
        submit(record);
        0
    }
}

/// `at_most` with the bounds of a size: an argument of `at_most` cannot depend on `SIZE`.
#[inline(always)]
fn path_at_most<const SIZE: usize>(len: u64) -> u64 {
    match SIZE {
        SMALL => at_most::<{ bounds(SMALL).0 }>(len),
        SHORT => at_most::<{ bounds(SHORT).0 }>(len),
        MEDIUM => at_most::<{ bounds(MEDIUM).0 }>(len),
        _ => at_most::<{ bounds(LARGE).0 }>(len),
    }
}

#[inline(always)]
fn args_at_most<const SIZE: usize>(len: u64) -> u64 {
    match SIZE {
        SMALL => at_most::<{ bounds(SMALL).1 }>(len),
        SHORT => at_most::<{ bounds(SHORT).1 }>(len),
        MEDIUM => at_most::<{ bounds(MEDIUM).1 }>(len),
        _ => at_most::<{ bounds(LARGE).1 }>(len),
    }
}
