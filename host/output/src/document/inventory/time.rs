//! Times in a document that is also read.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use chrono::{DateTime, Datelike};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::document::text_of;
use crypto_tracer_event::{Timestamp, schema};

/// A time, written as `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&text_of(self.0))
    }
}

impl FromStr for Time {
    type Err = ();

    /// Reads only the written form: other spellings of a time would not be written back as they were.
    fn from_str(text: &str) -> Result<Time, ()> {
        const LEN: usize = "YYYY-MM-DDTHH:MM:SS.ffffffZ".len();
        let is_short =
            text.len() == LEN && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
        let time =
            DateTime::parse_from_rfc3339(text).ok().filter(|time| is_short && time.year() >= 0);
        Ok(Time(Timestamp(time.ok_or(())?.timestamp_micros())))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|()| {
            let expected = "a time such as 2026-01-31T08:00:00.000000Z";
            de::Error::invalid_value(de::Unexpected::Str(&text), &expected)
        })
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema::timestamp(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_written_time_is_read_as_it_was(at in 0..253_402_300_800_000_000_i64) {
            let time = Time(Timestamp(at));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9TZ:.+ -]{0,30}") {
            if let Ok(time) = text.parse::<Time>() {
                prop_assert_eq!(time.to_string(), text);
            }
        }
    }

    #[test]
    fn invalid_dates_are_refused() {
        for text in [
            "",
            "2026-02-30T00:00:00.000000Z",
            "2026-01-31T24:00:00.000000Z",
            "2026-01-31T08:00:00Z",
            "2026-01-31 08:00:00.000000Z",
            "2026-01-31T08:00:00.000000+",
        ] {
            assert_eq!(text.parse::<Time>(), Err(()), "{text}");
        }
    }
}
