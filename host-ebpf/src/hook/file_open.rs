//! Opens, captured by the security hook that every open passes. After the hook, only O_DIRECT, a lease, the driver or
//! an integrity policy can still refuse the open.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use crypto_tracer_common::record::kind;

use crate::{
    fixed::offset,
    kernel::{Typed, load, read},
    ringbuf, task,
};

/// `__FMODE_EXEC`: execve opens its executable.
const EXEC: u32 = 0x20;
/// `FMODE_NONOTIFY` in the flags: overlayfs opens its inner file (kernels up to 6.13).
const NO_NOTIFY: u32 = 0x400_0000;
/// `MNT_NS_INTERNAL`, `ERR_PTR(-EINVAL)`: a private mount, such as those through which overlayfs accesses its layers.
const INTERNAL: i64 = -22;
/// `SB_KERNMOUNT`: a file system internal to the kernel, such as that of memfd; it has no other mounts.
const KERNEL_MOUNT: u64 = 1 << 22;

#[lsm(hook = "file_open")]
pub(crate) fn file_open(ctx: LsmContext) -> i32 {
    // Another BPF program has refused the open.
    let result: i32 = ctx.arg(1);
    if result == 0 {
        unsafe { try_open(ctx.arg(0)) };
    }
    result
}

#[inline(always)]
unsafe fn try_open(file: *const u8) {
    unsafe {
        let flags: u32 = load(file, offset!(file_flags));
        if flags & (EXEC | NO_NOTIFY) != 0 || !task::may_be_wanted() {
            return;
        }
        let mnt: u64 = load(file, offset!(file_path) + offset!(path_mnt));
        if read::<i64>(mnt - offset!(mount_mnt) as u64, offset!(mount_ns)) == INTERNAL {
            let dentry: *const u8 = load(file, offset!(file_path) + offset!(path_dentry));
            let inode: *const u8 = load(dentry, offset!(dentry_inode));
            let sb: *const u8 = load(inode, offset!(inode_sb));
            if load::<u64>(sb, offset!(sb_flags)) & KERNEL_MOUNT == 0 {
                return;
            }
        }
        ringbuf::file::<Typed>(kind::FILE_OPEN, file as u64, flags);
    }
}
