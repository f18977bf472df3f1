//! Answers that are remembered. All memory for the entries is taken at the start; what hangs on them is bounded.
//!
//! Keys are 128 bits of keyed hash: nobody outside knows the keys, so nobody can make two questions meet.

use std::hash::{BuildHasher, Hash, RandomState};

/// Entries that a key can be in.
const WAYS: usize = 4;

/// The hash of a question. Two words and no u128, which would make every entry a multiple of 16 bytes.
pub(super) type Key = [u64; 2];

#[derive(Debug)]
struct Entry<V> {
    key: Key,
    used: u32,
    bytes: u32,
    value: V,
}

/// Remembers the last answers.
#[derive(Debug)]
pub(super) struct Cache<V> {
    keys: [RandomState; 2],
    entries: Vec<Option<Entry<V>>>,
    clock: u32,
    bytes: usize,
    most_bytes: usize,
}

impl<V> Cache<V> {
    /// `sets`: a power of two; four times as many entries. `most_bytes`: of what hangs on the entries.
    pub(super) fn new(sets: usize, most_bytes: usize) -> Cache<V> {
        let entries = (0..sets.next_power_of_two() * WAYS).map(|_| None).collect();
        let keys = [RandomState::new(), RandomState::new()];
        Cache { keys, entries, clock: 0, bytes: 0, most_bytes }
    }

    /// Remembers nothing.
    pub(super) fn none() -> Cache<V> {
        Cache { entries: Vec::new(), ..Cache::new(0, 0) }
    }

    /// The key of a question.
    pub(super) fn key(&self, question: impl Hash) -> Key {
        self.keys.each_ref().map(|key| key.hash_one(&question))
    }

    /// The answer, if it is remembered.
    pub(super) fn get(&mut self, key: Key) -> Option<&V> {
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let entry = self.set(key).iter_mut().flatten().find(|entry| entry.key == key)?;
        entry.used = clock;
        Some(&entry.value)
    }

    /// Whether the answer is remembered.
    pub(super) fn peek(&self, key: Key) -> bool {
        let at = self.place(key);
        let set = self.entries.get(at..at + WAYS).unwrap_or_default();
        set.iter().flatten().any(|entry| entry.key == key)
    }

    /// Remembers an answer that holds so many `bytes` on the heap.
    pub(super) fn put(&mut self, key: Key, value: V, bytes: usize) {
        let Ok(counted) = u32::try_from(bytes) else { return };
        if self.bytes + bytes > self.most_bytes {
            self.clear();
        }
        let clock = self.clock;
        let set = self.set(key);
        let same =
            set.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.key == key));
        let oldest = || {
            let age = |entry: &Option<Entry<V>>| {
                entry.as_ref().map_or(u32::MAX, |entry| clock.wrapping_sub(entry.used))
            };
            set.iter().enumerate().max_by_key(|(_, entry)| age(entry)).map(|(at, _)| at)
        };
        let place = same.or_else(oldest).and_then(|at| set.get_mut(at));
        if let Some(place) = place {
            let before = place.replace(Entry { key, used: clock, bytes: counted, value });
            self.bytes = self.bytes + bytes - before.map_or(0, |entry| entry.bytes as usize);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.iter_mut().for_each(|entry| *entry = None);
        self.bytes = 0;
    }

    fn place(&self, key: Key) -> usize {
        let sets = (self.entries.len() / WAYS).max(1) as u64;
        let [high, _] = key;
        // The remainder is below the number of sets.
        usize::try_from(high % sets).unwrap_or_default() * WAYS
    }

    fn set(&mut self, key: Key) -> &mut [Option<Entry<V>>] {
        let at = self.place(key);
        self.entries.get_mut(at..at + WAYS).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are 65 536 entries, and all of them are touched at the start.
    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<Option<Entry<std::sync::Arc<u8>>>>(), 32);
        assert_eq!(size_of::<Option<Entry<Option<Box<str>>>>>(), 48);
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
        let held: usize = cache.entries.iter().flatten().map(|entry| entry.value.len()).sum();
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
