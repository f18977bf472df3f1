//! Builds the path of a file: walks up the dentries and mounts to the process's root, and writes into the record.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::record::{HEADER, LARGE, MEDIUM, PATH_MAX, SMALL, flag};

use crate::{
    fixed::offset,
    kernel::{Dentry, Path, current, load, masked, read},
    maps::control,
};

/// Maximum number of steps: more than the components of a path of [`PATH_MAX`] bytes, with room for mounts.
const STEPS: u32 = 4096;

/// The state of a walk, on the program's stack.
#[repr(C)]
struct Walk {
    dentry: u64,
    /// The `struct mount`.
    mount: u64,
    mount_root: u64,
    root_dentry: u64,
    root_mount: u64,
    record: *mut u8,
    /// Length of the path so far, in bytes.
    len: u64,
    flags: u64,
}

/// Appends a name of `len` bytes and a NUL to the path.
///
/// `at` and `len` must have bounds that the verifier can add up: it does not know that one depends on the other.
#[inline(always)]
unsafe fn put(walk: &mut Walk, at: u64, len: u64, name: u64) -> bool {
    unsafe {
        let to = walk.record.add(HEADER + at as usize);
        let result = helper::bpf_probe_read_kernel(to.cast(), len as u32, name as *const c_void);
        *walk.record.add(HEADER + (at + len) as usize) = 0;
        walk.len = at + len + 1;
        result == 0
    }
}

/// Appends one name to the path in a record of `SIZE` bytes; returns [`flag::PATH_TRUNCATED`] if the name does not fit.
///
/// In each case, the largest position and the largest length together fit into the record.
#[inline(always)]
unsafe fn append<const SIZE: usize>(walk: &mut Walk, len: u64, name: u64) -> u16 {
    unsafe {
        let at = walk.len;
        let copied = if SIZE == SMALL {
            const { assert!(SMALL - HEADER == 128) };
            if at < 64 && len < 64 {
                put(walk, masked::<0x3f>(at), masked::<0x3f>(len), name)
            } else if (64..96).contains(&at) && len < 32 {
                put(walk, 64 + (masked::<0x1f>(at)), masked::<0x1f>(len), name)
            } else if (96..112).contains(&at) && len < 16 {
                put(walk, 96 + (masked::<0xf>(at)), masked::<0xf>(len), name)
            } else {
                return flag::PATH_TRUNCATED;
            }
        } else if SIZE == MEDIUM {
            const { assert!(MEDIUM - HEADER == 896) };
            if at < 512 {
                put(walk, masked::<0x1ff>(at), masked::<0xff>(len), name)
            } else if at < 768 && len < 128 {
                put(walk, 512 + (masked::<0xff>(at)), masked::<0x7f>(len), name)
            } else {
                return flag::PATH_TRUNCATED;
            }
        } else {
            const { assert!(LARGE - HEADER >= PATH_MAX + 256) };
            if at + len + 1 > PATH_MAX as u64 {
                return flag::PATH_TRUNCATED;
            }
            put(walk, masked::<0xfff>(at), masked::<0xff>(len), name)
        };
        if copied { 0 } else { flag::PATH_UNREADABLE }
    }
}

/// Goes one step up; returns true if the walk has ended.
#[inline(always)]
unsafe fn step<const SIZE: usize>(walk: &mut Walk) -> bool {
    unsafe {
        if walk.dentry == walk.root_dentry && walk.mount == walk.root_mount {
            return true;
        }
        if walk.dentry == walk.mount_root {
            let up: u64 = read(walk.mount, offset!(mount_parent));
            if up == walk.mount || up == 0 {
                walk.flags |= flag::PATH_UNREACHABLE as u64;
                return true;
            }
            walk.dentry = read(walk.mount, offset!(mount_mountpoint));
            walk.mount = up;
            walk.mount_root = read(up, offset!(mount_mnt) + offset!(vfsmount_root));
            return false;
        }
        let (dentry, readable) = Dentry::read(walk.dentry);
        let len = dentry.name_len();
        if !readable || len > 255 {
            walk.flags |= flag::PATH_UNREADABLE as u64;
            return true;
        }
        let problem = append::<SIZE>(walk, len, dentry.name);
        if problem != 0 {
            walk.flags |= problem as u64;
            return true;
        }
        if dentry.parent == walk.dentry || dentry.parent == 0 {
            walk.flags |= flag::PATH_PSEUDO as u64;
            return true;
        }
        walk.dentry = dentry.parent;
        false
    }
}

#[inline(never)]
unsafe extern "C" fn step_small(_: u64, walk: *mut Walk) -> i64 {
    unsafe { step::<SMALL>(&mut *walk) as i64 }
}

#[inline(never)]
unsafe extern "C" fn step_medium(_: u64, walk: *mut Walk) -> i64 {
    unsafe { step::<MEDIUM>(&mut *walk) as i64 }
}

#[inline(never)]
unsafe extern "C" fn step_large(_: u64, walk: *mut Walk) -> i64 {
    unsafe { step::<LARGE>(&mut *walk) as i64 }
}

/// Writes the path after the header of a record of `SIZE` bytes; returns its length in bytes, and bits of [`flag`].
#[inline(always)]
pub(crate) unsafe fn path<const SIZE: usize>(record: *mut u8, path: Path) -> (u64, u16) {
    unsafe {
        let fs: *const u8 = load(current(), offset!(task_fs));
        let mnt = offset!(mount_mnt) as u64;
        let root_mnt: u64 = load(fs, offset!(fs_root) + offset!(path_mnt));
        let zero = control!(zero) as u64;
        let mut walk = Walk {
            dentry: path.dentry,
            mount: path.mnt - mnt,
            mount_root: read(path.mnt, offset!(vfsmount_root)),
            root_dentry: load(fs, offset!(fs_root) + offset!(path_dentry)),
            root_mount: root_mnt - mnt,
            record,
            // Up to 6.6, the verifier analyses only the first step of the loop. If these values were constants, it
            // would remove code that the first step cannot reach.
            len: zero,
            flags: zero,
        };
        let step = match SIZE {
            SMALL => step_small as *const (),
            MEDIUM => step_medium as *const (),
            _ => step_large as *const (),
        };
        let steps = helper::bpf_loop(STEPS, step as *mut c_void, (&raw mut walk).cast(), 0);
        if steps >= STEPS as i64 {
            walk.flags |= flag::PATH_TRUNCATED as u64;
        }
        (walk.len, walk.flags as u16)
    }
}
