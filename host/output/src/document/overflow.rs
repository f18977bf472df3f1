//! Counts what is beyond the limit of a list.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};

/// Maximum number of entries beyond a list that are counted. Each takes 64 bits.
const MAX_COUNTED: usize = 1 << 18;

/// Distinct entries beyond the limit of a list.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Overflow {
    pub(super) fn add(&mut self, key: &(impl Hash + ?Sized)) {
        if self.hashes.len() < MAX_COUNTED {
            self.hashes.insert(self.hasher.hash_one(key));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}
