//! One event of the stream.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The documented fields of a `file_open`, in order.
pub const KEYS_OPEN: [&str; 8] =
    ["event_type", "timestamp", "pid", "uid", "process", "file", "file_type", "flags"];
/// The documented fields of a `lib_load`, in order.
pub const KEYS_LOAD: [&str; 6] =
    ["event_type", "timestamp", "pid", "process", "library", "library_name"];
/// The documented fields of a `process_exec`, in order.
pub const KEYS_EXEC: [&str; 6] = ["event_type", "timestamp", "pid", "ppid", "process", "cmdline"];
/// The documented fields of a `process_exit`, in order.
pub const KEYS_EXIT: [&str; 5] = ["event_type", "timestamp", "pid", "process", "exit_code"];

/// One event as printed, with its fields.
#[derive(Clone, Debug)]
pub struct Event {
    line: String,
    keys: Vec<String>,
    fields: Map<String, Value>,
}

impl Event {
    /// Parses a line.
    ///
    /// # Panics
    ///
    /// If the line is not a JSON object.
    pub fn of(line: &str) -> Event {
        let keys: Keys = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("not a JSON object: {error}: {line:?}"));
        let fields = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("not a JSON object: {error}: {line:?}"));
        Event { line: line.to_owned(), keys: keys.0, fields }
    }

    /// Returns the line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Returns the names of the fields, in the order in which they were printed.
    pub fn keys(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).collect()
    }

    /// Returns the `event_type`.
    pub fn kind(&self) -> &str {
        self.text("event_type")
    }

    /// Returns the `pid`; None for the tracer's own notices.
    pub fn pid(&self) -> Option<u32> {
        self.fields.get("pid")?.as_u64()?.try_into().ok()
    }

    /// Whether the reader of a tracer caused the event. A tracer does not report its own reader, but the tracer of
    /// another test may read the same files.
    pub fn is_from_reader(&self) -> bool {
        self.text("process") == "crypto-tracer-r"
    }

    /// Returns a text field; empty if the field is missing or not text.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a number field.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.fields.get(field)?.as_i64()
    }

    /// Returns the timestamp in microseconds since 1970.
    ///
    /// # Panics
    ///
    /// If the timestamp is not `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
    pub fn micros(&self) -> i64 {
        let text = self.text("timestamp");
        let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.6fZ");
        let documented = text.len() == "YYYY-MM-DDTHH:MM:SS.ffffffZ".len();
        assert!(documented, "not the documented form: {text:?}");
        time.unwrap_or_else(|error| panic!("not a timestamp: {error}: {text:?}"))
            .and_utc()
            .timestamp_micros()
    }

    /// Checks that the fields are exactly these, in this order.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub fn assert_keys(&self, documented: &[&str]) {
        assert_eq!(self.keys(), documented, "{}", self.line);
    }

    /// Checks that the fields are those that are documented for the event type.
    ///
    /// # Panics
    ///
    /// If they are not, or if the event type is not documented.
    pub fn assert_documented(&self) {
        match self.kind() {
            "file_open" => self.assert_keys(&KEYS_OPEN),
            "lib_load" => self.assert_keys(&KEYS_LOAD),
            "process_exec" => self.assert_keys(&KEYS_EXEC),
            "process_exit" => self.assert_keys(&KEYS_EXIT),
            _ => panic!("event type not documented: {}", self.line),
        }
    }
}

/// The names of an object's fields, in order and with duplicates, which a map of serde_json does not keep.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Keys(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::Event;

    #[test]
    fn keys_keep_order_and_duplicates() {
        let event = Event::of(r#"{"pid":7,"event_type":"x","b":[{"c":1}],"pid":8}"#);
        assert_eq!(event.keys(), ["pid", "event_type", "b", "pid"]);
        assert_eq!(event.kind(), "x");
    }

    #[test]
    fn timestamps_count_microseconds() {
        let event = Event::of(r#"{"timestamp":"1970-01-02T00:00:01.000002Z"}"#);
        assert_eq!(event.micros(), 86_401_000_002);
    }

    #[test]
    #[should_panic(expected = "not the documented form")]
    fn timestamps_in_milliseconds_are_rejected() {
        Event::of(r#"{"timestamp":"1970-01-02T00:00:01.002Z"}"#).micros();
    }
}
