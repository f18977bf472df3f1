//! What stands behind an option: from text to a value, or what is wrong with it and what is right.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crypto_tracer_pipeline::glob::Glob;

/// Longest duration: a hundred years, so that no clock overflows.
const MOST_SECONDS: u64 = 100 * 366 * 24 * 3600;

/// A text that is looked for.
pub(super) fn wanted() -> impl TypedValueParser<Value = OsString> {
    nonempty("it is empty; write a part of what is looked for")
}

/// Any text but none; `right` is said to that.
fn nonempty(right: &'static str) -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new()
        .try_map(move |text| if text.is_empty() { Err(right) } else { Ok(text) })
}

/// A file, or another word that stands for one.
pub(super) fn file() -> impl TypedValueParser<Value = OsString> {
    nonempty("it is empty; name a file")
}

/// A path that may be there or not.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    file().map(PathBuf::from)
}

/// A probe's name.
pub(super) fn name() -> impl TypedValueParser<Value = String> {
    text(|text| {
        if text.is_empty() {
            Err("it is empty; 'crypto-tracer doctor' lists the probes".to_owned())
        } else {
            Ok(text.to_owned())
        }
    })
}

/// A pattern for whole paths.
pub(super) fn glob() -> impl TypedValueParser<Value = Glob> {
    text(read_glob)
}

/// A time span in whole seconds.
pub(super) fn duration() -> impl TypedValueParser<Value = Duration> {
    text(read_duration)
}

/// A process id.
pub(super) fn pid() -> impl TypedValueParser<Value = u32> {
    text(read_pid)
}

fn text<T: Clone + Send + Sync + 'static>(
    read: fn(&str) -> Result<T, String>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |text| match text.to_str() {
        Some(text) => read(text),
        None => Err("it is not UTF-8".to_owned()),
    })
}

fn read_glob(text: &str) -> Result<Glob, String> {
    let right = "write for example '*.pem' or '/etc/ssl/*'";
    if text.is_empty() {
        return Err(format!("an empty glob matches nothing; {right}"));
    }
    Glob::new(text).map_err(|error| format!("{error}; {right}"))
}

fn read_pid(text: &str) -> Result<u32, String> {
    let right = "a process id is a whole number from 1 on, for example 1234";
    // The kernel's own bound is 2^22; a number beyond it is nobody's.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&pid| digits && pid > 0).ok_or_else(|| right.to_owned())
}

fn read_duration(text: &str) -> Result<Duration, String> {
    let right = "write seconds, or a whole number with s, m or h, for example 30, 30s, 5m, 1h";
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.split_at(number.len()).1),
        None => (text, "s"),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(right.to_owned());
    }
    let unit = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = number.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    match seconds.filter(|&seconds| seconds <= MOST_SECONDS) {
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
            assert_eq!(read_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "s", "-1", "+1", "1.5", "1d", "m5", "1 s", "1ms", "1S", "²", "99999999999h"]
        {
            assert!(read_duration(text).is_err(), "{text}");
        }
        assert!(read_duration("18446744073709551616").unwrap_err().contains("hundred years"));
    }

    #[test]
    fn pids_are_whole_numbers_from_one_on() {
        assert_eq!(read_pid("1"), Ok(1));
        assert_eq!(read_pid("4194304"), Ok(4_194_304));
        for text in ["", "0", "-1", "+1", "1.0", "0x1", "nginx", "4294967296"] {
            assert!(read_pid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_glob_is_refused() {
        assert!(read_glob("").is_err());
        assert!(read_glob("*.pem").is_ok());
    }
}
