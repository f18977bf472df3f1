//! Counts with a singular or plural noun, for messages.

use std::fmt::{self, Display, Formatter};

/// A count and its noun: `1 process`, `2 processes`.
#[derive(Clone, Copy, Debug)]
pub struct Counted(u64, &'static str);

/// Returns `count` and the noun `singular`, whose last word takes the plural.
pub fn counted(count: impl TryInto<u64>, singular: &'static str) -> Counted {
    Counted(count.try_into().unwrap_or(u64::MAX), singular)
}

impl Display for Counted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Counted(count, singular) = *self;
        write!(f, "{count} ")?;
        let vowel = |stem: &str| stem.ends_with(['a', 'e', 'i', 'o', 'u']);
        if count == 1 {
            f.write_str(singular)
        } else if let Some(stem) = singular.strip_suffix('y').filter(|stem| !vowel(stem)) {
            write!(f, "{stem}ies")
        } else if singular.ends_with(['s', 'x']) {
            write!(f, "{singular}es")
        } else {
            write!(f, "{singular}s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_but_one_takes_the_plural() {
        for (singular, plural) in [
            ("event", "events"),
            ("process", "processes"),
            ("library", "libraries"),
            ("time", "times"),
            ("suffix", "suffixes"),
            ("plugin failure", "plugin failures"),
            ("key", "keys"),
            ("blind spot", "blind spots"),
            ("byte", "bytes"),
            ("record", "records"),
            ("case", "cases"),
            ("entry", "entries"),
            ("file", "files"),
            ("crypto library", "crypto libraries"),
            ("open crypto file", "open crypto files"),
        ] {
            assert_eq!(counted(1, singular).to_string(), format!("1 {singular}"));
            for count in [0, 2, 11, 20, 21, 101, u64::MAX] {
                assert_eq!(counted(count, singular).to_string(), format!("{count} {plural}"));
            }
        }
        assert_eq!(counted(7_usize, "file").to_string(), "7 files");
    }
}
