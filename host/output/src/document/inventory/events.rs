//! Reads a stream of events that was collected elsewhere: hostile input.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{InventoryBuilder, Observation, ObservedProcess, ObservedTarget, Time, UseKey};
use crypto_tracer_event::printable::printable;

/// Maximum size of an event in bytes.
const MAX_EVENT_BYTES: u64 = 1 << 20;

/// An object of a stream, with the fields that an inventory uses.
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    event_type: String,
    timestamp: Time,
    pid: Option<u32>,
    uid: Option<u32>,
    process: Option<String>,
    exe: Option<String>,
    container: Option<String>,
    file: Option<String>,
    file_type: Option<String>,
    flags: Option<String>,
    library: Option<String>,
    library_name: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    count: Option<u64>,
    cause: Option<String>,
    exact: Option<bool>,
    #[serde(default)]
    probes: Vec<StreamProbe>,
}

/// A probe of a `status`.
#[derive(Debug, Deserialize)]
struct StreamProbe {
    name: String,
    hook: String,
    #[serde(default)]
    cannot_see: Vec<String>,
}

/// What an event of a stream means for an inventory.
#[derive(Debug)]
pub enum StreamMeaning {
    /// A use, if the builder lists it.
    Use(u32, Option<UseKey>),
    /// The process ended.
    Ended(u32),
    /// The process runs another program.
    Executed(u32),
    /// Events were lost: the cause, their number, and whether it is exact.
    Lost(String, u64, bool),
    /// The probes of the run, and what they cannot see.
    Probes(Vec<String>, Vec<String>),
    /// Nothing.
    Other,
}

/// A stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It is not a stream of events.
    #[error("line {line}, column {column}: {cause}")]
    Invalid {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        cause: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(io::Error),
}

impl StreamEvent {
    /// Time of the event.
    pub fn timestamp(&self) -> Time {
        self.timestamp
    }

    /// Process id.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Name of the process.
    pub fn process(&self) -> Option<&str> {
        self.process.as_deref()
    }

    /// Path of the executable.
    pub fn exe(&self) -> Option<&str> {
        self.exe.as_deref()
    }

    /// Path of the opened file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Path of the library.
    pub fn library(&self) -> Option<&str> {
        self.library.as_deref()
    }

    /// Adds the event to an inventory.
    ///
    /// # Errors
    /// Returns the name of a field that an event of this type must have.
    pub fn add_to(self, builder: &mut InventoryBuilder) -> Result<StreamMeaning, &'static str> {
        let event_type = self.event_type.as_str();
        let pid = self.pid.ok_or("pid");
        match event_type {
            "file_open" | "lib_load" => {
                let labels: Vec<(&str, &str)> =
                    self.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
                let target = if event_type == "file_open" {
                    ObservedTarget::File {
                        path: self.file.as_deref().ok_or("file")?,
                        file_type: self.file_type.as_deref().ok_or("file_type")?,
                        flags: access(self.flags.as_deref().ok_or("flags")?),
                        labels: &labels,
                        assets: &[],
                    }
                } else {
                    ObservedTarget::Library {
                        path: self.library.as_deref().ok_or("library")?,
                        name: self.library_name.as_deref().ok_or("library_name")?,
                    }
                };
                let pid = pid?;
                let process = ObservedProcess {
                    pid,
                    start_ns: 0,
                    exe: self.exe.as_deref(),
                    name: self.process.as_deref().ok_or("process")?,
                    uid: self.uid,
                    container: self.container.as_deref(),
                };
                let key = builder.add(&Observation { at: Some(self.timestamp.0), process, target });
                Ok(StreamMeaning::Use(pid, key))
            }
            "process_exit" => {
                builder.end_process(pid?, 0);
                Ok(StreamMeaning::Ended(pid?))
            }
            "process_exec" => Ok(StreamMeaning::Executed(pid?)),
            "events_lost" => {
                let cause = self.cause.ok_or("cause")?;
                Ok(StreamMeaning::Lost(
                    cause,
                    self.count.ok_or("count")?,
                    self.exact != Some(false),
                ))
            }
            "status" => {
                let name = |probe: &StreamProbe| format!("{}: {}", probe.name, probe.hook);
                let names = self.probes.iter().map(name).collect();
                let spots = self.probes.into_iter().flat_map(|probe| probe.cannot_see).collect();
                Ok(StreamMeaning::Probes(names, spots))
            }
            _ => Ok(StreamMeaning::Other),
        }
    }
}

/// The access mode of flags such as `O_RDWR|O_CREAT`.
fn access(flags: &str) -> u32 {
    match flags.split('|').next() {
        Some("O_WRONLY") => 1,
        Some("O_RDWR") => 2,
        _ => 0,
    }
}

/// Reads the objects of a stream, in lines or in an array, until `each` returns an error, which is returned with the
/// place.
///
/// # Errors
/// The input is not a stream, or cannot be read.
pub fn read_events(
    mut input: impl BufRead,
    each: &mut dyn FnMut(StreamEvent) -> Result<(), String>,
) -> Result<(), StreamError> {
    let is_array = is_array(&mut input).map_err(StreamError::Io)?;
    let remaining = Rc::new(Cell::new(MAX_EVENT_BYTES));
    let input = Limited { input, remaining: remaining.clone() };
    let mut next = |event| {
        remaining.set(MAX_EVENT_BYTES);
        each(event)
    };
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    if is_array {
        return Elements(&mut next)
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| invalid(&error));
    }
    // Not `into_iter`: an error of `each` has a place too.
    loop {
        match One::deserialize(&mut deserializer) {
            Ok(One(event)) => next(event)
                .map_err(<serde_json::Error as serde::de::Error>::custom)
                .map_err(|error| invalid(&error))?,
            Err(error) if error.is_eof() && deserializer.end().is_ok() => return Ok(()),
            Err(error) => return Err(invalid(&error)),
        }
    }
}

/// One event.
#[derive(Deserialize)]
#[serde(transparent)]
struct One(StreamEvent);

fn invalid(error: &serde_json::Error) -> StreamError {
    if let Some(kind) = error.io_error_kind()
        && kind != io::ErrorKind::InvalidData
    {
        return StreamError::Io(kind.into());
    }
    let (line, column) = (error.line(), error.column());
    let cause = error.to_string();
    let end = format!(" at line {line} column {column}");
    let cause = cause.strip_suffix(&end).unwrap_or(&cause);
    StreamError::Invalid { line, column, cause: printable(cause).to_string() }
}

/// Whether the first character is that of an array.
fn is_array(input: &mut impl BufRead) -> io::Result<bool> {
    let start = input.fill_buf()?;
    Ok(start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'['))
}

/// A reader of which each event may take a limited number of bytes.
struct Limited<R> {
    input: R,
    remaining: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.remaining.get() == 0 {
            let message = format!("an event has more than {MAX_EVENT_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let read = self.input.read(buffer)?;
        self.remaining.set(self.remaining.get().saturating_sub(read as u64));
        Ok(read)
    }
}

/// The elements of an array.
struct Elements<'a>(&'a mut dyn FnMut(StreamEvent) -> Result<(), String>);

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(event) = elements.next_element()? {
            (self.0)(event).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = r#"{"event_type":"file_open","timestamp":"2026-01-31T08:00:00.000001Z","pid":7,"uid":0,"process":"nginx","file":"/a.pem","file_type":"certificate","flags":"O_RDWR|O_CREAT"}"#;
    const EXIT: &str = r#"{"event_type":"process_exit","timestamp":"2026-01-31T08:00:01.000001Z","pid":7,"process":"nginx","exit_code":0}"#;

    fn read(text: &str) -> Result<(InventoryBuilder, usize), StreamError> {
        let (mut builder, mut count) = (InventoryBuilder::default(), 0);
        read_events(text.as_bytes(), &mut |event| {
            count += 1;
            event.add_to(&mut builder).map(drop).map_err(|field| format!("missing {field}"))
        })?;
        Ok((builder, count))
    }

    #[test]
    fn lines_and_arrays_are_read() {
        for text in [
            format!("{OPEN}\n{OPEN}\n{EXIT}\n"),
            format!("[\n{OPEN},\n{OPEN},\n{EXIT}\n]\n"),
            format!("\n {OPEN} {OPEN}{EXIT}"),
        ] {
            let (builder, count) = read(&text).unwrap();
            assert_eq!((builder.uses(), count), (1, 3), "{text}");
        }
        assert_eq!(read("").unwrap().1, 0);
        assert_eq!(read("[]").unwrap().1, 0);
    }

    #[test]
    fn errors_have_a_place() {
        for (text, place) in [
            (format!("{OPEN}\n{{\"event_type\":"), "line 2, column"),
            (format!("{OPEN}\n[]"), "line 2, column"),
            (format!("[{OPEN}"), "line 1, column"),
            (format!("[{OPEN}]x"), "line 1, column"),
            ("{}".to_owned(), "missing field `event_type`"),
            (OPEN.replace("08:00", "25:00"), "a time such as"),
            (OPEN.replace("\"pid\":7,", ""), "missing pid"),
            (format!("{{\"event_type\":\"{}\"}}", "x".repeat(2 << 20)), "more than 1048576 bytes"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
