//! Events as JSON: the documented fields, in the documented order.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::chunk::Ends;
use crate::event::{Notice, OpenFlags, RedactedEvent, RedactedWhat, Shown, Timestamp};

/// Renders objects.
#[derive(Debug)]
pub(super) struct Json {
    extended: bool,
    shape: Shape,
    clock: Clock,
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
        Json { extended, shape: Shape::Lines, clock: Clock::default() }
    }

    /// One array of all objects, compact or indented.
    pub(super) fn array(extended: bool, pretty: bool) -> Json {
        let shape = Shape::Array { pretty, empty: true };
        Json { extended, shape, clock: Clock::default() }
    }

    /// The next object is the first one of another file.
    pub(super) fn restart(&mut self) {
        if let Shape::Array { empty, .. } = &mut self.shape {
            *empty = true;
        }
    }

    /// What makes the objects so far a whole document.
    pub(super) fn ends(&self) -> Ends {
        match self.shape {
            Shape::Lines => Ends::NONE,
            Shape::Array { .. } => Ends { close: b"\n]\n", empty: b"[]\n" },
        }
    }

    pub(super) fn event(&mut self, event: &RedactedEvent, out: &mut Vec<u8>) {
        let timestamp = self.clock.text(event.timestamp());
        self.shape.add(&EventObject { event, timestamp, extended: self.extended }, out);
    }

    pub(super) fn notice(&mut self, notice: &Notice, out: &mut Vec<u8>) {
        let at = match notice {
            Notice::EventsLost(at, _) | Notice::PluginFailed(at, _) | Notice::Status(at, _) => *at,
        };
        self.shape.add(&NoticeObject { notice, timestamp: self.clock.text(at) }, out);
    }
}

impl Shape {
    fn add(&mut self, object: &impl Serialize, out: &mut Vec<u8>) {
        let start = out.len();
        let done = match self {
            Shape::Lines => serde_json::to_writer(&mut *out, object).map(|()| out.push(b'\n')),
            Shape::Array { pretty, empty } => {
                out.extend_from_slice(if *empty { b"[\n" } else { b",\n" });
                let done = if *pretty {
                    indented(object, out)
                } else {
                    serde_json::to_writer(&mut *out, object)
                };
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
    let text = serde_json::to_string_pretty(object)?;
    for (at, line) in text.lines().enumerate() {
        out.extend_from_slice(if at > 0 { b"\n  " } else { b"  " });
        out.extend_from_slice(line.as_bytes());
    }
    Ok(())
}

/// Renders timestamps; remembers the last second, since most events share it.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
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

struct EventObject<'a> {
    event: &'a RedactedEvent,
    timestamp: &'a str,
    extended: bool,
}

impl Serialize for EventObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.documented(&mut map)?;
        if self.extended {
            self.extended(&mut map)?;
        }
        if !self.event.labels().is_empty() {
            map.serialize_entry("labels", &Labels(self.event.labels()))?;
        }
        map.end()
    }
}

impl EventObject<'_> {
    fn documented<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let process = self.event.process();
        let name = String::from_utf8_lossy(process.comm.as_bytes());
        let head = |map: &mut M, event_type: &str| {
            map.serialize_entry("event_type", event_type)?;
            map.serialize_entry("timestamp", self.timestamp)?;
            map.serialize_entry("pid", &process.pid)
        };
        match self.event.what() {
            RedactedWhat::FileOpen { file, file_type, flags, .. } => {
                head(map, "file_open")?;
                map.serialize_entry("uid", &process.uid)?;
                map.serialize_entry("process", &name)?;
                map.serialize_entry("file", file)?;
                map.serialize_entry("file_type", file_type.as_str())?;
                map.serialize_entry("flags", &OpenFlags(*flags))
            }
            RedactedWhat::LibLoad { library, library_name, .. } => {
                head(map, "lib_load")?;
                map.serialize_entry("process", &name)?;
                map.serialize_entry("library", library)?;
                map.serialize_entry("library_name", library_name)
            }
            RedactedWhat::Exec { cmdline } => {
                head(map, "process_exec")?;
                map.serialize_entry("ppid", &process.ppid)?;
                map.serialize_entry("process", &name)?;
                map.serialize_entry("cmdline", cmdline)
            }
            RedactedWhat::Exit { exit_code, .. } => {
                head(map, "process_exit")?;
                map.serialize_entry("process", &name)?;
                map.serialize_entry("exit_code", exit_code)
            }
        }
    }

    fn extended<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let process = self.event.process();
        let what = self.event.what();
        map.serialize_entry("tid", &process.tid)?;
        if !matches!(what, RedactedWhat::FileOpen { .. }) {
            map.serialize_entry("uid", &process.uid)?;
        }
        if !matches!(what, RedactedWhat::Exec { .. }) {
            map.serialize_entry("ppid", &process.ppid)?;
        }
        map.serialize_entry("exe", &process.exe)?;
        if let RedactedWhat::Exit { signal, .. } = what {
            map.serialize_entry("signal", signal)?;
        }
        let place = match what {
            RedactedWhat::FileOpen { place, .. } | RedactedWhat::LibLoad { place, .. } => {
                Some(place)
            }
            RedactedWhat::Exec { .. } | RedactedWhat::Exit { .. } => None,
        };
        if let Some(place) = place {
            map.serialize_entry("dev", &Device(place.dev))?;
            map.serialize_entry("inode", &place.inode)?;
        }
        map.serialize_entry("mount_ns", &process.mount_ns)?;
        map.serialize_entry("container", &process.container.as_deref())?;
        map.serialize_entry("cgroup", &process.cgroup.as_deref())?;
        if let RedactedWhat::FileOpen { classifier, head, .. } = what {
            map.serialize_entry("classifier", &classifier.as_deref())?;
            map.serialize_entry("head", head.as_str())?;
        }
        if let Some(place) = place {
            map.serialize_entry("unreachable", &place.unreachable)?;
            if let Some(bytes) = &place.file_bytes {
                map.serialize_entry("file_bytes", &STANDARD.encode(bytes))?;
            }
        }
        Ok(())
    }
}

struct Labels<'a>(&'a [(std::sync::Arc<str>, Shown)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // An object has each name once; the first plugin's word stays.
        let mut map = serializer.serialize_map(None)?;
        for (at, (name, value)) in self.0.iter().enumerate() {
            if self.0.iter().take(at).all(|(earlier, _)| earlier != name) {
                map.serialize_entry(&**name, value)?;
            }
        }
        map.end()
    }
}

/// `major:minor`
struct Device(u32);

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.0 >> 20, self.0 & 0xf_ffff))
    }
}

struct NoticeObject<'a> {
    notice: &'a Notice,
    timestamp: &'a str,
}

impl Serialize for NoticeObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut head = |event_type: &str| {
            map.serialize_entry("event_type", event_type)?;
            map.serialize_entry("timestamp", self.timestamp)
        };
        match self.notice {
            Notice::EventsLost(_, loss) => {
                head("events_lost")?;
                map.serialize_entry("count", &loss.count)?;
                map.serialize_entry("cause", &loss.cause)?;
                if !loss.exact {
                    map.serialize_entry("exact", &false)?;
                }
            }
            Notice::PluginFailed(_, failure) => {
                head("plugin_failed")?;
                map.serialize_entry("plugin", &failure.plugin)?;
                map.serialize_entry("kind", failure.kind)?;
                map.serialize_entry("cause", &failure.cause)?;
                map.serialize_entry("count", &failure.count)?;
                map.serialize_entry("action", failure.action)?;
            }
            Notice::Status(_, status) => {
                head("status")?;
                map.serialize_entry("received", &status.received)?;
                map.serialize_entry("shown", &status.shown)?;
                map.serialize_entry("filtered", &status.filtered)?;
                map.serialize_entry("lost", &status.lost)?;
                map.serialize_entry("lost_by_cause", &status.lost_by_cause)?;
                map.serialize_entry("plugin_failures", &status.plugin_failures)?;
                map.serialize_entry("probes", &status.probes)?;
                map.serialize_entry("plugins", &status.plugins)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_microseconds_and_a_z() {
        let mut clock = Clock::default();
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
