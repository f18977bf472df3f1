//! Validates the words and labels in answers of plugins.

use crypto_tracer_event::Label;
use crypto_tracer_event::counted::counted;

const MAX_LABELS: usize = 16;
/// Maximum bytes of a label's name.
const LABEL_NAME: usize = 64;
/// Maximum bytes of a label's value.
const LABEL_VALUE: usize = 256;
/// Maximum bytes of a file type.
const WORD: usize = 64;

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
    if given.len() > MAX_LABELS {
        return Err(format!("{}, at most {MAX_LABELS} are allowed", counted(given.len(), "label")));
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut labels: Vec<Label> = Vec::with_capacity(given.len());
    for (name, value) in given {
        if !(1..=LABEL_NAME).contains(&name.len()) || !name.bytes().all(allowed) {
            let name = excerpt(&name);
            return Err(format!("the label {name:?} is not 1 to {LABEL_NAME} of a-z, 0-9, `_`"));
        }
        if value.len() > LABEL_VALUE {
            return Err(format!(
                "the label {name} has {} bytes, at most {LABEL_VALUE} are allowed",
                value.len()
            ));
        }
        if labels.iter().all(|label| *label.name != *name) {
            labels.push(Label { name: name.into(), value: value.into() });
        }
    }
    Ok(labels)
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
