//! Opens and library loads, captured when their system call returns. The program runs at the end of every system call.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use crypto_tracer_common::{fixed::kinds, loss, record::kind};

use crate::{
    fixed::{offset, setting},
    kernel::{current, file_of, load, read_user},
    maps::count_loss,
    ringbuf, task,
};

/// `TS_COMPAT`: this is a 32-bit system call.
const COMPAT: u32 = 2;
/// The bit that marks a system call of the x32 ABI. The calls used here have the x86-64 numbers.
const X32: u32 = 0x4000_0000;
/// The flags of creat(2): `O_CREAT | O_WRONLY | O_TRUNC`.
const CREAT_FLAGS: u64 = 0o1101;
const PROT_EXEC: u64 = 4;
const MAP_ANONYMOUS: u64 = 0x20;
const MAX_ERRNO: i64 = 4095;

/// The arguments of a relevant system call.
enum OpenCall {
    Open { flags: u64 },
    Map { prot: u64, flags: u64, fd: u64 },
}

#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    unsafe { try_sys_exit(ctx.arg(0), ctx.arg(1)) };
    0
}

#[inline(always)]
unsafe fn try_sys_exit(regs: *const u8, result: i64) {
    unsafe {
        let number = load::<u64>(regs, offset!(regs_orig_ax)) as u32;
        let compat = load::<u32>(current(), offset!(task_thread_info_status)) & COMPAT != 0;
        let call = if compat { call_32(regs, number) } else { call_64(regs, number & !X32) };
        match call {
            Some(OpenCall::Open { flags }) if setting!(kinds) & kinds::OPEN != 0 => {
                if result >= 0 && task::may_be_wanted() {
                    opened(result as u32, flags as u32);
                }
            }
            Some(OpenCall::Map { prot, flags, fd }) if setting!(kinds) & kinds::LOAD != 0 => {
                let failed = (-MAX_ERRNO..0).contains(&result);
                let of_file = flags & MAP_ANONYMOUS == 0;
                if prot & PROT_EXEC != 0 && of_file && !failed && task::may_be_wanted() {
                    ringbuf::file(kind::LIB_LOAD, file_of(fd as u32), 0);
                }
            }
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn opened(fd: u32, flags: u32) {
    unsafe {
        let file = file_of(fd);
        if file == 0 {
            // Another thread closed the descriptor before the system call returned.
            count_loss(loss::FILE_GONE);
        } else {
            ringbuf::file(kind::FILE_OPEN, file, flags);
        }
    }
}

/// System calls of x86-64, with arguments in di, si, dx, r10, r8.
#[inline(always)]
unsafe fn call_64(regs: *const u8, number: u32) -> Option<OpenCall> {
    unsafe {
        Some(match number {
            2 => OpenCall::Open { flags: load(regs, offset!(regs_si)) },
            85 => OpenCall::Open { flags: CREAT_FLAGS },
            257 | 304 => OpenCall::Open { flags: load(regs, offset!(regs_dx)) },
            // struct open_how begins with its flags.
            437 => OpenCall::Open { flags: read_user(load(regs, offset!(regs_dx))) },
            9 => OpenCall::Map {
                prot: load(regs, offset!(regs_dx)),
                flags: load(regs, offset!(regs_r10)),
                fd: load(regs, offset!(regs_r8)),
            },
            _ => return None,
        })
    }
}

/// System calls of i386, with arguments in bx, cx, dx, si, di.
#[inline(always)]
unsafe fn call_32(regs: *const u8, number: u32) -> Option<OpenCall> {
    unsafe {
        Some(match number {
            5 => OpenCall::Open { flags: load(regs, offset!(regs_cx)) },
            8 => OpenCall::Open { flags: CREAT_FLAGS },
            295 | 342 => OpenCall::Open { flags: load(regs, offset!(regs_dx)) },
            437 => OpenCall::Open {
                flags: read_user(load::<u64>(regs, offset!(regs_dx)) & 0xffff_ffff),
            },
            192 => OpenCall::Map {
                prot: load(regs, offset!(regs_dx)),
                flags: load(regs, offset!(regs_si)),
                fd: load(regs, offset!(regs_di)),
            },
            // old_mmap reads its arguments from memory: address, length, prot, flags, fd, offset.
            90 => {
                let at = load::<u64>(regs, offset!(regs_bx)) & 0xffff_ffff;
                let [_, prot_low, _] = read_user::<[u64; 3]>(at);
                let fd = read_user::<u32>(at + 16);
                OpenCall::Map { prot: prot_low & 0xffff_ffff, flags: prot_low >> 32, fd: fd as u64 }
            }
            _ => return None,
        })
    }
}
