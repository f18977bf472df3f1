//! Reads inventories: hostile input.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::hash::Hash;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{INVENTORY_VERSION, Id, IdKind, Inventory, Modes};
use crypto_tracer_event::printable::printable;

/// Maximum size of an inventory in bytes. Its size in memory is at most about four times that.
pub const MAX_INVENTORY_BYTES: u64 = 512 << 20;

/// Maximum length of an excerpt of the document in a message.
const MAX_EXCERPT: usize = 60;

/// Why a text is not a valid inventory. The message has the place; the caller adds the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The text is not JSON, or a value is not what the format requires.
    #[error("line {line}, column {column}: {place}{cause}")]
    Invalid {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Place in the document, for example `uses[3].first: `; empty if it is not known.
        place: String,
        /// What is wrong.
        cause: String,
    },
    /// The document is JSON, but no inventory.
    #[error("not an inventory of crypto-tracer: no inventory_version")]
    NotAnInventory,
    /// The document has a version that this program does not read.
    #[error("inventory version {0} is not supported (supported: {INVENTORY_VERSION})")]
    Version(String),
    /// The parts of the document contradict each other.
    #[error("{0}: {1}")]
    Inconsistent(String, &'static str),
}

#[derive(Deserialize)]
struct Versioned {
    inventory_version: Option<serde_json::Value>,
}

impl Inventory {
    /// Reads an inventory. The lists of the result are sorted.
    ///
    /// # Errors
    /// The text is not an inventory of a supported version. Ids are unique, and uses refer to listed programs, targets
    /// and hosts.
    pub fn from_json(text: &[u8]) -> Result<Inventory, ReadError> {
        match serde_json::from_slice::<Versioned>(text) {
            Ok(Versioned { inventory_version: None }) => return Err(ReadError::NotAnInventory),
            Ok(Versioned { inventory_version: Some(version) }) if version != INVENTORY_VERSION => {
                return Err(ReadError::Version(excerpt(&version.to_string())));
            }
            Ok(_) => {}
            // Arrays, texts and numbers are JSON too.
            Err(error) if error.is_data() => return Err(ReadError::NotAnInventory),
            Err(error) => return Err(invalid(&error, String::new())),
        }
        let parsed = serde_json::from_slice::<Inventory>(text);
        let mut inventory = parsed.map_err(|error| with_place(text, &error))?;
        inventory.sort();
        inventory.check()?;
        Ok(inventory)
    }

    /// Checks that ids are unique and that references exist. The lists are sorted.
    fn check(&self) -> Result<(), ReadError> {
        let mut known = HashSet::new();
        let programs = self.programs.iter().map(|program| (program.id, IdKind::Program));
        let libraries = self.libraries.iter().map(|library| (library.id, IdKind::Library));
        let files = self.files.iter().map(|file| (file.id, IdKind::File));
        let hosts = self.hosts.iter().map(|host| (host.id, IdKind::Host));
        for (id, kind) in programs.chain(libraries).chain(files).chain(hosts) {
            if id.kind() != kind {
                return Err(inconsistent(id, "this id is in the wrong list"));
            }
            unique(&mut known, id, id)?;
        }
        if self.host.is_some() != self.hosts.is_empty() {
            let cause = "a document has either one host or merged hosts";
            return Err(ReadError::Inconsistent("host".to_owned(), cause));
        }
        let mut pairs = HashSet::new();
        for it in &self.uses {
            let is_target = matches!(it.target.kind(), IdKind::Library | IdKind::File);
            if !known.contains(&it.target) || !is_target {
                return Err(inconsistent(it.target, "a use refers to no listed library or file"));
            }
            if !known.contains(&it.program) || it.program.kind() != IdKind::Program {
                return Err(inconsistent(it.program, "a use refers to no listed program"));
            }
            unique(&mut pairs, (it.program, it.target), it.program)?;
            if it.hosts.is_empty() != self.hosts.is_empty() {
                return Err(inconsistent(
                    it.program,
                    "a use has hosts exactly in a merged document",
                ));
            }
            let mut hosts = HashSet::new();
            for host in &it.hosts {
                if !known.contains(&host.host) || host.host.kind() != IdKind::Host {
                    return Err(inconsistent(host.host, "a use refers to no listed host"));
                }
                unique(&mut hosts, host.host, host.host)?;
            }
        }
        Ok(())
    }
}

fn unique<T: Hash + Eq>(known: &mut HashSet<T>, key: T, id: Id) -> Result<(), ReadError> {
    if known.insert(key) { Ok(()) } else { Err(inconsistent(id, "this entry occurs twice")) }
}

fn inconsistent(id: Id, cause: &'static str) -> ReadError {
    ReadError::Inconsistent(id.to_string(), cause)
}

/// Finds the place of an error. Only then are places tracked: that takes time in each element.
fn with_place(text: &[u8], error: &serde_json::Error) -> ReadError {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    match serde_path_to_error::deserialize::<_, Inventory>(&mut deserializer) {
        Err(found) => {
            let place = found.path().to_string();
            let place = if place == "." { String::new() } else { format!("{}: ", excerpt(&place)) };
            invalid(&found.into_inner(), place)
        }
        // Something follows the document.
        Ok(_) => invalid(error, String::new()),
    }
}

fn invalid(error: &serde_json::Error, place: String) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let cause = error.to_string();
    let end = format!(" at line {line} column {column}");
    let cause = cause.strip_suffix(&end).unwrap_or(&cause);
    ReadError::Invalid { line, column, place, cause: printable(cause).to_string() }
}

fn excerpt(text: &str) -> String {
    let short: String = text.chars().take(MAX_EXCERPT).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", printable(&short))
}

/// Reads the SHA-256 of a certificate.
pub(super) fn sha256<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if is_sha256(&text) {
        return Ok(text);
    }
    Err(D::Error::invalid_value(Unexpected::Str(&text), &"64 hexadecimal digits in lower case"))
}

/// Whether a text has 64 hexadecimal digits in lower case.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Serialize for Modes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Modes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Modes, D::Error> {
        struct Words;

        impl<'de> Visitor<'de> for Words {
            type Value = Modes;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a list of load, read and write")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Modes, A::Error> {
                let mut modes = Modes::default();
                // One more than there are: longer lists are refused, not read.
                for _ in Modes::NAMES {
                    let mode = match words.next_element::<Mode>()? {
                        Some(mode) => mode,
                        None => return Ok(modes),
                    };
                    modes = modes.union(mode.into());
                }
                match words.next_element::<IgnoredAny>()? {
                    None => Ok(modes),
                    Some(_) => Err(A::Error::custom("too many modes")),
                }
            }
        }

        from.deserialize_seq(Words)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Load,
    Read,
    Write,
}

impl From<Mode> for Modes {
    fn from(mode: Mode) -> Modes {
        match mode {
            Mode::Load => Modes { load: true, ..Modes::default() },
            Mode::Read => Modes { read: true, ..Modes::default() },
            Mode::Write => Modes { write: true, ..Modes::default() },
        }
    }
}

impl Display for Modes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names().collect();
        f.pad(&names.join(","))
    }
}

impl JsonSchema for Modes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Modes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": { "type": "string", "enum": Modes::NAMES },
            "uniqueItems": true,
        })
    }
}
