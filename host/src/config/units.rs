//! Values with a unit.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Bytes: `4096`, or a string such as `"8MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) u64);

/// A duration: seconds, or a string such as `"60s"`, `"5m"`, `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DurationText(pub(super) Duration);

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "expected a number, or a string of a number and a unit")]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        match NumberOrText::deserialize(from)? {
            NumberOrText::Number(bytes) => Ok(ByteSize(bytes)),
            NumberOrText::Text(text) => parse_size(&text).map(ByteSize).ok_or_else(|| {
                D::Error::custom(format!("{text:?} is not a size; write for example \"8MiB\""))
            }),
        }
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<DurationText, D::Error> {
        match NumberOrText::deserialize(from)? {
            NumberOrText::Number(seconds) => Ok(DurationText(Duration::from_secs(seconds))),
            NumberOrText::Text(text) => parse_duration(&text).map(DurationText).ok_or_else(|| {
                D::Error::custom(format!("{text:?} is not a duration; write for example \"60s\""))
            }),
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("16MiB", 16 << 20), ("4 KiB", 4096), ("7", 7), ("1GiB", 1 << 30), ("9B", 9)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1MB", "1.5MiB", "-1", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("60s", 60), ("5m", 300), ("1h", 3600), ("7", 7)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1d", "1.5h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
