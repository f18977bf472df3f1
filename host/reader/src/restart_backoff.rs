//! Whose files made readers hang. One user's file systems are no reason to look at nobody's files any more: he is left
//! alone for a while, each time for longer. However many users do it together, they hold a bounded number of processes.

use std::time::{Duration, Instant};

use hashlink::LruCache;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// How often in a row a reader is replaced at once.
const MOST_AT_ONCE: u32 = 4;
/// After which time it may be replaced once more.
const ANOTHER_AFTER: Duration = Duration::from_secs(30);
/// Readers that hang at a time: each is a process that nobody can end.
const MOST_HANGING: usize = 32;
/// Users that are remembered.
const MOST_USERS: usize = 1024;
/// Whoever made one hang for the second time is left alone for this long, the next time for twice as long.
const REST: Duration = Duration::from_secs(10);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// Who made none hang for so long begins anew.
const FORGIVEN_AFTER: Duration = Duration::from_secs(2 * 3600);

/// The memory of readers that hung.
#[derive(Debug)]
pub(super) struct RestartBackoff {
    /// Process ids of those that may hang still.
    pids: Vec<i32>,
    /// Replacements that may be made at once, and since when that is so.
    credit: u32,
    since: Instant,
    users: LruCache<u32, UserRestarts>,
}

#[derive(Debug)]
struct UserRestarts {
    times: u32,
    last: Instant,
}

impl Default for RestartBackoff {
    fn default() -> Self {
        RestartBackoff {
            pids: Vec::new(),
            credit: MOST_AT_ONCE,
            since: Instant::now(),
            users: LruCache::new(MOST_USERS),
        }
    }
}

impl RestartBackoff {
    /// One hung, at a file of this user where it was files that it was asked for.
    pub(super) fn count(&mut self, pid: i32, whose: Option<u32>) {
        self.count_at(pid, whose, Instant::now());
    }

    fn count_at(&mut self, pid: i32, whose: Option<u32>, now: Instant) {
        self.pids.push(pid);
        let Some(uid) = whose else { return };
        self.refill(now);
        self.credit = self.credit.saturating_sub(1);
        match self.users.get_mut(&uid) {
            Some(user) if now.duration_since(user.last) < FORGIVEN_AFTER => {
                *user = UserRestarts { times: user.times.saturating_add(1), last: now };
            }
            _ => {
                self.users.insert(uid, UserRestarts { times: 1, last: now });
            }
        }
    }

    /// Whether another reader may be made.
    pub(super) fn may_be_replaced(&mut self) -> bool {
        self.pids.retain(|&pid| is_there(pid));
        self.may_be_replaced_at(Instant::now())
    }

    fn may_be_replaced_at(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.credit > 0 && self.pids.len() < MOST_HANGING
    }

    fn refill(&mut self, now: Instant) {
        while self.credit < MOST_AT_ONCE && now.duration_since(self.since) >= ANOTHER_AFTER {
            self.credit += 1;
            self.since += ANOTHER_AFTER;
        }
        if self.credit == MOST_AT_ONCE {
            self.since = now;
        }
    }

    /// Whether this user's files are not looked at for now.
    pub(super) fn is_backing_off(&self, uid: u32) -> bool {
        self.is_backing_off_at(uid, Instant::now())
    }

    fn is_backing_off_at(&self, uid: u32, now: Instant) -> bool {
        self.users.peek(&uid).is_some_and(|user| {
            // The first time may have been bad luck.
            let rest = match user.times.checked_sub(2) {
                None => Duration::ZERO,
                Some(more) => (REST * 2_u32.pow(more.min(16))).min(LONGEST_REST),
            };
            now.duration_since(user.last) < rest
        })
    }
}

fn is_there(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: u32 = 1;
    const GOOD: u32 = 2;

    #[test]
    fn who_made_one_hang_twice_rests_and_nobody_else() {
        let (mut hung, start) = (RestartBackoff::default(), Instant::now());
        hung.count_at(1, Some(EVIL), start);
        assert!(!hung.is_backing_off_at(EVIL, start), "once may be bad luck");
        let mut now = start;
        for rest in [10, 20, 40, 80] {
            hung.count_at(1, Some(EVIL), now);
            assert!(hung.is_backing_off_at(EVIL, now) && !hung.is_backing_off_at(GOOD, now));
            now += Duration::from_secs(rest);
            assert!(!hung.is_backing_off_at(EVIL, now));
            assert!(hung.is_backing_off_at(EVIL, now - Duration::from_millis(1)));
        }
        for _ in 0..40 {
            hung.count_at(1, Some(EVIL), now);
        }
        assert!(!hung.is_backing_off_at(EVIL, now + LONGEST_REST));
        now += FORGIVEN_AFTER;
        hung.count_at(1, Some(EVIL), now);
        assert!(!hung.is_backing_off_at(EVIL, now), "it begins anew");
    }

    #[test]
    fn four_at_once_are_forgiven_after_a_while() {
        let (mut hung, start) = (RestartBackoff::default(), Instant::now());
        for uid in 0..MOST_AT_ONCE {
            assert!(hung.may_be_replaced_at(start), "{uid}");
            hung.count_at(1, Some(uid), start);
        }
        assert!(!hung.may_be_replaced_at(start));
        assert!(!hung.may_be_replaced_at(start + ANOTHER_AFTER / 2));
        let later = start + ANOTHER_AFTER;
        assert!(hung.may_be_replaced_at(later));
        hung.count_at(1, Some(9), later);
        assert!(!hung.may_be_replaced_at(later));
        let much_later = later + ANOTHER_AFTER * 100;
        for uid in 0..MOST_AT_ONCE {
            assert!(hung.may_be_replaced_at(much_later), "{uid}");
            hung.count_at(1, Some(uid), much_later);
        }
        assert!(!hung.may_be_replaced_at(much_later));
    }

    #[test]
    fn those_that_hang_are_bounded_until_they_are_gone() {
        let mut hung = RestartBackoff::default();
        let own = i32::try_from(std::process::id()).unwrap();
        for _ in 0..MOST_HANGING {
            assert!(hung.may_be_replaced());
            hung.count(own, None);
        }
        assert!(!hung.may_be_replaced());
        hung.pids.pop();
        hung.pids.push(i32::MAX);
        assert!(hung.may_be_replaced(), "one of them is gone");
    }
}
