//! Masks a secret: a whole value, or a part of a text.

/// Replaces a secret.
pub(crate) const MASK: &str = "***";

/// Whether a text contains a private key in PEM form.
pub(crate) fn has_private_key(text: &str) -> bool {
    const END: &str = "PRIVATE KEY-----";
    // Searching is slow, and most texts are shorter.
    text.len() >= END.len() && text.contains(' ') && text.contains(END)
}

/// Whether the shell replaces this word: a variable, or the output of a command.
fn is_expanded(value: &str) -> bool {
    let closed = |open: &str, close: &str| {
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some()
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    closed("$(", ")")
        || closed("`", "`") && value.len() > 1
        || value.strip_prefix('$').is_some_and(|name| !name.is_empty() && name.chars().all(is_name))
        || value
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .is_some_and(|name| !name.is_empty() && name.chars().all(is_name))
}

/// The masked secret. None: the value is not a secret. `file:`, `env:`, `fd:` and `stdin` are sources of OpenSSL.
/// `shell`: the shell expands variables.
pub(crate) fn secret(value: &str, shell: bool) -> Option<String> {
    let source = ["file:", "env:", "fd:"].iter().any(|source| value.starts_with(source));
    if value.is_empty() || source || matches!(value, "stdin" | "-" | MASK) {
        return None;
    }
    if shell && is_expanded(value) {
        return None;
    }
    let mask = match value.strip_prefix("pass:") {
        Some("" | MASK) => return None,
        Some(_) => "pass:***",
        None => MASK,
    };
    Some(mask.to_owned())
}

/// Masks the text from the byte offset `at` to its end. None: nothing is masked.
pub(crate) fn from_offset(text: &str, at: usize, shell: bool) -> Option<String> {
    let (before, value) = text.split_at_checked(at)?;
    let masked = if shell && is_expanded(value) { None } else { plain(value) }?;
    Some([before, masked].concat())
}

fn plain(value: &str) -> Option<&'static str> {
    (!value.is_empty() && value != MASK).then_some(MASK)
}

/// Masks the bytes `from..to` of a text, if they are a secret. None: nothing is masked.
pub(crate) fn between(text: &str, from: usize, to: usize, shell: bool) -> Option<String> {
    let masked = secret(text.get(from..to)?, shell)?;
    Some([text.get(..from)?, &masked, text.get(to..)?].concat())
}
