//! Text from outside, made harmless for a terminal.

/// The text as one line that a terminal shows and does not obey: control characters, and those that change how the
/// text around them is shown, become visible escapes.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Longest word that is shown whole, in characters: what is said behind it has to fit too.
const MOST_WORD: usize = 240;
/// What is kept of a longer one, at its beginning and at its end.
const KEPT: (usize, usize) = (120, 60);

/// The text with the middle of overlong words left out.
pub fn shortened(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let count = word.chars().count();
        if count <= MOST_WORD {
            return word.to_owned();
        }
        let beginning = word.chars().take(KEPT.0);
        beginning.chain(['…']).chain(word.chars().skip(count - KEPT.1)).collect()
    });
    words.collect::<Vec<String>>().join(" ")
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::{KEPT, printable, shortened};

    #[test]
    fn escape_sequences_clear_no_screen() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{9b}31m"), r"a\u{1b}[2Jb\n\u{9b}31m");
    }

    #[test]
    fn right_to_left_override_reverses_no_name() {
        assert_eq!(printable("safe\u{202e}exe\u{200b}"), r"safe\u{202e}exe\u{200b}");
    }

    #[test]
    fn what_stands_behind_an_overlong_name_is_still_said() {
        assert_eq!(shortened("cannot open /a  b: gone"), "cannot open /a  b: gone");
        let long = shortened(&format!("'{}é': it is too long", "x".repeat(100_000)));
        assert!(long.starts_with("'xxx") && long.ends_with("xé': it is too long"), "{long}");
        assert_eq!(long.chars().count(), KEPT.0 + 1 + KEPT.1 + " it is too long".len());
    }

    #[test]
    fn names_in_any_language_stay() {
        assert_eq!(printable("schlüssel-鍵.pem"), "schlüssel-鍵.pem");
    }
}
