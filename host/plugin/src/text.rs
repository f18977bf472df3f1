//! Text of the engine, for a line of this program.

/// The first line of what the engine says, without what a terminal would obey.
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
