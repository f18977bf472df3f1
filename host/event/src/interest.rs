//! File and library names that the classifiers request. They fill the kernel's tables, and user space repeats the exact
//! test.

use std::collections::BTreeSet;

use crate::bounded::at_most;

/// Maximum number of suffixes of all classifiers together.
pub const MAX_SUFFIXES: usize = 64;
/// Maximum number of file names of all classifiers together.
pub const MAX_NAMES: usize = 256;
/// Maximum number of file name prefixes of all classifiers together.
pub const MAX_PREFIXES: usize = 16;
/// Maximum number of libraries of all classifiers together.
pub const MAX_LIBRARIES: usize = 64;

/// The requests of all classifiers together.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "Encoded", try_from = "Encoded")]
pub struct Interest {
    /// Suffixes of file names: lower-case ASCII, 3 to 15 bytes.
    pub suffixes: BTreeSet<String>,
    /// Whole file names: 1 to 31 bytes.
    pub names: BTreeSet<String>,
    /// Prefixes of file names: 3 to 15 bytes.
    pub prefixes: BTreeSet<String>,
    /// Library names, as in `libssl`: 3 to 31 bytes.
    pub libraries: BTreeSet<String>,
}

/// The encoding in recordings, which has no field for prefixes. A prefix is an entry of `names` that ends in `/`, which
/// no file name contains, so recordings of earlier versions remain readable.
#[derive(serde::Serialize, serde::Deserialize)]
struct Encoded {
    #[serde(deserialize_with = "at_most::<_, _, MAX_SUFFIXES>")]
    suffixes: BTreeSet<String>,
    #[serde(deserialize_with = "at_most::<_, _, { MAX_NAMES + MAX_PREFIXES }>")]
    names: BTreeSet<String>,
    #[serde(deserialize_with = "at_most::<_, _, MAX_LIBRARIES>")]
    libraries: BTreeSet<String>,
}

impl From<Interest> for Encoded {
    fn from(interest: Interest) -> Encoded {
        let Interest { suffixes, mut names, prefixes, libraries } = interest;
        names.extend(prefixes.into_iter().map(|prefix| prefix + "/"));
        Encoded { suffixes, names, libraries }
    }
}

impl TryFrom<Encoded> for Interest {
    type Error = Refused;

    fn try_from(encoded: Encoded) -> Result<Interest, Refused> {
        let Encoded { suffixes, names: encoded_names, libraries } = encoded;
        let (mut names, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
        for name in encoded_names {
            match name.strip_suffix('/') {
                Some(prefix) => add(&mut prefixes, prefix.to_owned(), MAX_PREFIXES, "prefixes")?,
                None => add(&mut names, name, MAX_NAMES, "file names")?,
            }
        }
        Ok(Interest { suffixes, names, prefixes, libraries })
    }
}

/// An entry is invalid or exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Invalid suffix.
    #[error("the suffix {0:?} is not 3 to 15 bytes of ASCII")]
    Suffix(String),
    /// Invalid file name.
    #[error("the file name {0:?} is not 1 to 31 bytes without `/` and NUL")]
    Name(String),
    /// Invalid prefix.
    #[error("the file prefix {0:?} is not 3 to 15 bytes without `/` and NUL")]
    Prefix(String),
    /// Invalid library name.
    #[error("the library {0:?} is not 3 to 31 bytes without `/` and NUL")]
    Library(String),
    /// More entries than the kernel's table holds.
    #[error("all classifiers together request more than {most} {what}")]
    TooMany {
        /// Maximum number of entries.
        most: usize,
        /// Kind of the entries.
        what: &'static str,
    },
}

impl Interest {
    /// Adds a suffix of file names.
    pub fn add_suffix(&mut self, suffix: &str) -> Result<(), Refused> {
        let fits = (3..=15).contains(&suffix.len()) && suffix.bytes().all(|b| b.is_ascii_graphic());
        if !fits || suffix.contains('/') {
            return Err(Refused::Suffix(excerpt(suffix)));
        }
        add(&mut self.suffixes, suffix.to_ascii_lowercase(), MAX_SUFFIXES, "suffixes")
    }

    /// Adds a whole file name.
    pub fn add_name(&mut self, name: &str) -> Result<(), Refused> {
        if !(1..=31).contains(&name.len()) || name.contains(['/', '\0']) {
            return Err(Refused::Name(excerpt(name)));
        }
        add(&mut self.names, name.to_owned(), MAX_NAMES, "file names")
    }

    /// Adds a prefix of file names.
    pub fn add_prefix(&mut self, prefix: &str) -> Result<(), Refused> {
        if !(3..=15).contains(&prefix.len()) || prefix.contains(['/', '\0']) {
            return Err(Refused::Prefix(excerpt(prefix)));
        }
        add(&mut self.prefixes, prefix.to_owned(), MAX_PREFIXES, "prefixes")
    }

    /// Adds a library name.
    pub fn add_library(&mut self, name: &str) -> Result<(), Refused> {
        if !(3..=31).contains(&name.len()) || name.contains(['/', '\0']) {
            return Err(Refused::Library(excerpt(name)));
        }
        add(&mut self.libraries, name.to_owned(), MAX_LIBRARIES, "libraries")
    }

    /// Adds all entries of `other`.
    pub fn add_all(&mut self, other: &Interest) -> Result<(), Refused> {
        other.suffixes.iter().try_for_each(|suffix| self.add_suffix(suffix))?;
        other.names.iter().try_for_each(|name| self.add_name(name))?;
        other.prefixes.iter().try_for_each(|prefix| self.add_prefix(prefix))?;
        other.libraries.iter().try_for_each(|library| self.add_library(library))
    }

    /// Returns whether a file name without directories matches.
    pub fn wants_file(&self, name: &[u8]) -> bool {
        self.names.iter().any(|wanted| wanted.as_bytes() == name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
            || self.suffixes.iter().any(|suffix| {
                name.len()
                    .checked_sub(suffix.len())
                    .and_then(|at| name.get(at..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            })
    }

    /// Returns whether the file name of a library matches: a library name, followed by `.`, `-` or nothing.
    pub fn wants_library(&self, name: &[u8]) -> bool {
        self.libraries.iter().any(|library| {
            name.strip_prefix(library.as_bytes()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(b".") || rest.starts_with(b"-")
            })
        })
    }
}

fn add(
    set: &mut BTreeSet<String>,
    entry: String,
    most: usize,
    what: &'static str,
) -> Result<(), Refused> {
    set.insert(entry);
    if set.len() > most { Err(Refused::TooMany { most, what }) } else { Ok(()) }
}

fn excerpt(entry: &str) -> String {
    entry.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_ignore_case_and_names_do_not() {
        let mut interest = Interest::default();
        interest.add_suffix(".PEM").unwrap();
        interest.add_name("id_rsa").unwrap();
        for wanted in [&b"a.pem"[..], b"A.Pem", b".pem", b"id_rsa"] {
            assert!(interest.wants_file(wanted), "{wanted:?}");
        }
        for other in [&b"pem"[..], b"a.pem~", b"ID_RSA", b"id_rsa.pub", b""] {
            assert!(!interest.wants_file(other), "{other:?}");
        }
    }

    #[test]
    fn prefixes_match_the_start_of_a_name() {
        let mut interest = Interest::default();
        interest.add_prefix("id_rsa").unwrap();
        for wanted in [&b"id_rsa"[..], b"id_rsa_work", b"id_rsa.old", b"id_rsa\xff", b"id_rsa.pub"]
        {
            assert!(interest.wants_file(wanted), "{wanted:?}");
        }
        for other in [&b"id_rs"[..], b"ID_RSA", b"id_Rsa_work", b"xid_rsa", b".id_rsa", b""] {
            assert!(!interest.wants_file(other), "{other:?}");
        }
    }

    #[test]
    fn prefixes_have_limits() {
        let mut interest = Interest::default();
        for invalid in ["", "id", "0123456789abcdef", "id_/x", "id_\0"] {
            assert!(matches!(interest.add_prefix(invalid), Err(Refused::Prefix(_))), "{invalid:?}");
        }
        for n in 0..MAX_PREFIXES {
            interest.add_prefix(&format!("id_{n}")).unwrap();
        }
        let more = interest.add_prefix("id_more");
        assert_eq!(more, Err(Refused::TooMany { most: 16, what: "prefixes" }));
    }

    /// Without prefixes, the bytes in a recording are those of earlier versions.
    #[test]
    fn the_encoding_is_that_of_earlier_versions() {
        let mut interest = Interest::default();
        interest.add_suffix(".pem").unwrap();
        interest.add_name("id_rsa").unwrap();
        interest.add_library("libssl").unwrap();
        let earlier = b"\x01\x04.pem\x01\x06id_rsa\x01\x06libssl";
        assert_eq!(postcard::to_allocvec(&interest).unwrap(), earlier);
        assert_eq!(postcard::from_bytes::<Interest>(earlier).unwrap(), interest);
        interest.add_prefix("id_rsa").unwrap();
        for n in 1..MAX_NAMES {
            interest.add_name(&format!("name{n}")).unwrap();
        }
        let bytes = postcard::to_allocvec(&interest).unwrap();
        assert_eq!(postcard::from_bytes::<Interest>(&bytes).unwrap(), interest);
        let many: BTreeSet<String> = (0..=MAX_PREFIXES).map(|n| format!("id_{n}/")).collect();
        let (none, set) = (BTreeSet::<String>::new(), BTreeSet::<String>::new());
        let bytes = postcard::to_allocvec(&(none, many, set)).unwrap();
        assert!(postcard::from_bytes::<Interest>(&bytes).is_err());
    }

    #[test]
    fn libraries_match_up_to_their_version() {
        let mut interest = Interest::default();
        interest.add_library("libssl").unwrap();
        for wanted in [&b"libssl"[..], b"libssl.so", b"libssl.so.1.1", b"libssl-3.so"] {
            assert!(interest.wants_library(wanted), "{wanted:?}");
        }
        for other in [&b"libssl3.so"[..], b"libssl_x", b"xlibssl.so", b"libss"] {
            assert!(!interest.wants_library(other), "{other:?}");
        }
    }

    #[test]
    fn entries_have_limits() {
        let mut interest = Interest::default();
        assert!(interest.add_suffix("ab").is_err());
        assert!(interest.add_suffix(&"a".repeat(16)).is_err());
        assert!(interest.add_suffix(".pé").is_err());
        assert!(interest.add_name("").is_err());
        assert!(interest.add_name("a/b").is_err());
        assert!(interest.add_library("ab").is_err());
        for i in 0..MAX_SUFFIXES {
            interest.add_suffix(&format!(".x{i:02}")).unwrap();
        }
        assert!(matches!(interest.add_suffix(".more"), Err(Refused::TooMany { most: 64, .. })));
    }
}
