//! Shares of a resource by user: a user who has used up the share waits alone, and the others go first.
//!
//! A user's subordinate ids, of which a user may have thousands, have one share.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hashlink::LruCache;

use crate::accounts::SubordinateIds;

/// Size of a share.
#[derive(Clone, Copy, Debug)]
pub struct SharePolicy {
    /// Percentage of the time that a user may use in the long run.
    pub percent: u32,
    /// Time that a user may use at once.
    pub burst: Duration,
    /// Cost that a request is expected to have. It spreads the requests of a user among those of the others.
    pub expected: Duration,
    /// Maximum number of users. Beyond that, the one that was not charged for longest is forgotten.
    pub max_users: usize,
}

/// Used time by user.
#[derive(Debug)]
pub struct Shares {
    policy: SharePolicy,
    owners: SubordinateIds,
    debts: LruCache<u32, Debt>,
}

/// Time that was used, less what has become free since.
#[derive(Clone, Copy, Debug)]
struct Debt {
    used: Duration,
    at: Instant,
}

impl Shares {
    /// No user has used anything. `owners`: the users whose subordinate ids share with them.
    pub fn new(policy: SharePolicy, owners: SubordinateIds) -> Shares {
        Shares { policy, owners, debts: LruCache::new(policy.max_users) }
    }

    /// The user who is charged for `uid`.
    pub fn owner(&self, uid: u32) -> u32 {
        self.owners.owner(uid)
    }

    /// Charges a user.
    pub fn charge(&mut self, uid: u32, took: Duration, now: Instant) {
        let owner = self.owner(uid);
        let used = self.debt(owner, now) + took;
        self.debts.insert(owner, Debt { used, at: now });
    }

    /// Whether the user has used up the share. Root has no limit: root could end the tracer.
    pub fn is_used_up(&self, uid: u32, now: Instant) -> bool {
        let owner = self.owner(uid);
        owner != 0 && self.debt(owner, now) >= self.policy.burst
    }

    /// Returns the order in which requests of these users are served, as indices: those of a user who has used little come
    /// first, and each further request of a user counts as if the ones before it had been charged. Requests of users who
    /// have used up their share are omitted.
    pub fn order(&self, uids: impl IntoIterator<Item = u32>, now: Instant) -> Vec<usize> {
        let mut after: HashMap<u32, Duration> = HashMap::new();
        let mut order: Vec<(Duration, usize)> = Vec::new();
        for (index, uid) in uids.into_iter().enumerate() {
            if self.is_used_up(uid, now) {
                continue;
            }
            let owner = self.owner(uid);
            let debt = after.entry(owner).or_insert_with(|| self.debt(owner, now));
            order.push((*debt, index));
            *debt += self.policy.expected;
        }
        order.sort_unstable();
        order.into_iter().map(|(_, index)| index).collect()
    }

    fn debt(&self, owner: u32, now: Instant) -> Duration {
        let Some(Debt { used, at }) = self.debts.peek(&owner) else { return Duration::ZERO };
        let free = now.saturating_duration_since(*at) * self.policy.percent / 100;
        used.saturating_sub(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SharePolicy = SharePolicy {
        percent: 10,
        burst: Duration::from_millis(300),
        expected: Duration::from_millis(1),
        max_users: 4,
    };
    const ALICE: u32 = 1000;
    const BOB: u32 = 1001;

    fn shares() -> Shares {
        Shares::new(POLICY, SubordinateIds::parse("alice:100000:65536\n", |_| Some(ALICE)))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_user_over_the_share_waits_alone_until_a_part_is_free() {
        let (mut shares, start) = (shares(), Instant::now());
        shares.charge(ALICE, ms(299), start);
        assert!(!shares.is_used_up(ALICE, start));
        shares.charge(ALICE, ms(1), start);
        assert!(shares.is_used_up(ALICE, start) && !shares.is_used_up(BOB, start));
        assert!(!shares.is_used_up(ALICE, start + ms(10)), "a tenth of the time becomes free");
        shares.charge(ALICE, ms(31), start + ms(300));
        assert!(shares.is_used_up(ALICE, start + ms(300)));
        assert!(!shares.is_used_up(ALICE, start + ms(320)));
    }

    #[test]
    fn a_steady_user_below_the_share_never_waits() {
        let (mut shares, start) = (shares(), Instant::now());
        for second in 0..100 {
            let now = start + ms(1000 * second);
            shares.charge(ALICE, ms(99), now);
            assert!(!shares.is_used_up(ALICE, now));
        }
    }

    #[test]
    fn subordinate_ids_are_charged_to_their_owner() {
        let (mut shares, now) = (shares(), Instant::now());
        for id in 0..300 {
            shares.charge(100_000 + id, ms(1), now);
        }
        assert!(shares.is_used_up(ALICE, now) && shares.is_used_up(165_535, now));
        assert!(!shares.is_used_up(165_536, now));
    }

    #[test]
    fn root_is_never_refused_but_comes_last() {
        let (mut shares, now) = (shares(), Instant::now());
        shares.charge(0, ms(1000), now);
        assert!(!shares.is_used_up(0, now));
        assert_eq!(shares.order([0, BOB], now), [1, 0]);
    }

    #[test]
    fn requests_of_many_do_not_precede_those_of_few() {
        let (mut shares, now) = (shares(), Instant::now());
        let uids = [ALICE, ALICE, ALICE, 100_000, BOB, BOB];
        assert_eq!(shares.order(uids, now), [0, 4, 1, 5, 2, 3]);
        shares.charge(100_007, ms(5), now);
        assert_eq!(shares.order(uids, now), [4, 5, 0, 1, 2, 3]);
        shares.charge(ALICE, ms(295), now);
        assert_eq!(shares.order(uids, now), [4, 5]);
    }

    #[test]
    fn the_number_of_users_is_bounded() {
        let (mut shares, now) = (shares(), Instant::now());
        (1..100).for_each(|uid| shares.charge(uid, ms(1000), now));
        assert_eq!(shares.debts.len(), POLICY.max_users);
        assert!(shares.is_used_up(99, now) && !shares.is_used_up(1, now));
    }
}
