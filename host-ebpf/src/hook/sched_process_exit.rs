//! Process exits, reported once, when the last thread ends.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use crypto_tracer_common::{
    fixed::kinds,
    record::{Header, SMALL, kind},
};

use crate::{
    fixed::{offset, setting},
    header,
    kernel::{current, load},
    maps::EXITED,
    ringbuf::{reserve, submit},
    task,
};

/// `SIGNAL_GROUP_EXIT`
const GROUP_EXIT: u32 = 4;
/// `BPF_NOEXIST`
const NO_EXIST: u64 = 1;
/// `-EEXIST`
const EXISTS: i32 = -17;

#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let last = if setting!(exit_tells_group_dead) != 0 {
        ctx.arg::<u64>(1) & 0xff != 0
    } else {
        unsafe { is_last() }
    };
    if last {
        unsafe { try_exit() };
    }
    0
}

/// Whether this thread reports the exit. If two threads end at the same time, both may find no live thread; the insert
/// into the table decides which one reports. If the insert fails for lack of room, the thread reports: a duplicate is
/// better than a missing exit.
#[inline(always)]
unsafe fn is_last() -> bool {
    unsafe {
        let task = current();
        let signal: *const u8 = load(task, offset!(task_signal));
        if load::<u32>(signal, offset!(signal_live)) != 0 {
            return false;
        }
        let leader: *const u8 = load(task, offset!(task_group_leader));
        let key = [leader as u64, load::<u64>(leader, offset!(task_start_boottime))];
        EXITED.insert(key, 0, NO_EXIST) != Err(EXISTS)
    }
}

#[inline(always)]
unsafe fn try_exit() {
    unsafe {
        if !task::process_may_be_wanted() {
            return;
        }
        let Some(ids) = task::wanted() else { return };
        task::forget(current(), ids);
        if setting!(kinds) & kinds::EXIT == 0 {
            return;
        }
        let record = reserve::<SMALL>(kind::PROCESS_EXIT);
        if record.is_null() {
            return;
        }
        let header = record.cast::<Header>();
        header::process(header, kind::PROCESS_EXIT, current(), ids);
        (*header).detail = status();
        submit(record);
    }
}

/// The status as `wait` returns it.
#[inline(always)]
unsafe fn status() -> u32 {
    unsafe {
        let task = current();
        let signal: *const u8 = load(task, offset!(task_signal));
        let leader: *const u8 = load(task, offset!(task_group_leader));
        // Reads both values before it selects one: the 6.1 verifier refuses a load through one of two possible pointers.
        let group: u32 = load(signal, offset!(signal_group_exit_code));
        let own: u32 = load(leader, offset!(task_exit_code));
        if load::<u32>(signal, offset!(signal_flags)) & GROUP_EXIT != 0 { group } else { own }
    }
}
