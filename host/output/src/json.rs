//! Renders events as JSON.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;

use super::chunk::Trailer;
use super::escaped::{compact, pretty};
use super::object::Object;
use crypto_tracer_event::{Notice, RedactedEvent, Timestamp};

/// Renders events and notices as JSON objects.
#[derive(Debug)]
pub(super) struct Json {
    extended: bool,
    shape: Shape,
    timestamps: TimestampText,
}

/// Arrangement of the objects.
#[derive(Debug)]
enum Shape {
    Lines,
    Array {
        pretty: bool,
        /// The array has no object yet.
        empty: bool,
    },
}

impl Json {
    /// One compact object on each line.
    pub(super) fn lines(extended: bool) -> Json {
        Json { extended, shape: Shape::Lines, timestamps: TimestampText::default() }
    }

    /// One array of all objects, compact or indented.
    pub(super) fn array(extended: bool, pretty: bool) -> Json {
        let shape = Shape::Array { pretty, empty: true };
        Json { extended, shape, timestamps: TimestampText::default() }
    }

    /// The next object is the first one of a new file.
    pub(super) fn restart(&mut self) {
        if let Shape::Array { empty, .. } = &mut self.shape {
            *empty = true;
        }
    }

    /// Returns the bytes that complete the file after the last object.
    pub(super) fn trailer(&self) -> Trailer {
        match self.shape {
            Shape::Lines => Trailer::NONE,
            Shape::Array { .. } => Trailer { close: b"\n]\n", empty: b"[]\n" },
        }
    }

    pub(super) fn event(&mut self, event: &RedactedEvent, out: &mut Vec<u8>) {
        let timestamp = self.timestamps.text(event.timestamp());
        self.shape.add(&Object::of_event(event, timestamp, self.extended), out);
    }

    pub(super) fn notice(&mut self, notice: &Notice, out: &mut Vec<u8>) {
        let at = match notice {
            Notice::EventsLost(at, _) | Notice::PluginFailed(at, _) | Notice::Status(at, _) => *at,
        };
        self.shape.add(&Object::of_notice(notice, self.timestamps.text(at)), out);
    }
}

impl Shape {
    fn add(&mut self, object: &impl Serialize, out: &mut Vec<u8>) {
        let start = out.len();
        let result = match self {
            Shape::Lines => compact(out, object).map(|()| out.push(b'\n')),
            Shape::Array { pretty: indent, empty } => {
                out.extend_from_slice(if *empty { b"[\n" } else { b",\n" });
                let result = if *indent { indented(object, out) } else { compact(out, object) };
                *empty &= result.is_err();
                result
            }
        };
        if result.is_err() {
            // Serialising strings and numbers to memory does not fail. If it ever does, no partial object remains.
            out.truncate(start);
        }
    }
}

/// Appends an element of an array, each line indented by two more spaces. JSON strings contain no line ends.
fn indented(object: &impl Serialize, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut text = Vec::new();
    pretty(&mut text, object)?;
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        out.extend_from_slice(if at > 0 { b"\n  " } else { b"  " });
        out.extend_from_slice(line);
    }
    Ok(())
}

/// Formats timestamps. Caches the text of the last second, which most events share.
#[derive(Debug, Default)]
struct TimestampText {
    second: Option<i64>,
    text: String,
}

impl TimestampText {
    /// `YYYY-MM-DDTHH:MM:SS.ffffffZ`
    fn text(&mut self, at: Timestamp) -> &str {
        const SECOND_US: i64 = 1_000_000;
        /// Length of the text up to the seconds.
        const SECONDS_LEN: usize = 19;
        let second = at.0.div_euclid(SECOND_US);
        if self.second != Some(second) {
            let time = chrono::DateTime::from_timestamp(second, 0).unwrap_or_default();
            self.text.clear();
            let _ = write!(self.text, "{}", time.format("%Y-%m-%dT%H:%M:%S"));
            self.second = Some(second);
        }
        self.text.truncate(SECONDS_LEN);
        let mut micros = [0; 8];
        let _ = write!(&mut micros[..], ".{:06}Z", at.0.rem_euclid(SECOND_US));
        self.text.push_str(std::str::from_utf8(&micros).unwrap_or_default());
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_event::OpenFlags;

    #[test]
    fn timestamps_have_microseconds_and_a_z() {
        let mut timestamps = TimestampText::default();
        for (at, text) in [
            (1_733_653_845_123_456, "2024-12-08T10:30:45.123456Z"),
            (1_733_653_845_000_001, "2024-12-08T10:30:45.000001Z"),
            (1_733_653_846_000_000, "2024-12-08T10:30:46.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(timestamps.text(Timestamp(at)), text);
        }
    }

    #[test]
    fn control_characters_are_escaped_in_every_shape() {
        let object = serde_json::json!({"file": "/a\u{9b}2J\u{7f}.pem"});
        let array = |pretty| Shape::Array { pretty, empty: true };
        for mut shape in [Shape::Lines, array(false), array(true)] {
            let mut out = Vec::new();
            shape.add(&object, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("/a\\u009b2J\\u007f.pem"), "{text:?}");
        }
    }

    #[test]
    fn flags_are_the_access_mode_and_known_flags() {
        for (flags, text) in [
            (0, "O_RDONLY"),
            (1, "O_WRONLY"),
            (2, "O_RDWR"),
            (0o2000000, "O_RDONLY"),
            (0o1101, "O_WRONLY|O_CREAT|O_TRUNC"),
            (0o3302, "O_RDWR|O_CREAT|O_EXCL|O_TRUNC|O_APPEND"),
        ] {
            assert_eq!(OpenFlags(flags).to_string(), text, "{flags:o}");
        }
    }
}
