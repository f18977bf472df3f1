//! Suggestions for misspelt words.

/// Longest word that is compared, in characters. An argument may be of any length.
const MAX_CHARS: usize = 64;
/// Shortest part of a word that is accepted for the whole word, in characters.
const MIN_PART_CHARS: usize = 3;

/// Returns the one of `words` that `misspelt` most likely stands for. Case does not matter. Returns `None` if no word is
/// similar.
///
/// A word is similar if few edits separate the two, in proportion to the length of `misspelt`, or if it contains
/// `misspelt`. An edit inserts, deletes or replaces a character, or exchanges two neighbours.
pub(crate) fn nearest<'a>(
    misspelt: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = misspelt.chars().take(MAX_CHARS + 1).count();
    if length == 0 || length > MAX_CHARS {
        return None;
    }
    let misspelt = misspelt.to_lowercase();
    let ranked = words.into_iter().filter_map(|word| {
        let lower = word.to_lowercase();
        let edits = strsim::osa_distance(&misspelt, &lower);
        let rank = if edits <= 1 + length / 4 {
            0
        } else if length < MIN_PART_CHARS {
            return None;
        } else if lower.starts_with(&misspelt) {
            1
        } else if lower.contains(&misspelt) {
            2
        } else {
            return None;
        };
        Some(((rank, edits), word))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [&str; 10] = [
        "pid",
        "name",
        "duration",
        "follow-children",
        "no-redact",
        "format",
        "file",
        "classifier",
        "output",
        "probe",
    ];

    #[test]
    fn similar_words_are_found() {
        for (misspelt, meant) in [
            ("pdi", "pid"),
            ("ipd", "pid"),
            ("pi", "pid"),
            ("PID", "pid"),
            ("pidd", "pid"),
            ("durations", "duration"),
            ("dur", "duration"),
            ("duraton", "duration"),
            ("follow_children", "follow-children"),
            ("follow", "follow-children"),
            ("children", "follow-children"),
            ("redact", "no-redact"),
            ("noredact", "no-redact"),
            ("fromat", "format"),
            ("fiel", "file"),
            ("files", "file"),
            ("clasifier", "classifier"),
            ("ouptut", "output"),
            ("Probe", "probe"),
        ] {
            assert_eq!(nearest(misspelt, OPTIONS), Some(meant), "{misspelt}");
        }
    }

    #[test]
    fn other_words_are_similar_to_none() {
        let long = "x".repeat(1 << 20);
        for word in ["bogus", "xyz", "", "q", "ab", "everything", "\u{1b}[2J", &long] {
            assert_eq!(nearest(word, OPTIONS), None, "{word:.20}");
        }
        assert_eq!(nearest("pdi", []), None);
    }
}
