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
        let Some(Task { tgid, tid, ppid }) = task::wanted() else { return };
        let (tgid, tid, ppid) = (tgid as u64, tid as u64, ppid as u64);
        let Program { path, arguments } = Program::of_current();
        // Most execs fit into the first record.
        if arguments.len <= bounds(SMALL).1 && small_record(tgid, tid, ppid) != 0 {
            return;
        }
        let path_len = walk::length(path, false);
        let fits = |size| path_len <= bounds(size).0 && arguments.len <= bounds(size).1;
        // Another process may make the path longer meanwhile.
        let is_done = (fits(SHORT) && short_record(tgid, tid, ppid) != 0)
            || (fits(MEDIUM) && medium_record(tgid, tid, ppid) != 0);
        if !is_done {
            large_record(tgid, tid, ppid);
        }
    }
}

/// Writes a record of one size. Returns 0 if the path needs a larger record. Exported, so that the verifier does not analyse
/// it for each way to get there.
macro_rules! records {
    ($($name:ident: $size:expr,)*) => { $(
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) unsafe extern "C" fn $name(tgid: u64, tid: u64, ppid: u64) -> u64 {
            let ids = Task { tgid: tgid as u32, tid: tid as u32, ppid: ppid as u32 };
            unsafe { try_size::<{ $size }>(Program::of_current(), ids) as u64 }
        }
    )* };
}

records! {
    small_record: SMALL,
    short_record: SHORT,
    medium_record: MEDIUM,
    large_record: LARGE,
}

/// The program of the current process.
struct Program {
    path: Path,
    arguments: ArgumentRange,
}

impl Program {
    #[inline(always)]
    unsafe fn of_current() -> Program {
        unsafe {
            let mm: *const u8 = load(current(), offset!(task_mm));
            let at: u64 = load(mm, offset!(mm_arg_start));
            let end: u64 = load(mm, offset!(mm_arg_end));
            let exe: u64 = load(mm, offset!(mm_exe_file));
            let path: Path = read(exe, offset!(file_path));
            Program { path, arguments: ArgumentRange { at, len: end.wrapping_sub(at) } }
        }
    }
}

/// Returns false if the path needs a larger record.
#[inline(always)]
unsafe fn try_size<const SIZE: usize>(program: Program, ids: Task) -> bool {
    unsafe {
        let Program { path, arguments } = program;
        let record = reserve::<SIZE>(kind::PROCESS_EXEC);
        if record.is_null() {
            return true;
        }
        let walked = walk::path::<SIZE>(record, path, false);
        let does_not_fit = walked.flags & flag::PATH_TRUNCATED != 0 || walked.len > bounds(SIZE).0;
        if SIZE != LARGE && does_not_fit {
            discard(record);
            return false;
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
        true
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
