//! The maps and what the host changes while the programs run.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::{
    helpers::generated as helper,
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use crypto_tracer_common::{
    filter::{Control, LIBRARY_ROOM, NAME_ROOM, PREFIX_ROOM, SUFFIX_ROOM},
    loss::CAUSES,
};

/// The smallest record.
const WORD: u64 = 8;

/// The events. The host sets the size.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Endings of file names, each with its generation.
#[map]
pub(crate) static SUFFIXES: HashMap<[u64; 2], u8> = HashMap::with_max_entries(SUFFIX_ROOM, 0);

/// Whole file names.
#[map]
pub(crate) static NAMES: HashMap<[u64; 4], u8> = HashMap::with_max_entries(NAME_ROOM, 0);

/// Beginnings of file names, each with its generation.
#[map]
pub(crate) static PREFIXES: HashMap<[u64; 2], u8> = HashMap::with_max_entries(PREFIX_ROOM, 0);

/// Libraries up to their version.
#[map]
pub(crate) static LIBRARIES: HashMap<[u64; 4], u8> = HashMap::with_max_entries(LIBRARY_ROOM, 0);

/// Processes whose exit was reported, by leader and start time.
#[map]
pub(crate) static EXITED: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(1024, 0);

/// The followed process's descendants, by `family_key`. The host sets the room: one, when nothing is followed.
#[map]
pub(crate) static FAMILY: HashMap<[u64; 2], u8> = HashMap::with_max_entries(1, 0);

/// Events that could not be handed over, by cause.
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(CAUSES as u32, 0);

/// In `.bss`, so that the programs reach it without a look-up.
#[unsafe(no_mangle)]
pub(crate) static mut CONTROL: Control = Control::EMPTY;

/// Reads a part of [`CONTROL`].
macro_rules! control {
    ($($field:tt)+) => {
        $crate::kernel::own(unsafe { &raw const $crate::maps::CONTROL.$($field)+ })
    };
}
pub(crate) use control;

/// Counts a lost event while the ring may be empty, and wakes up the host so that it reports the loss. A discarded record
/// wakes up the host, which never sees it. If the ring has no room for the record, the host is already awake.
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

/// Counts an event that is lost. Atomic: some hooks can be preempted by others on the same CPU.
#[inline(always)]
pub(crate) fn lost(cause: u32) {
    if let Some(count) = LOSSES.get_ptr_mut(cause) {
        // core has no atomic addition for this target.
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) count, in(reg) 1_u64) };
    }
}
