//! How a run ends badly: an exit code and one line for people.

use std::process::ExitCode;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It failed while running.
    Failed = 1,
    /// Bad arguments, configuration or plugins: nothing started.
    Usage = 2,
    /// Privileges are missing.
    Privileges = 3,
    /// The kernel is too old.
    Kernel = 4,
    /// A probe that the command needs could not be loaded or attached.
    Probe = 5,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// An error on its way to the operator.
#[derive(Debug)]
pub struct Failure {
    /// How the program ends.
    pub code: Code,
    /// What is wrong, and what is right.
    pub error: anyhow::Error,
}

impl Failure {
    /// An error with its code.
    pub fn new(code: Code, error: impl Into<anyhow::Error>) -> Failure {
        Failure { code, error: error.into() }
    }
}

/// Text from outside as one line that a terminal shows and does not obey.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = !c.is_control() && !is_invisible(c);
        if plain { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

/// Characters that change how the text around them is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn escape_sequences_and_hidden_characters_become_visible() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), r"a\u{1b}[2Jb\n");
        assert_eq!(printable("safe\u{202e}exe"), r"safe\u{202e}exe");
        assert_eq!(printable("schlüssel.pem"), "schlüssel.pem");
    }
}
