//! Stable ids.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::Time;

/// What an [`Id`] identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdKind {
    /// A file: `f-`.
    File,
    /// A run on a machine: `h-`.
    Host,
    /// A library: `l-`.
    Library,
    /// A program: `p-`.
    Program,
}

/// A stable id: the kind's letter, `-`, and the first 16 hexadecimal digits of a SHA-256.
///
/// It hashes the letter, then each part after a NUL. The parts are the texts that the document shows, so an id reveals no
/// more than they do, and two paths that are shown alike have one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    kind: IdKind,
    hash: u64,
}

impl IdKind {
    const ALL: [IdKind; 4] = [IdKind::File, IdKind::Host, IdKind::Library, IdKind::Program];

    fn letter(self) -> char {
        match self {
            IdKind::File => 'f',
            IdKind::Host => 'h',
            IdKind::Library => 'l',
            IdKind::Program => 'p',
        }
    }
}

impl Id {
    /// Hexadecimal digits of an id.
    const DIGITS: usize = 16;

    /// Id of the program with this executable. Without one, the id is that of the process name, and the executable's
    /// part is empty.
    pub fn program(exe: Option<&str>, name: &str) -> Id {
        match exe {
            Some(exe) => Id::of(IdKind::Program, &[exe]),
            None => Id::of(IdKind::Program, &["", name]),
        }
    }

    /// Id of the library at this path.
    pub fn library(path: &str) -> Id {
        Id::of(IdKind::Library, &[path])
    }

    /// Id of the file at this path.
    pub fn file(path: &str) -> Id {
        Id::of(IdKind::File, &[path])
    }

    /// Id of a run: the name of the host and the begin of the window.
    pub fn host(hostname: Option<&str>, from: Time) -> Id {
        Id::of(IdKind::Host, &[hostname.unwrap_or_default(), &from.to_string()])
    }

    /// Returns what the id identifies.
    pub fn kind(self) -> IdKind {
        self.kind
    }

    fn of(kind: IdKind, parts: &[&str]) -> Id {
        let mut hasher = Sha256::new();
        hasher.update([kind.letter() as u8]);
        for part in parts {
            hasher.update([0]);
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let hash = digest.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte));
        Id { kind, hash }
    }
}

impl Display for Id {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.kind.letter(), self.hash)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Id, ()> {
        let (letter, digits) = text.split_once('-').ok_or(())?;
        let kind = IdKind::ALL.into_iter().find(|kind| letter.chars().eq([kind.letter()]));
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if digits.len() != Id::DIGITS || !digits.bytes().all(is_digit) {
            return Err(());
        }
        match (kind, u64::from_str_radix(digits, 16)) {
            (Some(kind), Ok(hash)) => Ok(Id { kind, hash }),
            _ => Err(()),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Id, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|()| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"an id such as f-0123456789abcdef",
            )
        })
    }
}

impl JsonSchema for Id {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[fhlp]-[0-9a-f]{16}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_hash_that_anyone_can_compute() {
        // printf 'f\0/etc/ssl/cert.pem' | sha256sum | cut -c1-16
        assert_eq!(Id::file("/etc/ssl/cert.pem").to_string(), "f-16672cc2eb067caf");
        assert_ne!(Id::file("/a"), Id::library("/a"));
        assert_ne!(Id::program(None, "a"), Id::program(Some("a"), "a"));
        assert_eq!(Id::program(Some("/a"), "x"), Id::program(Some("/a"), "y"));
    }

    #[test]
    fn only_the_written_form_is_read() {
        let id = Id::library("/usr/lib/libssl.so.3");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "f",
            "f-",
            "x-0123456789abcdef",
            "f-0123456789abcde",
            "f-0123456789abcdef0",
            "f-0123456789ABCDEF",
            "f-+123456789abcdef",
            "ff-0123456789abcdef",
        ] {
            assert_eq!(text.parse::<Id>(), Err(()), "{text}");
        }
    }
}
