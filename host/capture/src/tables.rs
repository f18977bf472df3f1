//! From what the classifiers want to the keys of the kernel's tables.

use crypto_tracer_common::filter::{
    Generation, NAME_MAX, PREFIX_MAX, SUFFIX_MAX, bloom_bit, lower, prefix_bit,
};

use crypto_tracer_event::interest::Interest;

/// Which of the two generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    First,
    Second,
}

impl Slot {
    pub(crate) fn other(self) -> Slot {
        match self {
            Slot::First => Slot::Second,
            Slot::Second => Slot::First,
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Slot::First => 0,
            Slot::Second => 1,
        }
    }
}

/// What goes into the tables for one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) generation: Generation,
    pub(crate) suffixes: Vec<[u64; 2]>,
    pub(crate) prefixes: Vec<[u64; 2]>,
    pub(crate) names: Vec<[u64; 4]>,
    pub(crate) libraries: Vec<[u64; 4]>,
}

impl Tables {
    /// The keys of these words. Words outside the bounds of [`Interest`] are left out: it does not take them.
    pub(crate) fn of(interest: &Interest, which: Slot) -> Tables {
        let mut generation = Generation::EMPTY;
        let mut set = |tail: &[u8]| {
            let bit = bloom_bit(lower(u64::from_le_bytes(end_of(tail))));
            if let Some(word) = generation.bloom.get_mut(bit as usize / 64) {
                *word |= 1 << (bit % 64);
            }
        };
        interest.suffixes.iter().for_each(|word| set(word.as_bytes()));
        interest.names.iter().for_each(|word| set(word.as_bytes()));
        for prefix in &interest.prefixes {
            let bit = prefix_bit(beginning_of(prefix.as_bytes()));
            if let Some(word) = generation.prefix_bloom.get_mut(bit as usize / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        generation.prefix_lengths = lengths(&interest.prefixes);
        generation.suffix_lengths = lengths(&interest.suffixes);
        generation.name_lengths = lengths(&interest.names);
        generation.library_lengths = lengths(&interest.libraries);
        let last = which.number();
        Tables {
            generation,
            suffixes: interest
                .suffixes
                .iter()
                .filter_map(|word| key::<{ SUFFIX_MAX + 1 }>(&word.to_ascii_lowercase(), last))
                .map(words)
                .collect(),
            prefixes: interest
                .prefixes
                .iter()
                .filter_map(|word| key::<{ PREFIX_MAX + 1 }>(word, last))
                .map(words)
                .collect(),
            names: keys(&interest.names, last),
            libraries: keys(&interest.libraries, last),
        }
    }
}

fn keys(all: &std::collections::BTreeSet<String>, last: u8) -> Vec<[u64; 4]> {
    all.iter().filter_map(|word| key::<{ NAME_MAX + 1 }>(word, last)).map(words).collect()
}

fn lengths(all: &std::collections::BTreeSet<String>) -> u32 {
    all.iter().fold(0, |bits, word| bits | 1_u32.checked_shl(word.len() as u32).unwrap_or(0))
}

/// The last three bytes in the highest places, zeros in front of fewer.
fn end_of(word: &[u8]) -> [u8; 8] {
    let mut end = [0; 8];
    for (to, from) in end.iter_mut().rev().take(3).zip(word.iter().rev()) {
        *to = *from;
    }
    end
}

/// The first three bytes in the lowest places.
fn beginning_of(word: &[u8]) -> u64 {
    word.iter().take(3).rev().fold(0, |all, &byte| all << 8 | u64::from(byte))
}

/// The word, zeros, and the generation in the last byte.
fn key<const LEN: usize>(word: &str, last: u8) -> Option<[u8; LEN]> {
    let mut key = [0; LEN];
    let (tail, head) = key.split_last_mut()?;
    head.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
    *tail = last;
    Some(key)
}

fn words<const LEN: usize, const WORDS: usize>(key: [u8; LEN]) -> [u64; WORDS] {
    const { assert!(LEN == WORDS * 8) };
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(key.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    words
}

/// A name of up to 15 bytes and which of its bytes count, as the programs compare it.
pub(crate) fn comm_pattern(text: &[u8]) -> Option<([u64; 2], [u64; 2])> {
    let mut pattern = [0; 16];
    let mut mask = [0; 16];
    pattern.get_mut(..15)?.get_mut(..text.len())?.copy_from_slice(text);
    mask.get_mut(..text.len())?.fill(0xff);
    Some((words(pattern), words(mask)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest() -> Interest {
        let mut interest = Interest::default();
        interest.add_suffix(".PEM").unwrap();
        interest.add_suffix(".truststore.bin").unwrap();
        interest.add_name("id_rsa").unwrap();
        interest.add_name("k").unwrap();
        interest.add_prefix("id_rsa").unwrap();
        interest.add_prefix("id_ed25519_sk_x").unwrap();
        interest.add_library("libssl").unwrap();
        interest
    }

    #[test]
    fn keys_are_the_word_then_zeros_then_the_generation() {
        let first = Tables::of(&interest(), Slot::First);
        let second = Tables::of(&interest(), Slot::Second);
        let pem = u64::from_le_bytes(*b".pem\0\0\0\0");
        assert!(first.suffixes.contains(&[pem, 0]));
        assert!(second.suffixes.contains(&[pem, 1 << 56]));
        let long = *b".truststore.bin\x01";
        assert!(second.suffixes.contains(&words(long)));
        assert_eq!(first.libraries, [[u64::from_le_bytes(*b"libssl\0\0"), 0, 0, 0]]);
        assert_eq!(first.names.len(), 2);
        assert!(first.prefixes.contains(&[u64::from_le_bytes(*b"id_rsa\0\0"), 0]));
        assert!(second.prefixes.contains(&words(*b"id_ed25519_sk_x\x01")));
    }

    #[test]
    fn lengths_and_endings_that_occur_have_their_bits() {
        let tables = Tables::of(&interest(), Slot::First);
        let generation = tables.generation;
        assert_eq!(generation.suffix_lengths, 1 << 4 | 1 << 15);
        assert_eq!(generation.name_lengths, 1 << 1 | 1 << 6);
        assert_eq!(generation.library_lengths, 1 << 6);
        assert_eq!(generation.prefix_lengths, 1 << 6 | 1 << 15);
        for head in [b"id_rsa\0\0", b"id_ed255"] {
            let bit = prefix_bit(u64::from_le_bytes(*head));
            assert_ne!(generation.prefix_bloom[bit as usize / 64] >> (bit % 64) & 1, 0, "{head:?}");
        }
        assert_eq!(generation.prefix_bloom.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
        for tail in [&b"\0\0\0\0\0pem"[..], b"\0\0\0\0\0rsa", b"\0\0\0\0\0bin", b"\0\0\0\0\0\0\0k"]
        {
            let bit = bloom_bit(u64::from_le_bytes(tail.try_into().unwrap()));
            assert_ne!(generation.bloom[bit as usize / 64] >> (bit % 64) & 1, 0, "{tail:?}");
        }
        assert_eq!(generation.bloom.iter().map(|word| word.count_ones()).sum::<u32>(), 4);
    }

    #[test]
    fn nothing_wanted_lets_nothing_through() {
        assert_eq!(Tables::of(&Interest::default(), Slot::First).generation, Generation::EMPTY);
    }

    #[test]
    fn the_pattern_of_a_process_name() {
        let (pattern, mask) = comm_pattern(b"nginx").unwrap();
        assert_eq!(pattern, [u64::from_le_bytes(*b"nginx\0\0\0"), 0]);
        assert_eq!(mask, [0xff_ffff_ffff, 0]);
        assert!(comm_pattern(&[b'x'; 15]).is_some());
        assert_eq!(comm_pattern(&[b'x'; 16]), None);
    }
}
