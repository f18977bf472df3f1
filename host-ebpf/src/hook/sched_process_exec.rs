//! Execs. At this tracepoint, the new memory of the process holds the complete arguments.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated as helper, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use crypto_tracer_common::{
    loss,
    record::{ARGS_MAX, HEADER, Header, LARGE, MEDIUM, PATH_MAX, flag, kind},
};

use crate::{
    fixed::offset,
    header,
    kernel::{Path, at_most, current, load, read},
    maps::lost,
    ringbuf::{discard, reserve, submit},
    task::{self, Task},
    walk,
};

/// The longest path and the longest arguments that a record of [`MEDIUM`] bytes holds together.
const MEDIUM_PATH: u64 = 0x17f;
const MEDIUM_ARGS: u64 = 0x1ff;
const LARGE_PATH: u64 = PATH_MAX as u64;
const LARGE_ARGS: u64 = ARGS_MAX as u64;
const _: () = assert!(HEADER + (MEDIUM_PATH + MEDIUM_ARGS) as usize <= MEDIUM);

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
        if arguments.len > MEDIUM_ARGS || !try_size::<MEDIUM>(path, arguments, ids) {
            try_size::<LARGE>(path, arguments, ids);
        }
    }
}

/// Returns false if the record is too small and a larger one could hold the data.
#[inline(always)]
unsafe fn try_size<const SIZE: usize>(path: Path, arguments: ArgumentRange, ids: Task) -> bool {
    unsafe {
        let record = reserve::<SIZE>();
        if record.is_null() {
            lost(loss::RING_FULL_EXEC);
            return true;
        }
        let (path_len, mut flags) = walk::path::<SIZE>(record, path);
        let fits = path_len <= MEDIUM_PATH && flags & flag::PATH_TRUNCATED == 0;
        if SIZE == MEDIUM && !fits {
            discard(record);
            return false;
        }
        let (at, len) = if SIZE == MEDIUM {
            (at_most::<MEDIUM_PATH>(path_len), at_most::<MEDIUM_ARGS>(arguments.len))
        } else {
            (at_most::<LARGE_PATH>(path_len), at_most::<LARGE_ARGS>(arguments.len))
        };
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
        (*header).flags = flags | header::file(header, path);
        (*header).path_len = path_len as u16;
        (*header).args_len = args_len as u16;
        submit(record);
        true
    }
}
