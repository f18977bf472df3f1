//! Cache of cgroup paths by id, with the state of their lookups.

use std::sync::Arc;

use hashlink::LruCache;

use super::container;

/// Maximum number of cached cgroups.
const MAX_CGROUPS: usize = 4096;
/// Id of every hierarchy's root.
const ROOT: u64 = 1;
/// Maximum number of lookups of a cgroup without an answer.
const MAX_ATTEMPTS: u32 = 8;
/// Delay before the second lookup in nanoseconds; it doubles with each further one, because each lookup delays events.
const RETRY_NS: u64 = 1_000_000_000;

/// The cache.
#[derive(Debug)]
pub(super) struct Cgroups(LruCache<u64, CgroupState>);

#[derive(Debug)]
enum CgroupState {
    /// The path, and the container in it; `None` if the cgroup was not found.
    Resolved(Option<(Arc<str>, Option<Arc<str>>)>),
    /// There was no answer in time.
    TimedOut { attempts: u32, retry_ns: u64 },
}

impl Default for Cgroups {
    fn default() -> Self {
        let mut cache = LruCache::new(MAX_CGROUPS);
        cache.insert(ROOT, CgroupState::Resolved(Some(("/".into(), None))));
        Cgroups(cache)
    }
}

impl Cgroups {
    /// Returns the path and the container, if known.
    pub(super) fn path(&mut self, id: u64) -> (Option<Arc<str>>, Option<Arc<str>>) {
        match self.0.get(&id) {
            Some(CgroupState::Resolved(Some((path, container)))) => {
                (Some(path.clone()), container.clone())
            }
            Some(CgroupState::Resolved(None) | CgroupState::TimedOut { .. }) | None => (None, None),
        }
    }

    /// Returns whether to look the cgroup up at this time of the boot clock.
    pub(super) fn is_wanted(&self, id: u64, ts_ns: u64) -> bool {
        match self.0.peek(&id) {
            None => true,
            Some(CgroupState::Resolved(_)) => false,
            Some(&CgroupState::TimedOut { retry_ns, .. }) => ts_ns >= retry_ns,
        }
    }

    /// Inserts the path; `None` if the cgroup was not found, which ends the lookups.
    pub(super) fn insert(&mut self, id: u64, path: Option<&str>) {
        let resolved = path.map(|path| (Arc::from(path), container(path).map(Arc::from)));
        self.0.insert(id, CgroupState::Resolved(resolved));
    }

    /// Notes a lookup without an answer.
    pub(super) fn timed_out(&mut self, id: u64, ts_ns: u64) {
        let previous = match self.0.peek(&id) {
            Some(&CgroupState::TimedOut { attempts, .. }) => attempts,
            Some(CgroupState::Resolved(_)) | None => 0,
        };
        let attempts = previous + 1;
        let retry_ns = ts_ns.saturating_add(RETRY_NS << previous);
        let state = if attempts >= MAX_ATTEMPTS {
            CgroupState::Resolved(None)
        } else {
            CgroupState::TimedOut { attempts, retry_ns }
        };
        self.0.insert(id, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_without_an_answer_is_retried_a_limited_number_of_times() {
        let mut cgroups = Cgroups::default();
        assert!(cgroups.is_wanted(7, 0) && !cgroups.is_wanted(ROOT, 0));
        cgroups.timed_out(7, 5);
        assert_eq!(cgroups.path(7), (None, None));
        assert!(!cgroups.is_wanted(7, 5) && cgroups.is_wanted(7, 5 + RETRY_NS));
        cgroups.insert(7, Some("/docker/x"));
        assert_eq!(cgroups.path(7).0.as_deref(), Some("/docker/x"));
        let mut now = 0;
        for attempt in 0..MAX_ATTEMPTS {
            assert!(cgroups.is_wanted(8, now), "{attempt}");
            cgroups.timed_out(8, now);
            now += RETRY_NS << attempt;
        }
        assert!(!cgroups.is_wanted(8, u64::MAX));
    }
}
