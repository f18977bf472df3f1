//! Builds the path of a file: walks up the dentries and mounts to the process's root, and writes into the record.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::record::{
    HEADER, LONG, LONGEST_PATH, MEDIUM, PATH_MAX, SHORT, SMALL, flag,
};

use crate::{
    fixed::offset,
    kernel::{Dentry, Path, at_most, current, load, masked, read},
    maps::control,
};

/// Maximum number of steps: more than the components of a path of [`PATH_MAX`] bytes, with room for mounts.
const STEPS: u32 = 4096;

/// A length that no path in a record has. The bound of [`Walk::need`]: otherwise the verifier would follow its growth step by
/// step.
const TOO_LONG: u64 = PATH_MAX as u64 + 1;

/// The state of a walk, on the program's stack.
#[repr(C)]
struct Walk {
    dentry: u64,
    /// The `struct mount`.
    mount: u64,
    /// 0: the walk stays in the file system of the file.
    mount_root: u64,
    root_dentry: u64,
    root_mount: u64,
    record: *mut u8,
    /// Length of the path so far, in bytes.
    len: u64,
    /// If the path does not fit: its length so far.
    need: u64,
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
        let copied = match SIZE {
            SMALL => {
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
            }
            SHORT => {
                const { assert!(SHORT - HEADER == 384) };
                if at < 128 {
                    put(walk, masked::<0x7f>(at), masked::<0xff>(len), name)
                } else if at < 256 && len < 128 {
                    put(walk, 128 + (masked::<0x7f>(at)), masked::<0x7f>(len), name)
                } else if (256..320).contains(&at) && len < 64 {
                    put(walk, 256 + (masked::<0x3f>(at)), masked::<0x3f>(len), name)
                } else {
                    return flag::PATH_TRUNCATED;
                }
            }
            MEDIUM => {
                const { assert!(MEDIUM - HEADER == 896) };
                if at < 512 {
                    put(walk, masked::<0x1ff>(at), masked::<0xff>(len), name)
                } else if at < 768 && len < 128 {
                    put(walk, 512 + (masked::<0xff>(at)), masked::<0x7f>(len), name)
                } else {
                    return flag::PATH_TRUNCATED;
                }
            }
            LONG => {
                const { assert!(LONG - HEADER == 1920) };
                if at < 1024 {
                    put(walk, masked::<0x3ff>(at), masked::<0xff>(len), name)
                } else if at < 1536 {
                    put(walk, 1024 + (masked::<0x1ff>(at)), masked::<0xff>(len), name)
                } else if at < 1792 && len < 128 {
                    put(walk, 1536 + (masked::<0xff>(at)), masked::<0x7f>(len), name)
                } else {
                    return flag::PATH_TRUNCATED;
                }
            }
            _ => {
                const { assert!(SIZE < LONGEST_PATH || SIZE - HEADER >= PATH_MAX + 256) };
                if at + len + 1 > PATH_MAX as u64 {
                    return flag::PATH_TRUNCATED;
                }
                put(walk, masked::<0xfff>(at), masked::<0xff>(len), name)
            }
        };
        if copied { 0 } else { flag::PATH_UNREADABLE }
    }
}

/// The length of a path that surely fits into a record of `size` bytes, however long its names are.
pub(crate) const fn capacity(size: usize) -> u64 {
    match size {
        SMALL => 64,
        SHORT => 256,
        MEDIUM => 640,
        LONG => 1664,
        _ => PATH_MAX as u64,
    }
}

/// Goes one step up; returns true if the walk has ended.
#[inline(always)]
unsafe fn step<const SIZE: usize>(walk: &mut Walk) -> bool {
    unsafe {
        let by_own_name = walk.mount_root == 0;
        if walk.dentry == walk.root_dentry && (walk.mount == walk.root_mount || by_own_name) {
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
        let is_top = dentry.parent == walk.dentry || dentry.parent == 0;
        if is_top && by_own_name {
            walk.flags |= flag::PATH_UNREACHABLE as u64;
            return true;
        }
        if SIZE == SMALL && walk.need != 0 {
            // The record is too small already: only the length of the path is of interest.
            walk.need = at_most::<TOO_LONG>(walk.need + len + 1);
        } else {
            let problem = append::<SIZE>(walk, len, dentry.name);
            if SIZE == SMALL && problem == flag::PATH_TRUNCATED {
                walk.need = at_most::<TOO_LONG>(walk.len + len + 1);
            } else if problem != 0 {
                walk.flags |= problem as u64;
                return true;
            }
        }
        if is_top {
            walk.flags |= flag::PATH_PSEUDO as u64;
            return true;
        }
        walk.dentry = dentry.parent;
        SIZE == SMALL && walk.need == TOO_LONG
    }
}

macro_rules! steps {
    ($($name:ident: $size:expr,)*) => { $(
        #[inline(never)]
        unsafe extern "C" fn $name(_: u64, walk: *mut Walk) -> i64 {
            unsafe { step::<{ $size }>(&mut *walk) as i64 }
        }
    )* };
}

steps! {
    step_small: SMALL,
    step_short: SHORT,
    step_medium: MEDIUM,
    step_long: LONG,
    step_longest: LONGEST_PATH,
}

/// The result of a walk.
#[derive(Clone, Copy)]
pub(crate) struct Walked {
    /// Length of the path in the record, in bytes.
    pub(crate) len: u64,
    /// If the path does not fit into a record of [`SMALL`] bytes: its length, or more than [`PATH_MAX`]. Otherwise 0.
    pub(crate) need: u64,
    /// Bits of [`flag`].
    pub(crate) flags: u16,
}

/// Writes the path after the header of a record of `SIZE` bytes. `by_own_name`: the path in the file's own file system.
/// It has no beginning if the process's root is in another one.
#[inline(always)]
pub(crate) unsafe fn path<const SIZE: usize>(
    record: *mut u8,
    path: Path,
    by_own_name: bool,
) -> Walked {
    unsafe {
        let fs: *const u8 = load(current(), offset!(task_fs));
        let mnt = offset!(mount_mnt) as u64;
        let root_mnt: u64 = load(fs, offset!(fs_root) + offset!(path_mnt));
        let zero = control!(zero) as u64;
        let mut walk = Walk {
            dentry: path.dentry,
            mount: path.mnt - mnt,
            mount_root: if by_own_name { zero } else { read(path.mnt, offset!(vfsmount_root)) },
            root_dentry: load(fs, offset!(fs_root) + offset!(path_dentry)),
            root_mount: root_mnt - mnt,
            record,
            // Up to 6.6, the verifier analyses only the first step of the loop. If these values were constants, it
            // would remove code that the first step cannot reach.
            len: zero,
            need: zero,
            flags: zero,
        };
        let step = match SIZE {
            SMALL => step_small as *const (),
            SHORT => step_short as *const (),
            MEDIUM => step_medium as *const (),
            LONG => step_long as *const (),
            _ => step_longest as *const (),
        };
        let steps = helper::bpf_loop(STEPS, step as *mut c_void, (&raw mut walk).cast(), 0);
        if steps >= STEPS as i64 {
            walk.flags |= flag::PATH_TRUNCATED as u64;
        }
        Walked { len: walk.len, need: walk.need, flags: walk.flags as u16 }
    }
}
