//! Compares what a recording captured with what the current plugins request. A replay cannot show what was not captured.

use std::collections::BTreeSet;

use crypto_tracer_event::interest::Interest;

/// What is captured at the current position of a recording.
#[derive(Clone, Debug, Default)]
pub struct RecordingCoverage(Interest);

impl RecordingCoverage {
    /// `recorded`: the interest at the start of the recording.
    pub fn new(recorded: Interest) -> RecordingCoverage {
        RecordingCoverage(recorded)
    }

    /// Returns a message that lists what was not captured; `None` if nothing is missing.
    pub fn missing(&self, current: &Interest) -> Option<String> {
        message(
            "did not capture",
            &not_captured(current, &self.0),
            "the plugins of the recorded run did not request it",
        )
    }

    /// Continues with the interest of plugins that a reload of the recorded run has loaded. Returns messages about the
    /// changes.
    pub(crate) fn change(&mut self, current: &Interest, recorded: Interest) -> Vec<String> {
        let before = not_captured(current, &self.0);
        let now = not_captured(current, &recorded);
        self.0 = recorded;
        let reason = "the recorded run reloaded its plugins";
        let gained = message("captured", &before.difference(&now).cloned().collect(), reason);
        let lost = message("did not capture", &now.difference(&before).cloned().collect(), reason);
        gained.into_iter().chain(lost).collect()
    }
}

fn message(verb: &str, entries: &BTreeSet<String>, reason: &str) -> Option<String> {
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    (!entries.is_empty()).then(|| format!("the recording {verb} {}: {reason}", entries.join(", ")))
}

/// Returns the entries of `current` that are not in `recorded`.
fn not_captured(current: &Interest, recorded: &Interest) -> BTreeSet<String> {
    let suffixes = current.suffixes.difference(&recorded.suffixes);
    let names = current.names.difference(&recorded.names);
    let prefixes = current.prefixes.difference(&recorded.prefixes);
    let libraries = current.libraries.difference(&recorded.libraries);
    let all = suffixes.chain(names).chain(prefixes).chain(libraries);
    all.map(|entry| format!("{entry:?}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest(suffixes: &[&str]) -> Interest {
        let mut interest = Interest::default();
        suffixes.iter().for_each(|suffix| interest.add_suffix(suffix).unwrap());
        interest
    }

    #[test]
    fn changes_are_reported_where_they_begin() {
        let current = interest(&[".aaa", ".bbb", ".ccc"]);
        let mut coverage = RecordingCoverage::new(interest(&[".aaa", ".ddd"]));
        let missing = coverage.missing(&current).unwrap();
        assert!(missing.contains("did not capture \".bbb\", \".ccc\": "), "{missing}");
        let changes = coverage.change(&current, interest(&[".bbb"]));
        assert_eq!(changes.len(), 2);
        assert!(changes[0].contains("recording captured \".bbb\": "), "{changes:?}");
        assert!(changes[1].contains("recording did not capture \".aaa\": "), "{changes:?}");
        assert!(coverage.change(&current, interest(&[".bbb", ".eee"])).is_empty());
        coverage.change(&current, current.clone());
        assert_eq!(coverage.missing(&current), None);
    }
}
