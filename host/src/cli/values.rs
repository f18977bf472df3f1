//! Parsers of option values. An error states the problem and, where possible, a valid value.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crypto_tracer_pipeline::glob::Glob;

/// Longest duration: a hundred years. No clock overflows within it.
const MAX_SECONDS: u64 = 100 * 366 * 24 * 3600;

/// Parses text to search for.
pub(super) fn search_text() -> impl TypedValueParser<Value = OsString> {
    nonempty("it is empty; write the text to search for")
}

/// Parses non-empty text. `error` is the message for an empty one.
fn nonempty(error: &'static str) -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new()
        .try_map(move |text| if text.is_empty() { Err(error) } else { Ok(text) })
}

/// Parses a file, or a word that stands for one.
pub(super) fn file() -> impl TypedValueParser<Value = OsString> {
    nonempty("it is empty; name a file")
}

/// Parses a path. The file need not exist.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    file().map(PathBuf::from)
}

/// Parses the name of a probe.
pub(super) fn probe_name() -> impl TypedValueParser<Value = String> {
    text(|text| {
        if text.is_empty() {
            Err("it is empty; 'crypto-tracer doctor' lists the probes".to_owned())
        } else {
            Ok(text.to_owned())
        }
    })
}

/// Parses a pattern for whole paths.
pub(super) fn glob() -> impl TypedValueParser<Value = Glob> {
    text(parse_glob)
}

/// Parses a duration in whole seconds.
pub(super) fn duration() -> impl TypedValueParser<Value = Duration> {
    text(parse_duration)
}

/// Parses an interval: a duration of at least a second.
pub(super) fn interval() -> impl TypedValueParser<Value = Duration> {
    text(|text| match parse_duration(text)? {
        Duration::ZERO => Err("an interval is at least 1 s; write for example 1h".to_owned()),
        interval => Ok(interval),
    })
}

/// Parses a process id.
pub(super) fn pid() -> impl TypedValueParser<Value = u32> {
    text(parse_pid)
}

fn text<T: Clone + Send + Sync + 'static>(
    parse: fn(&str) -> Result<T, String>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |text| match text.to_str() {
        Some(text) => parse(text),
        None => Err("it is not UTF-8".to_owned()),
    })
}

fn parse_glob(text: &str) -> Result<Glob, String> {
    let hint = "write for example '*.pem' or '/etc/ssl/*'";
    if text.is_empty() {
        return Err(format!("an empty glob matches nothing; {hint}"));
    }
    Glob::new(text).map_err(|error| format!("{error}; {hint}"))
}

fn parse_pid(text: &str) -> Result<u32, String> {
    let error = "a process id is a whole number of at least 1, for example 1234";
    // The kernel's limit is 2^22. No process has a larger number.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&pid| digits && pid > 0).ok_or_else(|| error.to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let error = "write seconds, or a whole number with s, m or h, for example 30, 30s, 5m, 1h";
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.split_at(number.len()).1),
        None => (text, "s"),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error.to_owned());
    }
    let unit = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = number.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    match seconds.filter(|&seconds| seconds <= MAX_SECONDS) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("longer than a hundred years; 0 runs until Ctrl+C".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_all_spellings() {
        for (text, seconds) in
            [("0", 0), ("30", 30), ("30s", 30), ("5m", 300), ("1h", 3600), ("0h", 0), ("007", 7)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "s", "-1", "+1", "1.5", "1d", "m5", "1 s", "1ms", "1S", "²", "99999999999h"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("18446744073709551616").unwrap_err().contains("hundred years"));
    }

    #[test]
    fn pids_are_positive_whole_numbers() {
        assert_eq!(parse_pid("1"), Ok(1));
        assert_eq!(parse_pid("4194304"), Ok(4_194_304));
        for text in ["", "0", "-1", "+1", "1.0", "0x1", "nginx", "4294967296"] {
            assert!(parse_pid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn empty_glob_is_refused() {
        assert!(parse_glob("").is_err());
        assert!(parse_glob("*.pem").is_ok());
    }
}
