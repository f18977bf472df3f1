//! Labels that keep to the bounds of the contract.

/// Maximum number of labels of one answer.
pub const MAX_LABELS: usize = 16;
/// Maximum bytes of a label's name and of a file type.
const NAME: usize = 64;
/// Maximum bytes of a label's value.
const VALUE: usize = 256;
/// Ends a value that was cut.
const CUT: &str = "…";

/// Names and values of labels, in the order in which they were added.
///
/// All of them keep to the bounds of the contract, because the host discards an answer that exceeds them:
///
/// - In a name, upper-case letters become lower-case, and each other character that is not `a-z`, `0-9` or `_` becomes `_`.
///   A name is cut at 64 bytes; an empty name becomes `_`.
/// - A value of more than 256 bytes is cut, and ends in `…`.
/// - The first label of a name stays; so do the first [`MAX_LABELS`] labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// No labels.
    pub fn new() -> Labels {
        Labels::default()
    }

    /// Adds a label.
    pub fn add(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let name = word(name.as_ref(), "_");
        if self.0.len() < MAX_LABELS && self.get(&name).is_none() {
            self.0.push((name, cut(value.as_ref())));
        }
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the contract has them.
    #[cfg(target_family = "wasm")]
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Extend<(N, V)> for Labels {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, labels: I) {
        labels.into_iter().for_each(|(name, value)| self.add(name, value));
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Labels {
        let mut all = Labels::new();
        all.extend(labels);
        all
    }
}

/// A word of `a-z`, `0-9`, `_` and the characters `also`, of 1 to 64 bytes.
pub(crate) fn word(text: &str, also: &str) -> String {
    let allowed = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_') => c,
        c if also.contains(c) => c,
        _ => '_',
    };
    let word: String = text.chars().take(NAME).map(allowed).collect();
    if word.is_empty() { "_".to_owned() } else { word }
}

fn cut(value: &str) -> String {
    if value.len() <= VALUE {
        return value.to_owned();
    }
    let end = value.floor_char_boundary(VALUE - CUT.len());
    let kept = value.get(..end).unwrap_or_default();
    [kept, CUT].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_to_the_bounds() {
        let mut labels = Labels::new();
        labels.add("Not-After", "x");
        labels.add("", "");
        labels.add("é".repeat(100), "é".repeat(200));
        let all: Vec<_> = labels.iter().collect();
        assert_eq!(all[0], ("not_after", "x"));
        assert_eq!(all[1], ("_", ""));
        assert_eq!(all[2].0, "_".repeat(64));
        assert!(all[2].1.len() <= 256 && all[2].1.ends_with("é…"));
        labels.extend((0..40).map(|number| (format!("n{number}"), "y")));
        assert_eq!(labels.len(), MAX_LABELS);
    }

    #[test]
    fn values_are_cut_at_the_bound_and_not_before() {
        for len in [0, 1, 255, 256] {
            assert_eq!(cut(&"x".repeat(len)), "x".repeat(len));
        }
        assert_eq!(cut(&"x".repeat(257)), "x".repeat(253) + "…");
    }

    #[test]
    fn the_first_label_of_a_name_stays() {
        let labels: Labels = [("a", "1"), ("A", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!((labels.get("b"), labels.get("c")), (Some("3"), None));
    }
}
