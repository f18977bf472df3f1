//! The name filter in the kernel, and the keys of its maps.
//!
//! The filter has two generations: the programs use the one that [`Control::active`] selects while the host fills the
//! other one, then the host switches. The last byte of a key is its generation, so both share one map.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Maximum length of a suffix in bytes: the 16th byte of its key is the generation.
pub const SUFFIX_MAX: usize = 15;
/// Maximum length of a prefix in bytes, for the same reason.
pub const PREFIX_MAX: usize = 15;
/// Maximum length of a file name or a library name in bytes: the 32nd byte of its key is the generation.
pub const NAME_MAX: usize = 31;
/// Number of bits of a Bloom filter.
const BLOOM_BITS: usize = 2048;
/// Maximum number of processes that are never reported.
pub const OWN_MAX: usize = 8;

/// Capacity of the map of suffixes. Twice the entries of two generations: spare room.
pub const SUFFIX_ENTRIES: u32 = 256;
/// Capacity of the map of file names.
pub const NAME_ENTRIES: u32 = 1024;
/// Capacity of the map of prefixes.
pub const PREFIX_ENTRIES: u32 = 64;
/// Capacity of the map of users and control groups that fill the ring buffer.
pub const GROUP_ENTRIES: u32 = 1024;
/// Capacity of the map of users that fill the ring buffer.
pub const USER_ENTRIES: u32 = 256;
/// Capacity of the map of library names.
pub const LIBRARY_ENTRIES: u32 = 256;

/// Nanoseconds per tick, the unit of process start times in `/proc`.
pub const TICK_NS: u64 = 10_000_000;

/// Returns the key of a followed process: its id in the tracer's pid namespace, and its start time in ticks, the
/// resolution of `/proc`. The programs remove the key when the process exits.
#[inline(always)]
pub fn family_key(tgid: u32, start_ns: u64) -> [u64; 2] {
    [tgid as u64, start_ns / TICK_NS]
}

/// One generation of the filter.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, PartialEq, Eq)]
pub struct Generation {
    /// Bloom filter of the last three bytes of suffixes and file names, by [`bloom_bit`].
    pub bloom: [u64; BLOOM_BITS / 64],
    /// Bloom filter of the first three bytes of prefixes, by [`prefix_bit`].
    pub prefix_bloom: [u64; BLOOM_BITS / 64],
    /// Bit N is set if a suffix has N bytes.
    pub suffix_lengths: u32,
    /// Bit N is set if a file name has N bytes.
    pub name_lengths: u32,
    /// Bit N is set if a library name has N bytes.
    pub library_lengths: u32,
    /// Bit N is set if a prefix has N bytes.
    pub prefix_lengths: u32,
}

impl Generation {
    /// Matches no name.
    pub const EMPTY: Generation = Generation {
        bloom: [0; BLOOM_BITS / 64],
        prefix_bloom: [0; BLOOM_BITS / 64],
        suffix_lengths: 0,
        name_lengths: 0,
        library_lengths: 0,
        prefix_lengths: 0,
    };
}

/// State that the host changes while the programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, PartialEq, Eq)]
pub struct Control {
    /// The active generation. Only the lowest bit is used.
    pub active: u32,
    /// Always 0. The verifier cannot treat it as a constant.
    pub zero: u32,
    /// If not 0, only this process is reported, whatever the settings are. The host sets it during the self-test of
    /// the records.
    pub check: u32,
    /// Unused.
    pub reserved: u32,
    /// Ids of the processes that are never reported, in the tracer's pid namespace; 0: unused slot.
    pub own: [u32; OWN_MAX],
    /// Both generations of the filter.
    pub generations: [Generation; 2],
}

impl Control {
    /// Matches no name.
    pub const EMPTY: Control = Control {
        active: 0,
        zero: 0,
        check: 0,
        reserved: 0,
        own: [0; OWN_MAX],
        generations: [Generation::EMPTY; 2],
    };
}

/// Returns the Bloom filter bit of the end of a name: the most significant three bytes of `tail`, which is already
/// lowered (see [`lower`]). Shorter names are padded with zeros at the front.
#[inline(always)]
pub fn bloom_bit(tail: u64) -> u32 {
    ((tail >> 40) as u32).wrapping_mul(0x9E37_79B1) >> 21
}

/// Returns the Bloom filter bit of a name's beginning: the least significant three bytes of `head`, case-sensitive.
#[inline(always)]
pub fn prefix_bit(head: u64) -> u32 {
    bloom_bit(head << 40)
}

/// Converts the ASCII letters among eight bytes to lower case. All other bytes are unchanged.
#[inline(always)]
pub fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * ONES);
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let past_z = low + (0x7f - b'Z' as u64) * ONES;
    let upper = from_a & !past_z & !word & (0x80 * ONES);
    word | (upper >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_converts_each_byte_like_to_ascii_lowercase() {
        for byte in 0..=255_u8 {
            for at in 0..8 {
                let mut bytes = [b'Z', 0, 0xff, b'@', b'[', b'a', 0x80, b'5'];
                bytes[at] = byte;
                let expected = bytes.map(|b| b.to_ascii_lowercase());
                assert_eq!(lower(u64::from_le_bytes(bytes)).to_le_bytes(), expected);
            }
        }
    }

    #[test]
    fn bloom_bits_are_in_range_and_depend_on_three_bytes_only() {
        for tail in [0, u64::MAX, 0x1234_5678_9abc_def0] {
            assert!((bloom_bit(tail) as usize) < BLOOM_BITS);
            assert_eq!(bloom_bit(tail), bloom_bit(tail & !0xff_ffff_ffff));
            assert_eq!(prefix_bit(tail), prefix_bit(tail & 0xff_ffff));
        }
    }
}
