//! Builds the path of a file: walks up the dentries and mounts to the process's root, and writes into the record.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::record::{
    HEADER, LONG, LONGEST_PATH, MEDIUM, PATH_MAX, SHORT, SMALL, flag,
};

use crate::{
    fixed::offset,
    kernel::{Dentry, Path, current, load, masked, read},
    maps::control,
};

/// Maximum number of steps: more than the components of a path of [`PATH_MAX`] bytes, with room for mounts.
const STEPS: u32 = 4096;

/// As the size of a record: the walk only measures the path.
const MEASURE: usize = 0;

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
    flags: u64,
}

impl Walk {
    /// Adds bits of [`flag`]; returns true, because the walk ends.
    #[inline(always)]
    unsafe fn end(&mut self, flags: u16) -> bool {
        unsafe { set(&raw mut self.flags, self.flags | flags as u64) };
        true
    }
}

/// Writes a field in two halves. The verifier then knows nothing about the value, so the state before the first step covers
/// those after each step, and it analyses the step once. It would follow values that it knows, and pairs of equal values,
/// from step to step. 6.12 tells values in halves from whole ones, so every write has halves. Up to 6.6, it analyses only
/// the first step, and would not know the others.
#[inline(always)]
unsafe fn set(field: *mut u64, value: u64) {
    unsafe {
        let halves = field.cast::<u32>();
        ptr::write_volatile(halves, value as u32);
        ptr::write_volatile(halves.add(1), (value >> 32) as u32);
    }
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
        set(&raw mut walk.len, at + len + 1);
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
        if walk.dentry == walk.root_dentry && walk.mount == walk.root_mount {
            return true;
        }
        if walk.dentry == walk.mount_root {
            let up: u64 = read(walk.mount, offset!(mount_parent));
            if up == walk.mount || up == 0 {
                return walk.end(flag::PATH_UNREACHABLE);
            }
            set(&raw mut walk.dentry, read(walk.mount, offset!(mount_mountpoint)));
            set(&raw mut walk.mount, up);
            let root = read(up, offset!(mount_mnt) + offset!(vfsmount_root));
            set(&raw mut walk.mount_root, root);
            return false;
        }
        let (dentry, readable) = Dentry::read(walk.dentry);
        let len = dentry.name_len();
        if !readable || len > 255 {
            return walk.end(flag::PATH_UNREADABLE);
        }
        let is_top = dentry.parent == walk.dentry;
        if is_top && walk.mount_root == 0 {
            return walk.end(flag::PATH_UNREACHABLE);
        }
        if SIZE == MEASURE {
            set(&raw mut walk.len, walk.len + len + 1);
        } else {
            let problem = append::<SIZE>(walk, len, dentry.name);
            if problem != 0 {
                return walk.end(problem);
            }
        }
        if is_top {
            return walk.end(flag::PATH_PSEUDO);
        }
        set(&raw mut walk.dentry, dentry.parent);
        SIZE == MEASURE && walk.len > PATH_MAX as u64
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
    step_measure: MEASURE,
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
    /// Bits of [`flag`].
    pub(crate) flags: u16,
}

/// Writes the path after the header of a record of `SIZE` bytes. `path`: untyped. `by_own_name`: the path in the file's own
/// file system. It has no beginning if the process's root is in another one.
#[inline(always)]
pub(crate) unsafe fn path<const SIZE: usize>(
    record: *mut u8,
    path: Path,
    by_own_name: bool,
) -> Walked {
    let walk = unsafe { walk::<SIZE>(record, path, by_own_name) };
    Walked { len: walk.len, flags: walk.flags as u16 }
}

/// Returns the length of the path in bytes, or more than [`PATH_MAX`]. Not part of [`path`]: the verifier would
/// analyse each combination of both.
#[inline(always)]
pub(crate) unsafe fn length(at: Path, by_own_name: bool) -> u64 {
    unsafe { measured(at.mnt, at.dentry, by_own_name as u64) }
}

// Exported, so that the verifier analyses it once and not for each call. Rarely called.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) unsafe extern "C" fn measured(mnt: u64, dentry: u64, by_own_name: u64) -> u64 {
    unsafe { walk::<MEASURE>(ptr::null_mut(), Path { mnt, dentry }, by_own_name != 0).len }
}

#[inline(always)]
unsafe fn walk<const SIZE: usize>(record: *mut u8, path: Path, by_own_name: bool) -> Walk {
    unsafe {
        let fs: *const u8 = load(current(), offset!(task_fs));
        // Not typed, so that the verifier allows all arithmetic.
        let root: Path = read(fs as u64, offset!(fs_root));
        let mnt = offset!(mount_mnt) as u64;
        // By its own name, mounts do not matter: the path ends at the process's root, or at that of the file system.
        // Both halves, because LLVM knows those of a constant.
        let zero = control!(zero) as u64 | (control!(zero) as u64) << 32;
        let (mount, mount_root, root_mount) = if by_own_name {
            (zero, zero, zero)
        } else {
            (path.mnt - mnt, read(path.mnt, offset!(vfsmount_root)), root.mnt - mnt)
        };
        let mut walk = MaybeUninit::<Walk>::uninit();
        let at = walk.as_mut_ptr();
        set(&raw mut (*at).dentry, path.dentry);
        set(&raw mut (*at).mount, mount);
        set(&raw mut (*at).mount_root, mount_root);
        set(&raw mut (*at).root_dentry, root.dentry);
        set(&raw mut (*at).root_mount, root_mount);
        (*at).record = record;
        set(&raw mut (*at).len, zero);
        set(&raw mut (*at).flags, zero);
        let step = match SIZE {
            MEASURE => step_measure as *const (),
            SMALL => step_small as *const (),
            SHORT => step_short as *const (),
            MEDIUM => step_medium as *const (),
            LONG => step_long as *const (),
            _ => step_longest as *const (),
        };
        let steps = helper::bpf_loop(STEPS, step as *mut c_void, at.cast(), 0);
        let mut walk = walk.assume_init();
        if steps >= STEPS as i64 {
            walk.flags |= flag::PATH_TRUNCATED as u64;
        }
        walk
    }
}
