//! Opens and library loads, captured when their system call returns. The program runs at the end of every system call.
//!
//! By then, another thread may have changed every argument that was in memory. Therefore the result decides: the file of
//! the new descriptor, and the new mapping.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated as helper, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use crypto_tracer_common::{fixed::kinds, loss, record::kind};

use crate::{
    fixed::{offset, setting},
    kernel::{Access, Probed, current, file_of, load, own, read, read_user},
    maps::count_loss,
    ringbuf, task,
};

/// `TS_COMPAT`: this is a 32-bit system call.
const COMPAT: u32 = 2;
/// The bit that marks a system call of the x32 ABI. The calls used here have the x86-64 numbers.
const X32: u32 = 0x4000_0000;
/// The flags of creat(2): `O_CREAT | O_WRONLY | O_TRUNC`.
const CREAT_FLAGS: u64 = 0o1101;
const O_TRUNC: u32 = 0o1000;
const MAP_ANONYMOUS: u64 = 0x20;
const MAX_ERRNO: i64 = 4095;
/// Flag of a mapping.
const VM_EXEC: u64 = 4;

/// The arguments of a relevant system call.
enum OpenCall {
    Open {
        flags: u64,
    },
    /// The flags are in memory, which the process can change.
    OpenByMemory {
        flags: u64,
    },
    Map {
        prot: u64,
        flags: u64,
        fd: u64,
    },
    /// The arguments are in memory.
    MapByMemory,
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
        let Some(call) = call else { return };
        match call {
            OpenCall::Open { .. } | OpenCall::OpenByMemory { .. } => {
                if setting!(kinds) & kinds::OPEN != 0 && result >= 0 && task::may_be_wanted() {
                    opened(result as u32, call);
                }
            }
            OpenCall::Map { .. } | OpenCall::MapByMemory => {
                let failed = (-MAX_ERRNO..0).contains(&result);
                if setting!(kinds) & kinds::LOAD != 0 && !failed && task::may_be_wanted() {
                    mapped(result as u64, call);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn opened(fd: u32, call: OpenCall) {
    unsafe {
        let file = file_of(fd);
        if file == 0 {
            // Another thread closed the descriptor before the system call returned.
            count_loss(loss::FILE_GONE);
            return;
        }
        let flags = match call {
            OpenCall::Open { flags } => flags as u32,
            OpenCall::OpenByMemory { flags } => plausible(file, flags as u32),
            OpenCall::Map { .. } | OpenCall::MapByMemory => 0,
        };
        ringbuf::file::<Probed>(kind::FILE_OPEN, file, flags);
    }
}

/// The flags without `O_TRUNC` unless the file is empty: for a truncated file, the host does not read the content.
#[inline(always)]
unsafe fn plausible(file: u64, flags: u32) -> u32 {
    unsafe {
        if flags & O_TRUNC == 0 {
            return flags;
        }
        let (dentry, _) = Probed::dentry(Probed::path(file).dentry);
        let size: u64 = Probed::get(dentry.inode, offset!(inode_size));
        if size == 0 { flags } else { flags & !O_TRUNC }
    }
}

/// Reports the file of the mapping at this address.
#[inline(always)]
unsafe fn mapped(address: u64, call: OpenCall) {
    unsafe {
        if let OpenCall::Map { prot, flags, .. } = call
            && (flags & MAP_ANONYMOUS != 0 || !task::makes_executable(prot))
        {
            return;
        }
        // On overlayfs, the mapping has the file of a layer, and the descriptor has the file that the process named.
        let mut file = match call {
            OpenCall::Map { prot, fd, .. } if prot & task::PROT_EXEC != 0 => file_of(fd as u32),
            _ => 0,
        };
        if own(&raw const file) == 0 {
            // The arguments are in memory, or another thread has closed the descriptor.
            let found = helper::bpf_find_vma(
                current().cast_mut().cast(),
                address,
                on_mapping as *const () as *mut c_void,
                (&raw mut file).cast(),
                0,
            );
            // Another thread has replaced the mapping, or it holds the lock.
            let is_executable = match call {
                OpenCall::Map { prot, .. } => prot & task::PROT_EXEC != 0,
                _ => found != 0,
            };
            if own(&raw const file) == 0 && !is_executable {
                return;
            }
        }
        match own(&raw const file) {
            0 => count_loss(loss::FILE_GONE),
            file => ringbuf::file::<Probed>(kind::LIB_LOAD, file, 0),
        }
    }
}

/// Callback of `bpf_find_vma`. Returns the file of an executable mapping. It is reported after the call: in the callback,
/// the verifier would analyse the walk of the path in two nested loops.
#[inline(never)]
unsafe extern "C" fn on_mapping(_: *mut c_void, vma: *const u8, file: *mut u64) -> i64 {
    unsafe {
        let flags: u64 = load(vma, offset!(vma_flags));
        if flags & VM_EXEC != 0 {
            // Without its type, so that the function that reports it accepts it.
            *file = read(vma as u64, offset!(vma_file));
        }
        0
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
            437 => OpenCall::OpenByMemory { flags: read_user(load(regs, offset!(regs_dx))) },
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
            437 => OpenCall::OpenByMemory {
                flags: read_user(load::<u64>(regs, offset!(regs_dx)) & 0xffff_ffff),
            },
            192 => OpenCall::Map {
                prot: load(regs, offset!(regs_dx)),
                flags: load(regs, offset!(regs_si)),
                fd: load(regs, offset!(regs_di)),
            },
            // old_mmap reads address, length, prot, flags, fd and offset from memory.
            90 => OpenCall::MapByMemory,
            _ => return None,
        })
    }
}
