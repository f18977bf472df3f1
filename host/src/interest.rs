//! What the classifiers want to see. The kernel's tables are filled from it, and user space repeats the exact test.

use std::collections::BTreeSet;

use crate::bounded::at_most;

/// Most suffixes over all classifiers.
pub const MOST_SUFFIXES: usize = 64;
/// Most file names over all classifiers.
pub const MOST_NAMES: usize = 256;
/// Most libraries over all classifiers.
pub const MOST_LIBRARIES: usize = 64;

/// The words of all classifiers together.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Interest {
    /// Endings of file names: ASCII in lower case, 3 to 15 bytes.
    #[serde(deserialize_with = "at_most::<_, _, MOST_SUFFIXES>")]
    pub suffixes: BTreeSet<String>,
    /// Whole file names: 1 to 31 bytes.
    #[serde(deserialize_with = "at_most::<_, _, MOST_NAMES>")]
    pub names: BTreeSet<String>,
    /// Library names, as in `libssl`: 3 to 31 bytes.
    #[serde(deserialize_with = "at_most::<_, _, MOST_LIBRARIES>")]
    pub libraries: BTreeSet<String>,
}

/// Why a word is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A suffix outside its bounds.
    #[error("the suffix {0:?} is not 3 to 15 bytes of ASCII")]
    Suffix(String),
    /// A name outside its bounds.
    #[error("the file name {0:?} is not 1 to 31 bytes without `/` and NUL")]
    Name(String),
    /// A library outside its bounds.
    #[error("the library {0:?} is not 3 to 31 bytes without `/` and NUL")]
    Library(String),
    /// More words than the kernel's tables hold.
    #[error("more than {most} {what} are asked for, by all classifiers together")]
    TooMany {
        /// How many there may be.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}

impl Interest {
    /// Adds an ending of file names.
    pub fn add_suffix(&mut self, suffix: &str) -> Result<(), Refused> {
        let fits = (3..=15).contains(&suffix.len()) && suffix.bytes().all(|b| b.is_ascii_graphic());
        if !fits || suffix.contains('/') {
            return Err(Refused::Suffix(excerpt(suffix)));
        }
        add(&mut self.suffixes, suffix.to_ascii_lowercase(), MOST_SUFFIXES, "suffixes")
    }

    /// Adds a whole file name.
    pub fn add_name(&mut self, name: &str) -> Result<(), Refused> {
        if !(1..=31).contains(&name.len()) || name.contains(['/', '\0']) {
            return Err(Refused::Name(excerpt(name)));
        }
        add(&mut self.names, name.to_owned(), MOST_NAMES, "file names")
    }

    /// Adds a library.
    pub fn add_library(&mut self, name: &str) -> Result<(), Refused> {
        if !(3..=31).contains(&name.len()) || name.contains(['/', '\0']) {
            return Err(Refused::Library(excerpt(name)));
        }
        add(&mut self.libraries, name.to_owned(), MOST_LIBRARIES, "libraries")
    }

    /// Adds all words of `other`.
    pub fn add_all(&mut self, other: &Interest) -> Result<(), Refused> {
        other.suffixes.iter().try_for_each(|word| self.add_suffix(word))?;
        other.names.iter().try_for_each(|word| self.add_name(word))?;
        other.libraries.iter().try_for_each(|word| self.add_library(word))
    }

    /// Whether a file of this name (without directories) is wanted.
    pub fn wants_file(&self, name: &[u8]) -> bool {
        self.names.iter().any(|word| word.as_bytes() == name)
            || self.suffixes.iter().any(|suffix| {
                name.len()
                    .checked_sub(suffix.len())
                    .and_then(|at| name.get(at..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            })
    }

    /// Whether a library of this file name is wanted.
    pub fn wants_library(&self, name: &[u8]) -> bool {
        self.libraries.iter().any(|word| {
            name.strip_prefix(word.as_bytes()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(b".") || rest.starts_with(b"-")
            })
        })
    }
}

fn add(
    set: &mut BTreeSet<String>,
    word: String,
    most: usize,
    what: &'static str,
) -> Result<(), Refused> {
    set.insert(word);
    if set.len() > most { Err(Refused::TooMany { most, what }) } else { Ok(()) }
}

fn excerpt(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_by_suffix_whatever_the_case_and_by_whole_name() {
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
    fn libraries_up_to_their_version() {
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
    fn words_have_bounds() {
        let mut interest = Interest::default();
        assert!(interest.add_suffix("ab").is_err());
        assert!(interest.add_suffix(&"a".repeat(16)).is_err());
        assert!(interest.add_suffix(".pé").is_err());
        assert!(interest.add_name("").is_err());
        assert!(interest.add_name("a/b").is_err());
        assert!(interest.add_library("ab").is_err());
        for i in 0..MOST_SUFFIXES {
            interest.add_suffix(&format!(".x{i:02}")).unwrap();
        }
        assert!(matches!(interest.add_suffix(".more"), Err(Refused::TooMany { most: 64, .. })));
    }
}
