//! Numbers of things in messages.

use std::fmt::{self, Display, Formatter};

/// How many of what: `1 process`, `2 processes`.
#[derive(Clone, Copy, Debug)]
pub struct Counted(u64, &'static str);

/// So many of what `one` names one of; the last word takes the plural.
pub fn counted(count: impl TryInto<u64>, one: &'static str) -> Counted {
    Counted(count.try_into().unwrap_or(u64::MAX), one)
}

impl Display for Counted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Counted(count, one) = *self;
        write!(f, "{count} ")?;
        let vowel = |stem: &str| stem.ends_with(['a', 'e', 'i', 'o', 'u']);
        if count == 1 {
            f.write_str(one)
        } else if let Some(stem) = one.strip_suffix('y').filter(|stem| !vowel(stem)) {
            write!(f, "{stem}ies")
        } else if one.ends_with(['s', 'x']) {
            write!(f, "{one}es")
        } else {
            write!(f, "{one}s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_everything_else_is_several() {
        for (one, several) in [
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
            assert_eq!(counted(1, one).to_string(), format!("1 {one}"));
            for count in [0, 2, 11, 20, 21, 101, u64::MAX] {
                assert_eq!(counted(count, one).to_string(), format!("{count} {several}"));
            }
        }
        assert_eq!(counted(7_usize, "file").to_string(), "7 files");
    }
}
