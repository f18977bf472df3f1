//! Forks. The tracepoint runs before the child.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use crypto_tracer_common::{
    fixed::kinds,
    record::{Header, SMALL, kind},
};

use crate::{
    fixed::setting,
    header,
    ringbuf::{reserve, submit},
    task,
};

#[btf_tracepoint(function = "sched_process_fork")]
pub(crate) fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    unsafe { try_fork(ctx.arg(1)) };
    0
}

#[inline(always)]
unsafe fn try_fork(child: *const u8) {
    unsafe {
        let alone = setting!(pid) != 0 && setting!(follow) == 0;
        if alone || !task::process_may_be_wanted() || task::wanted().is_none() {
            return;
        }
        let ids = task::numbers(child);
        // Ignores new threads.
        if ids.tgid == 0 || ids.tgid != ids.tid {
            return;
        }
        task::follow(child, ids);
        if setting!(kinds) & kinds::FORK == 0 {
            return;
        }
        let record = reserve::<SMALL>(kind::PROCESS_FORK);
        if record.is_null() {
            return;
        }
        header::process(record.cast::<Header>(), kind::PROCESS_FORK, child, ids);
        submit(record);
    }
}
