//! Counters of a run. Every lost event is counted here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::{HeadOutcome, PluginFailure, PluginKind, Verdict};

/// Maximum number of users whose missing heads are counted separately.
const MAX_USERS: usize = 256;

/// Losses by one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossCount {
    /// Number of losses.
    pub count: u64,
    /// Whether each loss is an event. `false` if the kernel's counter includes misses that filters would have removed.
    pub exact: bool,
}

/// Counters of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records received from the kernel.
    pub received: u64,
    /// Events passed to the output.
    pub shown: u64,
    /// Events that the host's or the plugins' filters removed or classifiers skipped, and repeated loads of a library.
    pub filtered: u64,
    /// Opens of files that the classifiers skipped. They are filtered too.
    pub skipped: u64,
    /// Losses by cause.
    pub lost: BTreeMap<Cow<'static, str>, LossCount>,
    /// Failed plugin calls by plugin, kind and cause.
    pub plugin_failures: BTreeMap<(String, PluginKind, String), u64>,
    /// Heads that a classifier requested and did not get, by user and outcome: late or denied. `None`: the users beyond the
    /// first [`MAX_USERS`].
    pub missing_heads: BTreeMap<(Option<u32>, HeadOutcome), u64>,
}

impl Stats {
    /// Counts lost events.
    pub(crate) fn add_loss(&mut self, cause: impl Into<Cow<'static, str>>, count: u64) {
        self.add_loss_count(cause, LossCount { count, exact: true });
    }

    /// Counts losses, exact or not.
    pub(crate) fn add_loss_count(&mut self, cause: impl Into<Cow<'static, str>>, loss: LossCount) {
        if loss.count > 0 {
            let LossCount { count, exact } = loss;
            let sum =
                &mut self.lost.entry(cause.into()).or_insert(LossCount { count: 0, exact }).count;
            // A recording may contain any number.
            *sum = sum.saturating_add(count);
        }
    }

    /// Counts failed calls of a plugin.
    pub(crate) fn attribute(&mut self, failure: &PluginFailure) {
        let PluginFailure { plugin, kind, cause, count, .. } = failure;
        *self.plugin_failures.entry((plugin.clone(), *kind, cause.clone())).or_default() += count;
    }

    /// Counts the head of an opened file if a classifier requested it and did not get it. The type of such a file is that
    /// of its name alone.
    pub(crate) fn count_head(&mut self, uid: u32, verdict: &Verdict) {
        if matches!(verdict.head, HeadOutcome::Late | HeadOutcome::Denied) {
            let key = (Some(uid), verdict.head);
            let has_room = self.missing_heads.len() < 2 * MAX_USERS;
            let known = has_room || self.missing_heads.contains_key(&key);
            let key = if known { key } else { (None, verdict.head) };
            *self.missing_heads.entry(key).or_default() += 1;
        }
    }

    /// Returns the missing heads as a sentence for the operator, the users with most of them first. `None`: no head is
    /// missing.
    pub fn missing_heads_summary(&self) -> Option<String> {
        /// Maximum number of users that are listed.
        const MAX_LISTED: usize = 8;
        let mut users: BTreeMap<Option<u32>, [u64; 2]> = BTreeMap::new();
        for (&(uid, head), &count) in &self.missing_heads {
            let [late, denied] = users.entry(uid).or_default();
            *(if head == HeadOutcome::Late { late } else { denied }) += count;
        }
        let mut users: Vec<(Option<u32>, [u64; 2])> = users.into_iter().collect();
        users.sort_by_key(|(_, [late, denied])| std::cmp::Reverse(late + denied));
        let others = users.len().saturating_sub(MAX_LISTED);
        let user = |&(uid, [late, denied]): &(Option<u32>, [u64; 2])| {
            let user = uid.map_or("other users".to_owned(), |uid| format!("user {uid}"));
            format!("{user} {late} late and {denied} denied")
        };
        let listed: Vec<String> = users.iter().take(MAX_LISTED).map(user).collect();
        let more =
            if others > 0 { format!("; and {}", counted(others, "user")) } else { String::new() };
        (!listed.is_empty())
            .then(|| format!("heads of files that could not be read: {}{more}", listed.join("; ")))
    }

    /// Returns the number of lost events that were counted exactly.
    pub fn lost(&self) -> u64 {
        let exact = self.lost.values().filter(|loss| loss.exact);
        exact.fold(0, |sum, loss| sum.saturating_add(loss.count))
    }
}

impl Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = counted(self.shown, "event");
        write!(f, "{shown} shown, {} filtered, {} lost", self.filtered, self.lost())?;
        let mut separator = " (";
        for (cause, loss) in &self.lost {
            let estimate = if loss.exact { "" } else { "perhaps " };
            write!(f, "{separator}{cause} {estimate}{}", loss.count)?;
            separator = ", ";
        }
        if !self.lost.is_empty() {
            f.write_str(")")?;
        }
        let failures: u64 = self.plugin_failures.values().sum();
        let (received, failures) =
            (counted(self.received, "record"), counted(failures, "plugin failure"));
        write!(f, "; {received} received; {failures}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_event::{FileType, testkit};

    #[test]
    fn missing_heads_are_counted_by_user_and_bounded() {
        let mut stats = Stats::default();
        let verdict = |head| Verdict { head, ..testkit::verdict(FileType::Unknown) };
        for (uid, head) in [
            (1000, HeadOutcome::Late),
            (1000, HeadOutcome::Late),
            (1000, HeadOutcome::Denied),
            (33, HeadOutcome::Denied),
            (7, HeadOutcome::Read),
            (7, HeadOutcome::Gone),
        ] {
            stats.count_head(uid, &verdict(head));
        }
        assert_eq!(
            stats.missing_heads_summary().unwrap(),
            "heads of files that could not be read: user 1000 2 late and 1 denied; user 33 0 late and 1 denied"
        );
        (0..100_000).for_each(|uid| stats.count_head(uid, &verdict(HeadOutcome::Late)));
        assert!(stats.missing_heads.len() <= 2 * MAX_USERS + 2);
        assert_eq!(stats.missing_heads.values().sum::<u64>(), 100_004);
        let summary = stats.missing_heads_summary().unwrap();
        assert!(summary.contains("other users 99") && summary.len() < 400, "{summary}");
        assert_eq!(Stats::default().missing_heads_summary(), None);
    }

    #[test]
    fn losses_are_listed_by_cause() {
        let mut stats = Stats { received: 9, shown: 5, filtered: 2, ..Stats::default() };
        assert_eq!(
            stats.to_string(),
            "5 events shown, 2 filtered, 0 lost; 9 records received; 0 plugin failures"
        );
        stats.add_loss("ring_full", 0);
        assert!(stats.lost.is_empty());
        stats.add_loss("ring_full", 3);
        stats.add_loss("ring_full", 1);
        stats.add_loss("malformed", 1);
        stats.add_loss_count("probe_missed", LossCount { count: 9, exact: false });
        assert_eq!(
            stats.to_string(),
            "5 events shown, 2 filtered, 5 lost (malformed 1, probe_missed perhaps 9, ring_full 4); 9 records received; 0 plugin failures"
        );
        for cause in ["ring_full", "another"] {
            stats.add_loss(cause, u64::MAX);
        }
        assert_eq!(stats.lost(), u64::MAX, "counters saturate");
    }
}
