//! Events as JSON: the documented fields, in the documented order.

use std::io::Write as _;

use serde::Serialize;

use super::chunk::Trailer;
use super::escaped::{compact, pretty};
use super::object::Object;
use crypto_tracer_event::{Notice, RedactedEvent, Timestamp};

/// Renders objects.
#[derive(Debug)]
pub(super) struct Json {
    extended: bool,
    shape: Shape,
    clock: TimestampText,
}

/// What stands around the objects.
#[derive(Debug)]
enum Shape {
    Lines,
    Array {
        pretty: bool,
        /// No object came yet.
        empty: bool,
    },
}

impl Json {
    /// One compact object a line.
    pub(super) fn lines(extended: bool) -> Json {
        Json { extended, shape: Shape::Lines, clock: TimestampText::default() }
    }

    /// One array of all objects, compact or indented.
    pub(super) fn array(extended: bool, pretty: bool) -> Json {
        let shape = Shape::Array { pretty, empty: true };
        Json { extended, shape, clock: TimestampText::default() }
    }

    /// The next object is the first one of another file.
    pub(super) fn restart(&mut self) {
        if let Shape::Array { empty, .. } = &mut self.shape {
            *empty = true;
        }
    }

    /// What makes the objects so far a whole document.
    pub(super) fn ends(&self) -> Trailer {
        match self.shape {
            Shape::Lines => Trailer::NONE,
            Shape::Array { .. } => Trailer { close: b"\n]\n", empty: b"[]\n" },
        }
    }

    pub(super) fn event(&mut self, event: &RedactedEvent, out: &mut Vec<u8>) {
        let timestamp = self.clock.text(event.timestamp());
        self.shape.add(&Object::of_event(event, timestamp, self.extended), out);
    }

    pub(super) fn notice(&mut self, notice: &Notice, out: &mut Vec<u8>) {
        let at = match notice {
            Notice::EventsLost(at, _) | Notice::PluginFailed(at, _) | Notice::Status(at, _) => *at,
        };
        self.shape.add(&Object::of_notice(notice, self.clock.text(at)), out);
    }
}

impl Shape {
    fn add(&mut self, object: &impl Serialize, out: &mut Vec<u8>) {
        let start = out.len();
        let done = match self {
            Shape::Lines => compact(out, object).map(|()| out.push(b'\n')),
            Shape::Array { pretty: indent, empty } => {
                out.extend_from_slice(if *empty { b"[\n" } else { b",\n" });
                let done = if *indent { indented(object, out) } else { compact(out, object) };
                *empty &= done.is_err();
                done
            }
        };
        if done.is_err() {
            // Writing strings and numbers to memory does not fail; a half object must not stay if it ever does.
            out.truncate(start);
        }
    }
}

/// As an element of an array: two more spaces in front of each line. No line end stands inside a JSON string.
fn indented(object: &impl Serialize, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut text = Vec::new();
    pretty(&mut text, object)?;
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        out.extend_from_slice(if at > 0 { b"\n  " } else { b"  " });
        out.extend_from_slice(line);
    }
    Ok(())
}

/// Renders timestamps; remembers the last second, since most events share it.
#[derive(Debug, Default)]
struct TimestampText {
    second: Option<i64>,
    text: String,
}

impl TimestampText {
    /// `YYYY-MM-DDTHH:MM:SS.ffffffZ`
    fn text(&mut self, at: Timestamp) -> &str {
        const SECOND_US: i64 = 1_000_000;
        /// Length of the part down to the second.
        const SECONDS_LEN: usize = 19;
        let second = at.0.div_euclid(SECOND_US);
        if self.second != Some(second) {
            let time = chrono::DateTime::from_timestamp(second, 0).unwrap_or_default();
            self.text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
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
        let mut clock = TimestampText::default();
        for (at, text) in [
            (1_733_653_845_123_456, "2024-12-08T10:30:45.123456Z"),
            (1_733_653_845_000_001, "2024-12-08T10:30:45.000001Z"),
            (1_733_653_846_000_000, "2024-12-08T10:30:46.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(clock.text(Timestamp(at)), text);
        }
    }

    #[test]
    fn orders_to_a_terminal_are_escaped_in_every_shape() {
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
    fn flags_are_the_access_mode_and_what_was_asked_besides() {
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
