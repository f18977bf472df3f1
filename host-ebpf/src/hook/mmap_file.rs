//! Library loads, captured by the security hook of every mapping. After the hook, the mapping can still fail.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use crypto_tracer_common::record::kind;

use crate::{kernel::Typed, ringbuf, task};

const PROT_EXEC: u64 = 4;

#[lsm(hook = "mmap_file")]
pub(crate) fn mmap_file(ctx: LsmContext) -> i32 {
    let result: i32 = ctx.arg(4);
    if result == 0 {
        unsafe { try_map(ctx.arg(0), ctx.arg(2)) };
    }
    result
}

#[inline(always)]
unsafe fn try_map(file: *const u8, prot: u64) {
    unsafe {
        if prot & PROT_EXEC != 0 && !file.is_null() && task::may_be_wanted() {
            ringbuf::file::<Typed>(kind::LIB_LOAD, file as u64, 0);
        }
    }
}
