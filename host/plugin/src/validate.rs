//! Validates the words, labels and assets in answers of plugins.

use std::sync::Arc;

use super::contract::RawAsset;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::{Asset, Label};

const MAX_LABELS: usize = 16;
/// Maximum bytes of a label's name.
const LABEL_NAME: usize = 64;
/// Maximum bytes of a label's value.
const LABEL_VALUE: usize = 256;
/// Maximum bytes of a file type.
const WORD: usize = 64;
const MAX_ASSETS: usize = 256;
const MAX_FACTS: usize = 32;
/// Maximum bytes of a fact's value.
const FACT_VALUE: usize = 1024;

/// Checks a file type that the contract does not define.
pub(super) fn check_word(text: &str) -> Result<(), String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if (1..=WORD).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!("the word {:?} is not 1 to {WORD} of a-z, 0-9, `_`, `-`", excerpt(text)))
}

/// Checks the labels of one answer. Of several labels with the same name, the first is kept.
pub(super) fn labels(given: Vec<(String, String)>) -> Result<Vec<Label>, String> {
    let pairs = PAIRS_OF_LABELS.check(given)?;
    Ok(pairs.into_iter().map(|(name, value)| Label { name, value }).collect())
}

/// Checks the answer of an inspector. Of several facts with the same name, the first is kept.
pub(super) fn assets(given: Vec<RawAsset>) -> Result<Vec<Asset>, String> {
    if given.len() > MAX_ASSETS {
        return Err(format!("{}, at most {MAX_ASSETS} are allowed", counted(given.len(), "asset")));
    }
    let checked = |RawAsset { kind, facts }: RawAsset| {
        check_word(&kind)?;
        Ok(Asset { kind: kind.into(), facts: PAIRS_OF_FACTS.check(facts)? })
    };
    given.into_iter().map(checked).collect()
}

/// Bounds of names with values.
struct PairBounds {
    noun: &'static str,
    max: usize,
    value: usize,
}

const PAIRS_OF_LABELS: PairBounds =
    PairBounds { noun: "label", max: MAX_LABELS, value: LABEL_VALUE };
const PAIRS_OF_FACTS: PairBounds = PairBounds { noun: "fact", max: MAX_FACTS, value: FACT_VALUE };

/// Names and values.
type Pairs = Vec<(Arc<str>, Arc<str>)>;

impl PairBounds {
    /// Checks the pairs of one answer, and removes those whose name was already used.
    fn check(&self, given: Vec<(String, String)>) -> Result<Pairs, String> {
        let PairBounds { noun, max, value: max_value } = self;
        if given.len() > *max {
            return Err(format!("{}, at most {max} are allowed", counted(given.len(), noun)));
        }
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::with_capacity(given.len());
        for (name, value) in given {
            if !(1..=LABEL_NAME).contains(&name.len()) || !name.bytes().all(allowed) {
                let name = excerpt(&name);
                return Err(format!(
                    "the {noun} {name:?} is not 1 to {LABEL_NAME} of a-z, 0-9, `_`"
                ));
            }
            if value.len() > *max_value {
                let bytes = value.len();
                return Err(format!(
                    "the {noun} {name} has {bytes} bytes, at most {max_value} are allowed"
                ));
            }
            if pairs.iter().all(|(known, _)| **known != *name) {
                pairs.push((name.into(), value.into()));
            }
        }
        Ok(pairs)
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<Label>, String> {
        labels(pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn file_types_are_limited() {
        for valid in ["a", "site-key_2", &"x".repeat(64)] {
            assert!(check_word(valid).is_ok(), "{valid}");
        }
        for invalid in ["", "A", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(check_word(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn assets_are_limited() {
        let asset = |kind: &str, facts: &[(&str, &str)]| RawAsset {
            kind: kind.to_owned(),
            facts: facts.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        let many = |count| (0..count).map(|_| asset("certificate", &[])).collect::<Vec<_>>();
        assert!(assets(many(256)).is_ok() && assets(many(257)).is_err());
        assert!(assets(vec![asset("site-key_1", &[("a", &"v".repeat(1024))])]).is_ok());
        for invalid in [
            asset("", &[]),
            asset("A", &[]),
            asset("a", &[("a", &"v".repeat(1025))]),
            asset("a", &[("a-b", "")]),
            asset("a", &[("", "")]),
            asset("a", &[("a", ""); 33]),
        ] {
            assert!(assets(vec![asset("a", &[]), invalid]).is_err());
        }
        let [kept] = &assets(vec![asset("a", &[("b", "1"), ("b", "2")])]).unwrap()[..] else {
            panic!("one asset")
        };
        assert_eq!(kept.facts, [("b".into(), "1".into())]);
    }

    #[test]
    fn labels_are_limited() {
        assert!(pairs(&[("a_1", ""), ("b", &"v".repeat(256))]).is_ok());
        for invalid in
            [("", "v"), ("A", "v"), ("a-b", "v"), ("a", &"v".repeat(257)), (&*"n".repeat(65), "v")]
        {
            assert!(pairs(&[invalid]).is_err(), "{invalid:?}");
        }
        assert!(pairs(&[("a", "v"); 16]).is_ok());
        assert!(pairs(&[("a", "v"); 17]).is_err());
        assert_eq!(pairs(&[("a", "1"), ("a", "2")]).unwrap()[0].value, "1".into());
    }
}
