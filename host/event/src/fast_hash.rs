//! A fast hash with a secret seed, for keys whose hashes no attacker can observe.

use std::hash::{BuildHasher, RandomState};

/// Hashes in a third of the time of SipHash. The seed is random for each [`fast_hash`], but unlike with SipHash, it is not
/// proven that it stays secret from someone who sees hashes, or the time that lookups take. Use it for keys that the kernel
/// assigns, and for texts of users only in small tables or where no hash is shown.
pub type FastHash = foldhash::quality::FixedState;

/// Returns a hash with a new random seed.
pub fn fast_hash() -> FastHash {
    // The standard library's keys come from the system's random numbers.
    FastHash::with_seed(RandomState::new().hash_one(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_its_own_seed() {
        let (one, other) = (fast_hash(), fast_hash());
        assert_eq!(one.hash_one("/a.pem"), one.hash_one("/a.pem"));
        assert_ne!(one.hash_one("/a.pem"), one.hash_one("/b.pem"));
        assert_ne!(one.hash_one("/a.pem"), other.hash_one("/a.pem"));
    }
}
