//! The kernel's first look at a file name, and the keys of its tables.
//!
//! A word is kept in two generations: the programs use the one that [`Control::active`] names while the host fills the
//! other, then the host switches. A key carries its generation in its last byte, so both share one table.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a suffix at most: the 16th byte of its key is the generation.
pub const SUFFIX_MAX: usize = 15;
/// Bytes of a prefix at most, for the same reason.
pub const PREFIX_MAX: usize = 15;
/// Bytes of a file name or a library at most: the 32nd byte of its key is the generation.
pub const NAME_MAX: usize = 31;
/// Bits of the bloom filter.
pub const BLOOM_BITS: usize = 2048;
/// Processes that are never reported, at most.
pub const OWN_MAX: usize = 8;

/// Room in the table of suffixes, both generations and one that is being cleared.
pub const SUFFIX_ROOM: u32 = 256;
/// Room in the table of file names.
pub const NAME_ROOM: u32 = 1024;
/// Room in the table of prefixes.
pub const PREFIX_ROOM: u32 = 64;
/// Room in the table of libraries.
pub const LIBRARY_ROOM: u32 = 256;

/// Nanoseconds per tick, the unit of process start times in `/proc`.
pub const TICK_NS: u64 = 10_000_000;

/// The key of a followed process: its number in the tracer's pid namespace, and when it started, as
/// exactly as `/proc` has it. The programs remove a process when it ends.
#[inline(always)]
pub fn family_key(tgid: u32, start_ns: u64) -> [u64; 2] {
    [tgid as u64, start_ns / TICK_NS]
}

/// One generation.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, PartialEq, Eq)]
pub struct Generation {
    /// Which endings of three bytes occur, by [`bloom_bit`].
    pub bloom: [u64; BLOOM_BITS / 64],
    /// Which beginnings of three bytes prefixes have, by [`prefix_bit`].
    pub prefix_bloom: [u64; BLOOM_BITS / 64],
    /// Bit N is set: there is a suffix of N bytes.
    pub suffix_lengths: u32,
    /// Bit N is set: there is a file name of N bytes.
    pub name_lengths: u32,
    /// Bit N is set: there is a library of N bytes.
    pub library_lengths: u32,
    /// Bit N is set: there is a prefix of N bytes.
    pub prefix_lengths: u32,
}

impl Generation {
    /// Lets nothing through.
    pub const EMPTY: Generation = Generation {
        bloom: [0; BLOOM_BITS / 64],
        prefix_bloom: [0; BLOOM_BITS / 64],
        suffix_lengths: 0,
        name_lengths: 0,
        library_lengths: 0,
        prefix_lengths: 0,
    };
}

/// What the host may change while the programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, PartialEq, Eq)]
pub struct Control {
    /// The active generation; only the lowest bit is used.
    pub active: u32,
    /// Always 0, but the verifier does not know that.
    pub zero: u32,
    /// While this is not 0, only this process is reported, whatever the settings say: the host checks
    /// the records about itself.
    pub check: u32,
    /// Not used.
    pub reserved: u32,
    /// The processes that are never reported, in the tracer's pid namespace; 0: none.
    pub own: [u32; OWN_MAX],
    /// The generations.
    pub generations: [Generation; 2],
}

impl Control {
    /// Lets nothing through.
    pub const EMPTY: Control = Control {
        active: 0,
        zero: 0,
        check: 0,
        reserved: 0,
        own: [0; OWN_MAX],
        generations: [Generation::EMPTY; 2],
    };
}

/// The bit for an ending: its last three bytes are the highest three of `tail`, ASCII in lower case, and zero in front
/// of a shorter name.
#[inline(always)]
pub fn bloom_bit(tail: u64) -> u32 {
    ((tail >> 40) as u32).wrapping_mul(0x9E37_79B1) >> 21
}

/// The bit for a beginning: its first three bytes are the lowest three of `head`.
#[inline(always)]
pub fn prefix_bit(head: u64) -> u32 {
    bloom_bit(head << 40)
}

/// Lower-cases the ASCII letters among eight bytes and leaves all others alone.
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
    fn lower_is_ascii_lower_case_of_each_byte() {
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
