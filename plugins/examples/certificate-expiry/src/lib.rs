//! Labels opens of certificates that have expired, or soon will, at the time of the event.
//!
//! The classifier `x509-details` gives the end of a certificate as a label, which this filter reads.

use crypto_tracer_plugin::{Decision, Event, Filter, log};
use serde::Deserialize;

const DAY_US: i64 = 86_400_000_000;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expiry {
    /// Days before the end from which a certificate is labelled.
    days: u32,
}

impl Default for Expiry {
    fn default() -> Expiry {
        Expiry { days: 30 }
    }
}

impl Filter<Expiry> for Expiry {
    fn new(config: Expiry) -> Result<Expiry, String> {
        Ok(config)
    }

    fn decide(&mut self, event: &Event) -> Decision {
        // Of a bundle, the certificate that ends first.
        let end = event.label("earliest_not_after").or_else(|| event.label("not_after"));
        let Some(end) = end else { return Decision::Keep };
        let Some(end_us) = micros(&end) else {
            log!(warn, "not a time: {end}");
            return Decision::Keep;
        };
        // The clock of a plugin stands still; the time is that of the event, also in a replay.
        let left = end_us.saturating_sub(i64::try_from(event.timestamp()).unwrap_or(i64::MAX));
        if left < 0 {
            return Decision::label("expiry", "expired");
        }
        let days = left / DAY_US;
        if days >= i64::from(self.days) {
            return Decision::Keep;
        }
        Decision::label("expiry", "soon").and("expires_in_days", days.to_string())
    }
}

/// Microseconds since 1970 of a time such as `2026-03-02T10:30:45Z`.
fn micros(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok().map(i64::from);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let separated = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "Z")]
        .into_iter()
        .all(|(at, mark)| text.get(at..at + 1) == Some(mark));
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !separated || text.len() != 20 || !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 of a date in the Gregorian calendar, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000)
}

crypto_tracer_plugin::filter!(Expiry);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    #[test]
    fn times_are_read() {
        assert_eq!(micros("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(micros("2000-02-29T12:00:00Z"), Some(951_825_600_000_000));
        assert_eq!(micros("2026-03-02T10:30:45Z"), Some(1_772_447_445_000_000));
        assert_eq!(micros("9999-12-31T23:59:59Z"), Some(253_402_300_799_000_000));
        for odd in ["", "2026-03-02", "2026-13-02T10:30:45Z", "2026-03-02T10:30:45+01", "é2026"] {
            assert_eq!(micros(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_time_of_the_event_decides() {
        let mut expiry: Expiry = testing::filter("{}").unwrap();
        let mut at = |time| {
            let event = testing::Event::file_open("/etc/a.pem", "certificate");
            let event = event.with_label("not_after", "2026-03-02T10:30:45Z");
            expiry.decide(&event.at(u64::try_from(micros(time).unwrap()).unwrap()))
        };
        assert_eq!(at("2026-01-01T00:00:00Z"), Decision::Keep);
        let soon = |days| Decision::label("expiry", "soon").and("expires_in_days", days);
        assert_eq!(at("2026-02-02T00:00:00Z"), soon("28"));
        assert_eq!(at("2026-03-02T10:30:45Z"), soon("0"));
        assert_eq!(at("2026-03-02T10:30:46Z"), Decision::label("expiry", "expired"));
    }

    #[test]
    fn other_events_are_kept() {
        let mut expiry: Expiry = testing::filter("{}").unwrap();
        assert_eq!(expiry.decide(&testing::Event::process_exit(0)), Decision::Keep);
        let event = testing::Event::process_exit(0).with_label("not_after", "never");
        assert_eq!(expiry.decide(&event), Decision::Keep);
    }
}
