//! The bounds of what plugins answer.

use crypto_tracer_event::Label;
use crypto_tracer_event::counted::counted;

const MOST_LABELS: usize = 16;
const LABEL_NAME: usize = 64;
const LABEL_VALUE: usize = 256;
const WORD: usize = 64;

/// A plugin's own word for a file's type.
pub(super) fn check_word(text: &str) -> Result<(), String> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if (1..=WORD).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(());
    }
    Err(format!("the word {:?} is not 1 to {WORD} of a-z, 0-9, `_`, `-`", excerpt(text)))
}

/// Labels of one answer; of two with one name the first one counts.
pub(super) fn labels(given: Vec<(String, String)>) -> Result<Vec<Label>, String> {
    if given.len() > MOST_LABELS {
        return Err(format!(
            "{}, at most {MOST_LABELS} are allowed",
            counted(given.len(), "label")
        ));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut labels: Vec<Label> = Vec::with_capacity(given.len());
    for (name, value) in given {
        if !(1..=LABEL_NAME).contains(&name.len()) || !name.bytes().all(plain) {
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
    fn words_have_bounds() {
        for good in ["a", "site-key_2", &"x".repeat(64)] {
            assert!(check_word(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(check_word(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_have_bounds() {
        assert!(pairs(&[("a_1", ""), ("b", &"v".repeat(256))]).is_ok());
        for bad in
            [("", "v"), ("A", "v"), ("a-b", "v"), ("a", &"v".repeat(257)), (&*"n".repeat(65), "v")]
        {
            assert!(pairs(&[bad]).is_err(), "{bad:?}");
        }
        assert!(pairs(&[("a", "v"); 16]).is_ok());
        assert!(pairs(&[("a", "v"); 17]).is_err());
        assert_eq!(pairs(&[("a", "1"), ("a", "2")]).unwrap()[0].value, "1".into());
    }
}
