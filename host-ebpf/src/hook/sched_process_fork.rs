//! Forks. The child has not run yet.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use crypto_tracer_common::{
    fixed::kinds,
    loss,
    record::{Header, SMALL, kind},
};

use crate::{
    fill,
    fixed::setting,
    maps::lost,
    send::{reserve, submit},
    who,
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
        if alone || !who::process_may_be_wanted() || who::wanted().is_none() {
            return;
        }
        let who = who::numbers(child);
        // A thread is not a process.
        if who.tgid == 0 || who.tgid != who.tid {
            return;
        }
        who::follow(child, who);
        if setting!(kinds) & kinds::FORK == 0 {
            return;
        }
        let record = reserve::<SMALL>();
        if record.is_null() {
            lost(loss::RING_FULL_FORK);
            return;
        }
        fill::process(record.cast::<Header>(), kind::PROCESS_FORK, child, who);
        submit(record);
    }
}
