//! The word that somebody meant who misspelt it.

/// Characters of a word that are compared: an argument may be as long as it likes.
const MOST: usize = 64;
/// A part of a word has to be so long before it stands for the whole.
const LEAST_PART: usize = 3;

/// The nearest of the words that can be meant, without regard to case. None: none is near.
///
/// Near is what a few slips make of it, in proportion to its length, or what it is a part of.
pub fn nearest<'a>(odd: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let odd: Vec<char> = odd.chars().take(MOST + 1).flat_map(char::to_lowercase).collect();
    if odd.is_empty() || odd.len() > MOST {
        return None;
    }
    let part: String = odd.iter().collect();
    let judged = words.into_iter().filter_map(|word| {
        let slips = slips(&odd, &word.to_lowercase().chars().collect::<Vec<_>>());
        if slips <= 1 + odd.len() / 4 {
            return Some(((0, slips), word));
        }
        let is_part = odd.len() >= LEAST_PART && word.to_lowercase().contains(&part);
        // Of several, the one that begins so.
        is_part.then(|| ((if word.to_lowercase().starts_with(&part) { 1 } else { 2 }, slips), word))
    });
    judged.min_by_key(|(rank, _)| *rank).map(|(_, word)| word)
}

/// How many letters have to be changed, left out, put in, or exchanged with their neighbours to make one word the other.
fn slips(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (line, &odd) in from.iter().enumerate() {
        let mut next = vec![line + 1];
        let mut last_right = None;
        for (at, &right) in to.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut least = (cell(&row, at) + usize::from(odd != right))
                .min(cell(&row, at + 1) + 1)
                .min(cell(&next, at) + 1);
            if last == Some(right) && last_right == Some(odd) {
                let both = at.checked_sub(1).map_or(usize::MAX / 2, |at| cell(&before, at));
                least = least.min(both + 1);
            }
            next.push(least);
            last_right = Some(right);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(odd);
    }
    row.last().copied().unwrap_or_default()
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
    fn slips_of_every_kind() {
        for (odd, meant) in [
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
            assert_eq!(nearest(odd, OPTIONS), Some(meant), "{odd}");
        }
    }

    #[test]
    fn what_is_another_word_is_near_nothing() {
        let long = "x".repeat(1 << 20);
        for odd in ["bogus", "xyz", "", "q", "ab", "everything", "\u{1b}[2J", &long] {
            assert_eq!(nearest(odd, OPTIONS), None, "{odd:.20}");
        }
        assert_eq!(nearest("pdi", []), None);
    }

    #[test]
    fn slips_are_counted_with_exchanged_neighbours() {
        let slips = |a: &str, b: &str| {
            slips(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(slips("memry", "memory"), 1);
        assert_eq!(slips("", "abc"), 3);
        assert_eq!(slips("kitten", "sitting"), 3);
        assert_eq!(slips("pdi", "pid"), 1);
        assert_eq!(slips("ab", "ba"), 1);
        assert_eq!(slips("abc", ""), 3);
    }
}
