//! The engine's messages, for one line of this program's output.

/// The first line of a message, at most 300 characters, with control characters replaced by spaces.
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
