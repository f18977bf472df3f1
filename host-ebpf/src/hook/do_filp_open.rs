//! Opens by path, captured when the kernel's `do_filp_open` returns.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use crypto_tracer_common::record::kind;

use crate::{
    fixed::offset,
    kernel::{Typed, read},
    ringbuf, task,
};

/// `__FMODE_EXEC`: execve opens its executable.
const EXEC: u32 = 0x20;
/// Pointers from this value on are error numbers.
const FIRST_ERROR: u64 = -4095_i64 as u64;

/// `struct file *do_filp_open(int dfd, struct filename *pathname, const struct open_flags *op)`
#[fexit(function = "do_filp_open")]
pub(crate) fn do_filp_open(ctx: FExitContext) -> i32 {
    unsafe { opened(ctx.arg(3), ctx.arg::<*const u8>(2) as u64) };
    0
}

/// Handles the result of an open with the `struct open_flags` at `op`.
#[inline(always)]
pub(crate) unsafe fn opened(file: *const u8, op: u64) {
    unsafe {
        let number = file as u64;
        if number == 0 || number >= FIRST_ERROR || !task::may_be_wanted() {
            return;
        }
        let flags: u32 = read(op, offset!(open_flags_flag));
        if flags & EXEC == 0 {
            ringbuf::file::<Typed>(kind::FILE_OPEN, number, flags);
        }
    }
}
