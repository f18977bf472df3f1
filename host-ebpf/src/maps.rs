//! The maps, and the state that the host changes while the programs run.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::{
    helpers::generated as helper,
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use crypto_tracer_common::{
    filter::{
        Control, GROUP_ENTRIES, LIBRARY_ENTRIES, NAME_ENTRIES, PREFIX_ENTRIES, SUFFIX_ENTRIES,
        USER_ENTRIES,
    },
    loss::CAUSES,
};

/// Size of the smallest record, in bytes.
const WORD: u64 = 8;

/// The ring buffer. The host sets its size.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Suffixes of file names. A key ends in its generation.
#[map]
pub(crate) static SUFFIXES: HashMap<[u64; 2], u8> = HashMap::with_max_entries(SUFFIX_ENTRIES, 0);

/// Complete file names. A key ends in its generation.
#[map]
pub(crate) static NAMES: HashMap<[u64; 4], u8> = HashMap::with_max_entries(NAME_ENTRIES, 0);

/// Prefixes of file names. A key ends in its generation.
#[map]
pub(crate) static PREFIXES: HashMap<[u64; 2], u8> = HashMap::with_max_entries(PREFIX_ENTRIES, 0);

/// Library names without version. A key ends in its generation.
#[map]
pub(crate) static LIBRARIES: HashMap<[u64; 4], u8> = HashMap::with_max_entries(LIBRARY_ENTRIES, 0);

/// Processes whose exit was reported, by address of the leader and start time.
#[map]
pub(crate) static EXITED: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(1024, 0);

/// The followed process's descendants, by `family_key`. The host sets the capacity: 1 if no process is followed.
#[map]
pub(crate) static FAMILY: HashMap<[u64; 2], u8> = HashMap::with_max_entries(1, 0);

/// Bytes in the ring buffer by user and control group, while it is more than half full.
#[map]
pub(crate) static GROUPS: LruHashMap<[u64; 2], Usage> =
    LruHashMap::with_max_entries(GROUP_ENTRIES, 0);

/// Bytes in the ring buffer by user, while it is more than half full. A map of its own: one user can have any number of
/// control groups, but they do not evict this entry.
#[map]
pub(crate) static USERS: LruHashMap<u64, Usage> = LruHashMap::with_max_entries(USER_ENTRIES, 0);

/// An upper bound of the bytes that a user has in the ring buffer, of those that were written while it was more than half
/// full. Positions are those of the ring buffer.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// Bytes after the mark.
    pub(crate) since: u64,
    /// Bytes before the mark, which the host has not read completely.
    pub(crate) before: u64,
    pub(crate) mark: u64,
    /// Position after the last record.
    pub(crate) end: u64,
}

/// Number of lost events, by cause.
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(CAUSES as u32, 0);

/// In `.bss`, so that the programs access it without a map lookup.
#[unsafe(no_mangle)]
pub(crate) static mut CONTROL: Control = Control::EMPTY;

/// Reads a field of [`CONTROL`].
macro_rules! control {
    ($($field:tt)+) => {
        $crate::kernel::own(unsafe { &raw const $crate::maps::CONTROL.$($field)+ })
    };
}
pub(crate) use control;

/// Counts a lost event while the ring buffer may be empty, and wakes up the host so that it reports the loss. For that,
/// discards a record, which the host does not read. If the ring buffer is full, the host is already awake.
#[inline(always)]
pub(crate) fn count_loss(cause: u32) {
    lost(cause);
    let ring = (&raw const EVENTS).cast_mut().cast::<c_void>();
    unsafe {
        let record = helper::bpf_ringbuf_reserve(ring, WORD, 0);
        if !record.is_null() {
            helper::bpf_ringbuf_discard(record, 0);
        }
    }
}

/// Counts a lost event. Atomic, because other hooks on the same CPU can preempt some hooks.
#[inline(always)]
pub(crate) fn lost(cause: u32) {
    if let Some(count) = LOSSES.get_ptr_mut(cause) {
        // core has no atomic addition for this target.
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) count, in(reg) 1_u64) };
    }
}
