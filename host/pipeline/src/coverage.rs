//! What a recording captured of what today's plugins ask for. What it did not capture cannot come back.

use std::collections::BTreeSet;

use crypto_tracer_event::interest::Interest;

/// What is captured at this point of a recording.
#[derive(Clone, Debug, Default)]
pub struct RecordingCoverage(Interest);

impl RecordingCoverage {
    /// At its start.
    pub fn new(then: Interest) -> RecordingCoverage {
        RecordingCoverage(then)
    }

    /// What is missing, for people.
    pub fn missing(&self, today: &Interest) -> Option<String> {
        told(
            "did not capture",
            &lacking(today, &self.0),
            "the plugins of that run did not ask for it",
        )
    }

    /// The recorded run went on with other plugins: what that changed, for people.
    pub fn change(&mut self, today: &Interest, then: Interest) -> Vec<String> {
        let before = lacking(today, &self.0);
        let now = lacking(today, &then);
        self.0 = then;
        let others = "that run went on with other plugins";
        let gained = told("captured", &before.difference(&now).cloned().collect(), others);
        let lost = told("did not capture", &now.difference(&before).cloned().collect(), others);
        gained.into_iter().chain(lost).collect()
    }
}

fn told(did: &str, words: &BTreeSet<String>, why: &str) -> Option<String> {
    let listed: Vec<&str> = words.iter().map(String::as_str).collect();
    (!listed.is_empty()).then(|| format!("the recording {did} {}: {why}", listed.join(", ")))
}

/// The words of `today` that are not in `then`.
fn lacking(today: &Interest, then: &Interest) -> BTreeSet<String> {
    let files =
        today.suffixes.difference(&then.suffixes).chain(today.names.difference(&then.names));
    let files = files.chain(today.prefixes.difference(&then.prefixes));
    let all = files.chain(today.libraries.difference(&then.libraries));
    all.map(|word| format!("{word:?}")).collect()
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
    fn what_is_missing_for_a_part_is_told_where_that_begins() {
        let today = interest(&[".aaa", ".bbb", ".ccc"]);
        let mut coverage = RecordingCoverage::new(interest(&[".aaa", ".ddd"]));
        let missing = coverage.missing(&today).unwrap();
        assert!(missing.contains("did not capture \".bbb\", \".ccc\": "), "{missing}");
        let changes = coverage.change(&today, interest(&[".bbb"]));
        assert_eq!(changes.len(), 2);
        assert!(changes[0].contains("recording captured \".bbb\": "), "{changes:?}");
        assert!(changes[1].contains("recording did not capture \".aaa\": "), "{changes:?}");
        assert!(coverage.change(&today, interest(&[".bbb", ".eee"])).is_empty());
        coverage.change(&today, today.clone());
        assert_eq!(coverage.missing(&today), None);
    }
}
