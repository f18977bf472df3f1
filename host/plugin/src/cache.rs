//! Answers that are remembered. Room for all entries is set aside at the start; what hangs on them is bounded.
//!
//! Keys are 128 bits of keyed hash: nobody outside knows the keys, so nobody can make two questions meet.

use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::Range;

/// Entries that a key can be in.
const WAYS: usize = 4;

/// The hash of a question. Two words and no u128, which would make every entry a multiple of 16 bytes.
pub(super) type Key = [u64; 2];

/// Remembers the last answers. What belongs to one entry stands at the same place of each list: keys of a set are next to
/// each other, and where none was remembered yet there are zeros, which take no memory.
#[derive(Debug)]
pub(super) struct Cache<V> {
    hashes: [RandomState; 2],
    keys: Vec<Key>,
    /// When each was used last, and the bytes that hang on it.
    used: Vec<(u32, u32)>,
    /// None: nothing is remembered here.
    values: Vec<Option<V>>,
    clock: u32,
    bytes: usize,
    most_bytes: usize,
}

impl<V> Cache<V> {
    /// `sets`: a power of two; four times as many entries. `most_bytes`: of what hangs on the entries.
    pub(super) fn new(sets: usize, most_bytes: usize) -> Cache<V> {
        Cache::with(sets.next_power_of_two() * WAYS, most_bytes)
    }

    /// Remembers nothing.
    pub(super) fn none() -> Cache<V> {
        Cache::with(0, 0)
    }

    fn with(entries: usize, most_bytes: usize) -> Cache<V> {
        Cache {
            hashes: [RandomState::new(), RandomState::new()],
            keys: vec![[0; 2]; entries],
            used: vec![(0, 0); entries],
            values: (0..entries).map(|_| None).collect(),
            clock: 0,
            bytes: 0,
            most_bytes,
        }
    }

    /// The key of a question.
    pub(super) fn key(&self, question: impl Hash) -> Key {
        self.hashes.each_ref().map(|hash| hash.hash_one(&question))
    }

    /// The answer, if it is remembered.
    pub(super) fn get(&mut self, key: Key) -> Option<&V> {
        self.clock = self.clock.wrapping_add(1);
        let at = self.find(key)?;
        if let Some((used, _)) = self.used.get_mut(at) {
            *used = self.clock;
        }
        self.values.get(at)?.as_ref()
    }

    /// Whether the answer is remembered.
    pub(super) fn peek(&self, key: Key) -> bool {
        self.find(key).is_some()
    }

    /// Remembers an answer that holds so many `bytes` on the heap.
    pub(super) fn put(&mut self, key: Key, value: V, bytes: usize) {
        let Ok(counted) = u32::try_from(bytes) else { return };
        if self.bytes + bytes > self.most_bytes {
            self.clear();
        }
        let Some(at) = self.find(key).or_else(|| self.oldest(key)) else { return };
        let (Some(place), Some(place_key), Some(used)) =
            (self.values.get_mut(at), self.keys.get_mut(at), self.used.get_mut(at))
        else {
            return;
        };
        let before = place.replace(value).map_or(0, |_| used.1 as usize);
        *place_key = key;
        *used = (self.clock, counted);
        self.bytes = self.bytes + bytes - before;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.values.iter_mut().for_each(|value| *value = None);
        self.bytes = 0;
    }

    /// Where the answer is.
    fn find(&self, key: Key) -> Option<usize> {
        let mut set = self.set(key);
        set.find(|&at| self.keys.get(at) == Some(&key) && self.is_taken(at))
    }

    /// The place of the set that is free, or was not used for the longest time.
    fn oldest(&self, key: Key) -> Option<usize> {
        let age = |&at: &usize| match self.used.get(at) {
            Some(&(used, _)) if self.is_taken(at) => self.clock.wrapping_sub(used),
            _ => u32::MAX,
        };
        self.set(key).max_by_key(age)
    }

    fn is_taken(&self, at: usize) -> bool {
        self.values.get(at).is_some_and(Option::is_some)
    }

    /// The places where a key can be.
    fn set(&self, [high, _]: Key) -> Range<usize> {
        let sets = (self.values.len() / WAYS) as u64;
        // The remainder is below the number of sets.
        let set = high.checked_rem(sets).and_then(|set| usize::try_from(set).ok());
        set.map_or(0..0, |set| set * WAYS..(set + 1) * WAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are 65 536 entries, and their values are touched at the start.
    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<Key>() + size_of::<(u32, u32)>(), 24);
        assert_eq!(size_of::<Option<std::sync::Arc<u8>>>(), 8);
        assert_eq!(size_of::<Option<Option<Box<str>>>>(), 24);
    }

    #[test]
    fn answers_come_back_until_others_took_their_place() {
        let mut cache = Cache::new(1, 1000);
        let keys: Vec<Key> = (0..5).map(|n| cache.key(n)).collect();
        for (n, &key) in keys.iter().take(4).enumerate() {
            cache.put(key, n, 0);
        }
        assert_eq!(cache.get(keys[0]), Some(&0));
        cache.put(keys[4], 4, 0);
        assert_eq!(cache.get(keys[0]), Some(&0), "it was used last");
        assert_eq!(cache.get(keys[4]), Some(&4));
        let left = keys.iter().filter(|&&key| cache.peek(key)).count();
        assert_eq!(left, WAYS);
        cache.put(keys[0], 7, 0);
        assert_eq!(cache.get(keys[0]), Some(&7));
        cache.clear();
        assert_eq!(cache.get(keys[0]), None);
    }

    #[test]
    fn what_hangs_on_the_entries_is_bounded() {
        let mut cache = Cache::new(1024, 1000);
        for n in 0..100 {
            let key = cache.key(n);
            cache.put(key, vec![0u8; 300], 300);
        }
        let held: usize = cache.values.iter().flatten().map(Vec::len).sum();
        assert!((300..=1000).contains(&held), "{held}");
    }

    #[test]
    fn none_remembers_nothing() {
        let mut cache = Cache::none();
        let key = cache.key(1);
        cache.put(key, 1, 0);
        assert_eq!(cache.get(key), None);
    }

    #[test]
    fn questions_do_not_meet() {
        let cache = Cache::<()>::new(16, 0);
        assert_ne!(cache.key(("a", "bc")), cache.key(("ab", "c")));
        assert_eq!(cache.key(("a", "bc")), cache.key(("a", "bc")));
    }
}
