//! Library loads, captured when the kernel's `vm_mmap_pgoff` returns.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use crypto_tracer_common::record::kind;

use crate::{kernel::Typed, ringbuf, task};
/// Addresses from this value on are error numbers.
const FIRST_ERROR: u64 = -4095_i64 as u64;

/// `unsigned long vm_mmap_pgoff(struct file *file, unsigned long addr, unsigned long len, unsigned long prot,
/// unsigned long flag, unsigned long pgoff)`
#[fexit(function = "vm_mmap_pgoff")]
pub(crate) fn vm_mmap_pgoff(ctx: FExitContext) -> i32 {
    unsafe { try_map(ctx.arg(0), ctx.arg(3), ctx.arg(6)) };
    0
}

#[inline(always)]
unsafe fn try_map(file: *const u8, prot: u64, result: u64) {
    unsafe {
        if !file.is_null()
            && result < FIRST_ERROR
            && task::makes_executable(prot)
            && task::may_be_wanted()
        {
            ringbuf::file::<Typed>(kind::LIB_LOAD, file as u64, 0);
        }
    }
}
