//! The name filter: whether a file name is in any plugin's interest.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::{
    filter::{bloom_bit, lower, prefix_bit},
    record::kind,
};

use crate::{
    fixed::offset,
    kernel::{Dentry, Path, masked, read, words},
    maps::{LIBRARIES, NAMES, PREFIXES, SUFFIXES, control},
};

/// Maximum number of stacked mounts that are followed to find the visible name.
const STACKED: u32 = 8;

/// A name in kernel memory: its address, and its length in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    at: u64,
    len: u64,
}

impl Name {
    /// Returns the name of a directory entry.
    #[inline(always)]
    pub(crate) unsafe fn of(dentry: Dentry) -> Name {
        Name { at: dentry.name, len: dentry.name_len() }
    }

    /// Returns the name under which the root of a mount is visible: that of the topmost mount point.
    #[inline(always)]
    pub(crate) unsafe fn of_mount_point(path: Path) -> Name {
        unsafe {
            let mut dentry = path.dentry;
            let mut mnt = path.mnt;
            for _ in 0..STACKED {
                let root: u64 = read(mnt, offset!(vfsmount_root));
                if root != dentry {
                    break;
                }
                let mount = mnt - offset!(mount_mnt) as u64;
                let parent: u64 = read(mount, offset!(mount_parent));
                if parent == mount || parent == 0 {
                    break;
                }
                dentry = read(mount, offset!(mount_mountpoint));
                mnt = parent + offset!(mount_mnt) as u64;
            }
            let (dentry, _) = Dentry::read(dentry);
            Name::of(dentry)
        }
    }

    /// Returns whether the name is in the interest for events of this kind.
    #[inline(always)]
    pub(crate) unsafe fn is_wanted(self, kind: u16) -> bool {
        unsafe { name_is_wanted(kind as u64, self.at, self.len) != 0 }
    }

    /// Reads the last bytes of the name. If the name is shorter, the first bytes read are not part of it. They are
    /// readable, because the name is inside the dentry or follows its own header of 16 bytes.
    #[inline(always)]
    unsafe fn tail<T: Copy>(self) -> T {
        unsafe { read(self.at.wrapping_add(self.len).wrapping_sub(size_of::<T>() as u64), 0) }
    }

    /// Returns whether the name is in the interest as a file name.
    #[inline(always)]
    unsafe fn is_wanted_file(self) -> bool {
        unsafe {
            let active = (control!(active) & 1) as usize;
            let mut end = lower(self.tail::<u64>());
            if self.len < 3 {
                end &= if self.len == 2 { 0xffff << 48 } else { 0xff << 56 };
            }
            let bit = bloom_bit(end);
            let word = control!(generations[active].bloom[(bit >> 6) as usize & 31]);
            let may_end = (word >> (bit & 63)) & 1 != 0;
            if may_end && (self.has_suffix(active) || self.is_known(active)) {
                return true;
            }
            self.has_prefix(active)
        }
    }

    /// Returns whether the name has a prefix of the interest. The first three bytes rule out most names.
    #[inline(always)]
    unsafe fn has_prefix(self, active: usize) -> bool {
        let lengths = control!(generations[active].prefix_lengths);
        if lengths == 0 || self.len < 3 {
            return false;
        }
        // As for libraries: the memory after a shorter name is readable, and masked out before any lookup.
        let [mut a, mut b] = unsafe { read::<[u64; 2]>(self.at, 0) };
        let bit = prefix_bit(a);
        let word = control!(generations[active].prefix_bloom[(bit >> 6) as usize & 31]);
        if (word >> (bit & 63)) & 1 == 0 {
            return false;
        }
        let generation = (active as u64) << 56;
        macro_rules! try_prefixes {
            ($word:ident: $($len:literal)*) => { $(
                $word &= (1 << (8 * ($len % 8))) - 1;
                if lengths & (1 << $len) != 0 && self.len >= $len {
                    if PREFIXES.get_ptr(&words([a, b | generation])).is_some() {
                        return true;
                    }
                }
            )* };
        }
        try_prefixes!(b: 15 14 13 12 11 10 9 8);
        try_prefixes!(a: 7 6 5 4 3);
        false
    }

    #[inline(always)]
    unsafe fn has_suffix(self, active: usize) -> bool {
        let lengths = control!(generations[active].suffix_lengths);
        if lengths == 0 {
            return false;
        }
        let [before, last] = unsafe { self.tail::<[u64; 2]>() }.map(lower);
        let generation = (active as u64) << 56;
        macro_rules! try_lengths {
            ($($len:literal)*) => { $(
                if lengths & (1 << $len) != 0 && self.len >= $len {
                    let key: [u64; 2] = if $len <= 8 {
                        [last >> ((64 - 8 * $len) & 63), generation]
                    } else {
                        const SHIFT: u64 = 8_u64.wrapping_mul($len).wrapping_sub(64) & 63;
                        [(before >> ((64 - SHIFT) & 63)) | (last << SHIFT), (last >> ((64 - SHIFT) & 63)) | generation]
                    };
                    if SUFFIXES.get_ptr(&words(key)).is_some() {
                        return true;
                    }
                }
            )* };
        }
        try_lengths!(3_u64 4_u64 5_u64 6_u64 7_u64 8_u64);
        try_lengths!(9_u64 10_u64 11_u64 12_u64 13_u64 14_u64 15_u64);
        false
    }

    #[inline(always)]
    unsafe fn is_known(self, active: usize) -> bool {
        unsafe {
            let lengths = control!(generations[active].name_lengths);
            if self.len > 31 || (lengths >> (self.len & 31)) & 1 == 0 {
                return false;
            }
            let key = self.head::<31>(self.len);
            let key = [key[0], key[1], key[2], key[3] | (active as u64) << 56];
            NAMES.get_ptr(key).is_some()
        }
    }

    /// Reads the first `len & MASK` bytes, at most 32, and pads them with zeros.
    #[inline(always)]
    unsafe fn head<const MASK: u64>(self, len: u64) -> [u64; 4] {
        unsafe {
            let mut words = MaybeUninit::<[u64; 4]>::uninit();
            let at = words.as_mut_ptr().cast::<u64>();
            for word in 0..4 {
                // Volatile: otherwise LLVM generates a loop over bytes.
                ptr::write_volatile(at.add(word), 0);
            }
            let len = masked::<MASK>(len) as u32;
            helper::bpf_probe_read_kernel(at.cast(), len, self.at as *const c_void);
            words.assume_init()
        }
    }

    /// Returns whether the name is in the interest as a library: equal to a word, or a word followed by `.` or `-`.
    #[inline(always)]
    unsafe fn is_wanted_library(self) -> bool {
        let active = (control!(active) & 1) as usize;
        let lengths = control!(generations[active].library_lengths);
        if lengths == 0 {
            return false;
        }
        let generation = (active as u64) << 56;
        // Bytes after the end of a shorter name are masked out before any lookup.
        let [mut a, mut b, mut c, mut d] = unsafe { read::<[u64; 4]>(self.at, 0) };
        // `masked`: otherwise the verifier would follow each length that the name may have to the end.
        // From the longest stem to the shortest: bytes after a stem are cleared and not needed again.
        macro_rules! try_stems {
            ($word:ident: $($at:literal)*) => { $(
                let next = ($word >> (8 * ($at % 8))) as u8;
                $word &= (1 << (8 * ($at % 8))) - 1;
                let ends = next == b'.' || next == b'-' || masked::<0xffff>(self.len) == $at;
                if ends && lengths & (1 << $at) != 0 {
                    if LIBRARIES.get_ptr(&words([a, b, c, d | generation])).is_some() {
                        return true;
                    }
                }
            )* };
        }
        try_stems!(d: 31 30 29 28 27 26 25 24);
        try_stems!(c: 23 22 21 20 19 18 17 16);
        try_stems!(b: 15 14 13 12 11 10 9 8);
        try_stems!(a: 7 6 5 4 3);
        false
    }
}

// Exported, so that the verifier analyses it once and not for each call.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) unsafe extern "C" fn name_is_wanted(kind: u64, at: u64, len: u64) -> u64 {
    let name = Name { at, len };
    let is_wanted = match kind as u16 {
        kind::LIB_LOAD => unsafe { name.is_wanted_library() },
        _ => unsafe { name.is_wanted_file() },
    };
    is_wanted as u64
}
