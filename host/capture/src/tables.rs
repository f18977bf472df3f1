//! Converts the interest of the plugins to keys of the BPF maps.

use crypto_tracer_common::filter::{
    Generation, NAME_MAX, PREFIX_MAX, SUFFIX_MAX, bloom_bit, lower, prefix_bit,
};

use crypto_tracer_event::interest::Interest;

/// One of the two generations.
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

/// The content of the maps for one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) generation: Generation,
    pub(crate) suffixes: Vec<[u64; 2]>,
    pub(crate) prefixes: Vec<[u64; 2]>,
    pub(crate) names: Vec<[u64; 4]>,
    pub(crate) libraries: Vec<[u64; 4]>,
}

impl Tables {
    /// Builds the keys of one generation. Skips words that are too long for a key, which [`Interest`] does not accept.
    pub(crate) fn of(interest: &Interest, slot: Slot) -> Tables {
        let mut generation = Generation::EMPTY;
        let mut set = |word: &[u8]| {
            let bit = bloom_bit(lower(u64::from_le_bytes(last_three(word))));
            if let Some(word) = generation.bloom.get_mut(bit as usize / 64) {
                *word |= 1 << (bit % 64);
            }
        };
        interest.suffixes.iter().for_each(|word| set(word.as_bytes()));
        interest.names.iter().for_each(|word| set(word.as_bytes()));
        for prefix in &interest.prefixes {
            let bit = prefix_bit(first_three(prefix.as_bytes()));
            if let Some(word) = generation.prefix_bloom.get_mut(bit as usize / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        generation.prefix_lengths = length_bits(&interest.prefixes);
        generation.suffix_lengths = length_bits(&interest.suffixes);
        generation.name_lengths = length_bits(&interest.names);
        generation.library_lengths = length_bits(&interest.libraries);
        let number = slot.number();
        Tables {
            generation,
            suffixes: interest
                .suffixes
                .iter()
                .filter_map(|word| key::<{ SUFFIX_MAX + 1 }>(&word.to_ascii_lowercase(), number))
                .map(words)
                .collect(),
            prefixes: interest
                .prefixes
                .iter()
                .filter_map(|word| key::<{ PREFIX_MAX + 1 }>(word, number))
                .map(words)
                .collect(),
            names: keys(&interest.names, number),
            libraries: keys(&interest.libraries, number),
        }
    }
}

fn keys(all: &std::collections::BTreeSet<String>, generation: u8) -> Vec<[u64; 4]> {
    all.iter().filter_map(|word| key::<{ NAME_MAX + 1 }>(word, generation)).map(words).collect()
}

fn length_bits(all: &std::collections::BTreeSet<String>) -> u32 {
    all.iter().fold(0, |bits, word| bits | 1_u32.checked_shl(word.len() as u32).unwrap_or(0))
}

/// Returns the last three bytes in the most significant bytes of a little-endian word, padded with zeros.
fn last_three(word: &[u8]) -> [u8; 8] {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().rev().take(3).zip(word.iter().rev()) {
        *to = *from;
    }
    bytes
}

/// Returns the first three bytes in the least significant bytes.
fn first_three(word: &[u8]) -> u64 {
    word.iter().take(3).rev().fold(0, |bytes, &byte| bytes << 8 | u64::from(byte))
}

/// Returns the word, padded with zeros, with the generation in the last byte. `None`: the word is too long.
fn key<const LEN: usize>(word: &str, generation: u8) -> Option<[u8; LEN]> {
    let mut key = [0; LEN];
    let (last, rest) = key.split_last_mut()?;
    rest.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
    *last = generation;
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

/// Returns the pattern and the mask with which the programs search process names. `None`: more than 15 bytes.
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
    fn keys_are_padded_and_end_in_the_generation() {
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
    fn lengths_and_bloom_filters_have_the_bits_of_all_words() {
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
    fn empty_interest_matches_nothing() {
        assert_eq!(Tables::of(&Interest::default(), Slot::First).generation, Generation::EMPTY);
    }

    #[test]
    fn comm_pattern_has_a_mask_of_its_bytes() {
        let (pattern, mask) = comm_pattern(b"nginx").unwrap();
        assert_eq!(pattern, [u64::from_le_bytes(*b"nginx\0\0\0"), 0]);
        assert_eq!(mask, [0xff_ffff_ffff, 0]);
        assert!(comm_pattern(&[b'x'; 15]).is_some());
        assert_eq!(comm_pattern(&[b'x'; 16]), None);
    }
}
