//! A set-associative cache of answers. The entries are allocated at the start; the heap memory of their values is bounded.
//!
//! Keys are 128-bit keyed hashes: two that are computed independently of each other. Users choose the paths and texts that
//! are hashed, and two with one key would share an answer. The first half is therefore SipHash, for which collisions
//! cannot be constructed without its secret key. The second half only makes accidents less likely and may be fast.

use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::Range;

use crypto_tracer_event::{FastHash, fast_hash};

/// Entries of a set.
const WAYS: usize = 4;

/// Hash of a query. Two words, because the alignment of u128 would round each entry up to a multiple of 16 bytes.
pub(super) type Key = [u64; 2];

/// The cache. An entry has the same index in each vector, so the keys of a set are adjacent. Unused keys are zero, so their
/// pages stay unallocated.
#[derive(Debug)]
pub(super) struct Cache<V> {
    hashes: (RandomState, FastHash),
    keys: Vec<Key>,
    /// Time of the last use of each entry, and the heap bytes of its value.
    used: Vec<(u32, u32)>,
    /// None: the entry is free.
    values: Vec<Option<V>>,
    clock: u32,
    bytes: usize,
    max_bytes: usize,
}

impl<V> Cache<V> {
    /// `sets`: number of sets, rounded up to a power of two. `max_bytes`: limit for the heap memory of all values.
    pub(super) fn new(sets: usize, max_bytes: usize) -> Cache<V> {
        Cache::with(sets.next_power_of_two() * WAYS, max_bytes)
    }

    /// A cache that stores nothing.
    pub(super) fn none() -> Cache<V> {
        Cache::with(0, 0)
    }

    fn with(entries: usize, max_bytes: usize) -> Cache<V> {
        Cache {
            hashes: (RandomState::new(), fast_hash()),
            keys: vec![[0; 2]; entries],
            used: vec![(0, 0); entries],
            values: (0..entries).map(|_| None).collect(),
            clock: 0,
            bytes: 0,
            max_bytes,
        }
    }

    /// The key of a query.
    pub(super) fn key(&self, query: impl Hash) -> Key {
        [self.hashes.0.hash_one(&query), self.hashes.1.hash_one(&query)]
    }

    /// The cached answer.
    pub(super) fn get(&mut self, key: Key) -> Option<&V> {
        self.clock = self.clock.wrapping_add(1);
        let at = self.find(key)?;
        if let Some((used, _)) = self.used.get_mut(at) {
            *used = self.clock;
        }
        self.values.get(at)?.as_ref()
    }

    /// Whether the answer is cached. Does not count as a use.
    pub(super) fn peek(&self, key: Key) -> bool {
        self.find(key).is_some()
    }

    /// Stores an answer. `bytes`: its heap memory.
    pub(super) fn put(&mut self, key: Key, value: V, bytes: usize) {
        let Ok(heap_bytes) = u32::try_from(bytes) else { return };
        if self.bytes + bytes > self.max_bytes {
            self.clear();
        }
        let Some(at) = self.find(key).or_else(|| self.oldest(key)) else { return };
        let (Some(entry), Some(entry_key), Some(used)) =
            (self.values.get_mut(at), self.keys.get_mut(at), self.used.get_mut(at))
        else {
            return;
        };
        let replaced = entry.replace(value).map_or(0, |_| used.1 as usize);
        *entry_key = key;
        *used = (self.clock, heap_bytes);
        self.bytes = self.bytes + bytes - replaced;
    }

    /// Removes all entries.
    pub(super) fn clear(&mut self) {
        self.values.iter_mut().for_each(|value| *value = None);
        self.bytes = 0;
    }

    /// Index of the entry with this key.
    fn find(&self, key: Key) -> Option<usize> {
        let mut set = self.set(key);
        set.find(|&at| self.keys.get(at) == Some(&key) && self.is_taken(at))
    }

    /// Index of a free entry of the set, or of the least recently used one.
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

    /// Indices of the set of a key.
    fn set(&self, [high, _]: Key) -> Range<usize> {
        let sets = (self.values.len() / WAYS) as u64;
        let set = high.checked_rem(sets).and_then(|set| usize::try_from(set).ok());
        set.map_or(0..0, |set| set * WAYS..(set + 1) * WAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are 65 536 entries, and the pages of their values are allocated at the start.
    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<Key>() + size_of::<(u32, u32)>(), 24);
        assert_eq!(size_of::<Option<std::sync::Arc<u8>>>(), 8);
        assert_eq!(size_of::<Option<Option<Box<str>>>>(), 24);
    }

    #[test]
    fn the_least_recently_used_entry_is_replaced() {
        let mut cache = Cache::new(1, 1000);
        let keys: Vec<Key> = (0..5).map(|n| cache.key(n)).collect();
        for (n, &key) in keys.iter().take(4).enumerate() {
            cache.put(key, n, 0);
        }
        assert_eq!(cache.get(keys[0]), Some(&0));
        cache.put(keys[4], 4, 0);
        assert_eq!(cache.get(keys[0]), Some(&0), "most recently used");
        assert_eq!(cache.get(keys[4]), Some(&4));
        let cached = keys.iter().filter(|&&key| cache.peek(key)).count();
        assert_eq!(cached, WAYS);
        cache.put(keys[0], 7, 0);
        assert_eq!(cache.get(keys[0]), Some(&7));
        cache.clear();
        assert_eq!(cache.get(keys[0]), None);
    }

    #[test]
    fn heap_memory_of_the_values_is_bounded() {
        let mut cache = Cache::new(1024, 1000);
        for n in 0..100 {
            let key = cache.key(n);
            cache.put(key, vec![0u8; 300], 300);
        }
        let held: usize = cache.values.iter().flatten().map(Vec::len).sum();
        assert!((300..=1000).contains(&held), "{held}");
    }

    #[test]
    fn a_cache_without_entries_stores_nothing() {
        let mut cache = Cache::none();
        let key = cache.key(1);
        cache.put(key, 1, 0);
        assert_eq!(cache.get(key), None);
    }

    #[test]
    fn different_queries_have_different_keys() {
        let cache = Cache::<()>::new(16, 0);
        assert_ne!(cache.key(("a", "bc")), cache.key(("ab", "c")));
        assert_eq!(cache.key(("a", "bc")), cache.key(("a", "bc")));
    }
}
