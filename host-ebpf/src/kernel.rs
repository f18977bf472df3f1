//! Reads kernel memory. The host verifies the layouts that this file assumes.

use core::{arch::asm, ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated as helper;

use crate::fixed::offset;

/// Offsets of the members of `struct qstr`.
const QSTR_LEN: u32 = 4;
const QSTR_NAME: u32 = 8;

/// Reads through a pointer whose type the verifier knows, without a helper call. A null pointer reads as zero.
#[inline(always)]
pub(crate) unsafe fn load<T: Copy>(base: *const u8, offset: u32) -> T {
    unsafe { ptr::read_volatile(base.add(offset as usize).cast()) }
}

/// `value & MASK`, in assembly: rustc would remove a mask that it knows to be redundant, but the verifier needs the mask
/// to know the bound.
#[inline(always)]
pub(crate) fn masked<const MASK: u64>(mut value: u64) -> u64 {
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK) };
    value
}

/// The minimum of `value` and `MOST`, in assembly for the same reason as [`masked`].
#[inline(always)]
pub(crate) fn at_most<const MOST: u64>(mut value: u64) -> u64 {
    unsafe { asm!("if {0} <= {1} goto +1", "{0} = {1}", inout(reg) value, const MOST) };
    value
}

/// The words in memory. Volatile: otherwise LLVM clears words in a loop over bytes.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "the loop ends at the length of the array")]
pub(crate) fn words<const COUNT: usize>(words: [u64; COUNT]) -> [u64; COUNT] {
    let mut copy = MaybeUninit::<[u64; COUNT]>::uninit();
    let to = copy.as_mut_ptr().cast::<u64>();
    let mut at = 0;
    while at < COUNT {
        unsafe { ptr::write_volatile(to.add(at), words[at]) };
        at += 1;
    }
    unsafe { copy.assume_init() }
}

/// Reads the programs' own memory. Volatile, because the host changes values that rustc would take for constants.
#[inline(always)]
pub(crate) fn own<T: Copy>(at: *const T) -> T {
    unsafe { ptr::read_volatile(at) }
}

/// Reads any kernel address; returns zeros if the read fails.
#[inline(always)]
pub(crate) unsafe fn read<T: Copy>(base: u64, offset: u32) -> T {
    unsafe { try_read(base, offset).0 }
}

/// Reads any kernel address, and returns whether the read succeeded.
#[inline(always)]
pub(crate) unsafe fn try_read<T: Copy>(base: u64, offset: u32) -> (T, bool) {
    unsafe {
        let mut value = MaybeUninit::<T>::uninit();
        let from = base.wrapping_add(offset as u64) as *const c_void;
        let result =
            helper::bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
        (value.assume_init(), result == 0)
    }
}

/// Reads from the process's memory; returns zeros if the read fails.
#[inline(always)]
pub(crate) unsafe fn read_user<T: Copy>(address: u64) -> T {
    unsafe {
        let mut value = MaybeUninit::<T>::uninit();
        let from = address as *const c_void;
        helper::bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
        value.assume_init()
    }
}

/// Returns the current task, as a pointer whose type the verifier knows.
#[inline(always)]
pub(crate) fn current() -> *const u8 {
    unsafe { helper::bpf_get_current_task_btf() as *const u8 }
}

/// A way to read kernel structures.
pub(crate) trait Access {
    /// Reads a field of the structure at `base`.
    unsafe fn get<T: Copy>(base: u64, offset: u32) -> T;
    /// Reads a dentry, and returns whether that succeeded.
    unsafe fn dentry(dentry: u64) -> (Dentry, bool);
    /// Reads the `f_path` of a file.
    unsafe fn path(file: u64) -> Path;
    /// Returns the path as numbers, with which the verifier allows all arithmetic.
    unsafe fn untyped(path: Path) -> Path;
}

/// Reads through pointers whose types the verifier knows: a load for each field.
pub(crate) struct Typed;

/// Reads any address: a helper call for each read.
pub(crate) struct Probed;

impl Access for Typed {
    #[inline(always)]
    unsafe fn get<T: Copy>(base: u64, offset: u32) -> T {
        unsafe { load(base as *const u8, offset) }
    }

    #[inline(always)]
    unsafe fn dentry(dentry: u64) -> (Dentry, bool) {
        unsafe {
            // 6.1 rejects a load of eight bytes over hash and length. The host has verified the order.
            let len: u32 = Self::get(dentry, offset!(dentry_name) + QSTR_LEN);
            let read = Dentry {
                hash_pprev: Self::get(dentry, offset!(dentry_hash_pprev)),
                parent: Self::get(dentry, offset!(dentry_parent)),
                hash_len: (len as u64) << 32,
                name: Self::get(dentry, offset!(dentry_name) + QSTR_NAME),
                inode: Self::get(dentry, offset!(dentry_inode)),
            };
            (read, true)
        }
    }

    #[inline(always)]
    unsafe fn path(file: u64) -> Path {
        unsafe {
            Path {
                mnt: Self::get(file, offset!(file_path) + offset!(path_mnt)),
                dentry: Self::get(file, offset!(file_path) + offset!(path_dentry)),
            }
        }
    }

    #[inline(always)]
    unsafe fn untyped(path: Path) -> Path {
        unsafe { read((&raw const path) as u64, 0) }
    }
}

impl Access for Probed {
    #[inline(always)]
    unsafe fn get<T: Copy>(base: u64, offset: u32) -> T {
        unsafe { read(base, offset) }
    }

    #[inline(always)]
    unsafe fn dentry(dentry: u64) -> (Dentry, bool) {
        unsafe { Dentry::read(dentry) }
    }

    #[inline(always)]
    unsafe fn path(file: u64) -> Path {
        unsafe { read(file, offset!(file_path)) }
    }

    #[inline(always)]
    unsafe fn untyped(path: Path) -> Path {
        path
    }
}

/// `struct path`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Path {
    pub(crate) mnt: u64,
    pub(crate) dentry: u64,
}

/// `struct dentry` from `d_hash.pprev` to `d_inode`: one read for all five fields, because they are adjacent.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Dentry {
    pub(crate) hash_pprev: u64,
    pub(crate) parent: u64,
    /// The hash in the lower half, the length of the name in the upper half.
    pub(crate) hash_len: u64,
    pub(crate) name: u64,
    pub(crate) inode: u64,
}

impl Dentry {
    #[inline(always)]
    pub(crate) unsafe fn read(dentry: u64) -> (Dentry, bool) {
        unsafe { try_read(dentry, offset!(dentry_hash_pprev)) }
    }

    #[inline(always)]
    pub(crate) fn name_len(&self) -> u64 {
        self.hash_len >> 32
    }
}

/// Returns the address of the `struct file` of a descriptor of the current task; 0 if there is none.
#[inline(always)]
pub(crate) unsafe fn file_of(fd: u32) -> u64 {
    unsafe {
        let files: *const u8 = load(current(), offset!(task_files));
        let table: *const u8 = load(files, offset!(files_fdt));
        let most: u32 = load(table, offset!(fdtable_max_fds));
        if fd >= most {
            return 0;
        }
        let array: u64 = load(table, offset!(fdtable_fd));
        read(array + 8 * fd as u64, 0)
    }
}
