//! Shows the first events of a kind in each minute. The next event that is shown has the number of those that were not.

use std::collections::BTreeMap;

use crypto_tracer_plugin::{Decision, Event, Filter};
use serde::Deserialize;

const MINUTE_US: u64 = 60_000_000;
/// Kinds of events in one minute. Further kinds are shown: a flood of different events must not hide one.
const MAX_KINDS: usize = 4096;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Events of a kind that are shown in each minute.
    first: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config { first: 10 }
    }
}

struct FirstInMinute {
    first: u64,
    minute: u64,
    /// Events of this minute by kind, and those not shown since the last one that was.
    kinds: BTreeMap<String, Count>,
}

#[derive(Default)]
struct Count {
    seen: u64,
    left_out: u64,
}

impl Filter<Config> for FirstInMinute {
    fn new(config: Config) -> Result<FirstInMinute, String> {
        if config.first == 0 {
            return Err("`first` is 0, so no event would be shown".to_owned());
        }
        Ok(FirstInMinute { first: config.first, minute: 0, kinds: BTreeMap::new() })
    }

    fn decide(&mut self, event: &Event) -> Decision {
        let minute = event.timestamp() / MINUTE_US;
        if minute != self.minute {
            self.minute = minute;
            // Counts that no event has shown yet stay.
            self.kinds.retain(|_, count| count.left_out > 0);
            self.kinds.values_mut().for_each(|count| count.seen = 0);
        }
        let kind = kind(event);
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
            return Decision::Keep;
        }
        let count = self.kinds.entry(kind).or_default();
        count.seen += 1;
        if count.seen > self.first {
            count.left_out += 1;
            return Decision::Drop;
        }
        match std::mem::take(&mut count.left_out) {
            0 => Decision::Keep,
            left_out => Decision::label("left_out", left_out.to_string()),
        }
    }
}

/// Events of one type by one program, about one file or library.
fn kind(event: &Event) -> String {
    let file = event.file().unwrap_or_default();
    let program = event.exe().unwrap_or_else(|| event.process());
    [event.event_type().as_str(), program.as_str(), file.as_str()].join("\0")
}

crypto_tracer_plugin::filter!(FirstInMinute);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    fn open(second: u64) -> testing::Event {
        testing::Event::file_open("/etc/a.pem", "certificate").at(second * 1_000_000)
    }

    fn two() -> FirstInMinute {
        testing::filter(r#"{"first": 2}"#).unwrap()
    }

    #[test]
    fn the_count_is_on_the_next_event_that_is_shown() {
        let mut filter = two();
        let decisions = [0, 1, 2, 3, 59].map(|second| filter.decide(&open(second)));
        assert_eq!(decisions[..2], [Decision::Keep, Decision::Keep]);
        assert_eq!(decisions[2..], [Decision::Drop, Decision::Drop, Decision::Drop]);
        assert_eq!(filter.decide(&open(200)), Decision::label("left_out", "3"));
        assert_eq!(filter.decide(&open(201)), Decision::Keep);
    }

    #[test]
    fn kinds_are_counted_separately() {
        let mut filter = two();
        for second in 0..2 {
            assert_eq!(filter.decide(&open(second)), Decision::Keep);
        }
        let others =
            [open(3).by("nginx", "/usr/sbin/nginx"), testing::Event::process_exit(0).at(4)];
        for other in others {
            assert_eq!(filter.decide(&other), Decision::Keep);
        }
        assert_eq!(filter.decide(&open(5)), Decision::Drop);
    }

    #[test]
    fn memory_is_bounded_and_a_flood_hides_nothing() {
        let mut filter = two();
        for number in 0..2 * MAX_KINDS {
            let event = testing::Event::file_open(&format!("/tmp/{number}.pem"), "certificate");
            assert_eq!(filter.decide(&event.at(0)), Decision::Keep);
        }
        assert_eq!(filter.kinds.len(), MAX_KINDS);
    }

    #[test]
    fn nothing_at_all_is_refused() {
        assert!(testing::filter::<FirstInMinute, _>(r#"{"first": 0}"#).is_err());
    }
}
