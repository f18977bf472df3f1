//! Paths of cgroups by their ids, and which ones are to be asked for.

use std::sync::Arc;

use hashlink::LruCache;

/// Cgroups that are remembered.
const MOST: usize = 4096;
/// The id of every hierarchy's root.
const ROOT: u64 = 1;
/// How often one is asked for before it is given up.
const MOST_ASKED: u32 = 8;
/// When it is asked for again the first time, after that twice as late each time: whoever does not answer is slow, and each
/// question holds up the events.
const AGAIN_NS: u64 = 1_000_000_000;

/// The step's memory of cgroups.
#[derive(Debug)]
pub(super) struct Cgroups(LruCache<u64, CgroupState>);

#[derive(Debug)]
enum CgroupState {
    /// None: it could not be found.
    Is(Option<Arc<str>>),
    /// There was no answer in time.
    Unanswered { asked: u32, again_ns: u64 },
}

impl Default for Cgroups {
    fn default() -> Self {
        let mut known = LruCache::new(MOST);
        known.insert(ROOT, CgroupState::Is(Some("/".into())));
        Cgroups(known)
    }
}

impl Cgroups {
    /// The path, as far as it is known.
    pub(super) fn path(&mut self, id: u64) -> Option<Arc<str>> {
        match self.0.get(&id)? {
            CgroupState::Is(path) => path.clone(),
            CgroupState::Unanswered { .. } => None,
        }
    }

    /// Whether it is to be asked for at this time of the boot clock.
    pub(super) fn is_wanted(&self, id: u64, ts_ns: u64) -> bool {
        match self.0.peek(&id) {
            None => true,
            Some(CgroupState::Is(_)) => false,
            Some(&CgroupState::Unanswered { again_ns, .. }) => ts_ns >= again_ns,
        }
    }

    /// Takes in its path; None: it is not to be found, and not asked for again.
    pub(super) fn insert(&mut self, id: u64, path: Option<&str>) {
        self.0.insert(id, CgroupState::Is(path.map(Arc::from)));
    }

    /// Nobody answered in time.
    pub(super) fn unanswered(&mut self, id: u64, ts_ns: u64) {
        let before = match self.0.peek(&id) {
            Some(&CgroupState::Unanswered { asked, .. }) => asked,
            Some(CgroupState::Is(_)) | None => 0,
        };
        let asked = before + 1;
        let again_ns = ts_ns.saturating_add(AGAIN_NS << before);
        let given_up = asked >= MOST_ASKED;
        let place = if given_up {
            CgroupState::Is(None)
        } else {
            CgroupState::Unanswered { asked, again_ns }
        };
        self.0.insert(id, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_answer_is_asked_again_later_and_not_for_ever() {
        let mut cgroups = Cgroups::default();
        assert!(cgroups.is_wanted(7, 0) && !cgroups.is_wanted(ROOT, 0));
        cgroups.unanswered(7, 5);
        assert_eq!(cgroups.path(7), None);
        assert!(!cgroups.is_wanted(7, 5) && cgroups.is_wanted(7, 5 + AGAIN_NS));
        cgroups.insert(7, Some("/docker/x"));
        assert_eq!(cgroups.path(7).as_deref(), Some("/docker/x"));
        let mut now = 0;
        for asked in 0..MOST_ASKED {
            assert!(cgroups.is_wanted(8, now), "{asked}");
            cgroups.unanswered(8, now);
            now += AGAIN_NS << asked;
        }
        assert!(!cgroups.is_wanted(8, u64::MAX));
    }
}
