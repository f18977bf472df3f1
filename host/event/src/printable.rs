//! Escapes untrusted text for a terminal.

/// Returns the text as one line. Control characters, and characters that change how the text around them is displayed,
/// become visible escapes.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Maximum length of a word, in characters, so that the text after it remains visible.
const MAX_WORD_CHARS: usize = 240;
/// Characters kept at the start and at the end of a longer word.
const KEPT: (usize, usize) = (120, 60);

/// Returns the text with the middle of overlong words replaced by `…`.
pub fn shortened(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let count = word.chars().count();
        if count <= MAX_WORD_CHARS {
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
    use proptest::prelude::*;

    use super::{KEPT, is_invisible, printable, shortened};

    /// Any text, with many of the characters that matter.
    fn texts() -> impl Strategy<Value = String> {
        let special = "[\u{0}-\u{20}\u{7f}-\u{a0}\u{ad}\u{61c}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{feff}\u{e0001}]{0,4}";
        proptest::collection::vec(prop_oneof![special, any::<String>()], 0..6)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn printable_text_changes_nothing_on_a_terminal(text in texts()) {
            let shown = printable(&text);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)), "{shown:?}");
            prop_assert_eq!(printable(&shown), shown.clone(), "escaping twice changes nothing");
            let kept: String = text.chars().filter(|&c| !c.is_control() && !is_invisible(c)).collect();
            prop_assert!(kept.chars().all(|c| shown.contains(c)));
        }
    }

    /// Characters that reorder the text around them, as Unicode's bidirectional algorithm defines them.
    #[test]
    fn characters_that_reorder_text_are_escaped() {
        let reordering = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        for c in reordering.chars() {
            assert_eq!(printable(&c.to_string()), format!("\\u{{{:x}}}", u32::from(c)));
        }
    }

    #[test]
    fn escape_sequences_are_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{9b}31m"), r"a\u{1b}[2Jb\n\u{9b}31m");
    }

    #[test]
    fn right_to_left_overrides_are_escaped() {
        assert_eq!(printable("safe\u{202e}exe\u{200b}"), r"safe\u{202e}exe\u{200b}");
    }

    #[test]
    fn text_after_an_overlong_word_is_kept() {
        assert_eq!(shortened("cannot open /a  b: gone"), "cannot open /a  b: gone");
        let long = shortened(&format!("'{}é': it is too long", "x".repeat(100_000)));
        assert!(long.starts_with("'xxx") && long.ends_with("xé': it is too long"), "{long}");
        assert_eq!(long.chars().count(), KEPT.0 + 1 + KEPT.1 + " it is too long".len());
    }

    #[test]
    fn letters_of_any_script_are_unchanged() {
        assert_eq!(printable("schlüssel-鍵.pem"), "schlüssel-鍵.pem");
    }
}
