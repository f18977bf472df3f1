//! Opens through io_uring, which do not end with the return of an open system call.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use crypto_tracer_common::{fixed::ABSENT, loss, record::kind};

use crate::{
    fixed::offset,
    kernel::{Probed, file_of, read},
    maps::count_loss,
    ringbuf, task,
};

const OPENAT: u8 = 18;
const OPENAT2: u8 = 28;

#[btf_tracepoint(function = "io_uring_complete")]
pub(crate) fn io_uring_complete(ctx: BtfTracePointContext) -> i32 {
    unsafe { try_complete(ctx.arg::<*const u8>(1) as u64) };
    0
}

#[inline(always)]
unsafe fn try_complete(request: u64) {
    unsafe {
        let opcode: u8 = read(request, offset!(kiocb_opcode));
        if opcode != OPENAT && opcode != OPENAT2 {
            return;
        }
        let result: i32 = read(request, offset!(kiocb_res));
        // A file in a slot of the ring (a direct descriptor) has no file descriptor.
        let slot: u32 = read(request, offset!(kiocb_file_slot));
        if result < 0 || slot != 0 || !task::may_be_wanted() {
            return;
        }
        let file = file_of(result as u32);
        if file == 0 {
            count_loss(loss::FILE_GONE);
            return;
        }
        let flags = if offset!(kiocb_how_flags) == ABSENT {
            read(file, offset!(file_flags))
        } else {
            read::<u64>(request, offset!(kiocb_how_flags)) as u32
        };
        ringbuf::file::<Probed>(kind::FILE_OPEN, file, flags);
    }
}
