//! Pairs of a name and a value within a text: `name=value`, `"name":"value"`, `name: value`.

use crate::edit::{Edit, part, tail, until};
use crate::mask;
use crate::names::{hides, is_name};

/// Names of secrets in the query of a URL.
const QUERY: &[&str] =
    &["key", "sig", "signature", "auth", "x-amz-signature", "x-goog-signature", "code"];

/// Names whose value is the name of a setting, as in `name=DB_PASSWORD,value=x`.
const NAMES: &[&str] = &["name", "key", "parameterkey"];
/// Names whose value is the value of the setting named before.
const VALUES: &[&str] = &["value", "parametervalue"];

/// Masks the value of each pair that has the name of a secret.
///
/// `lead`: separator before the first pair.
pub(crate) fn assignments(text: &str, shell: bool, lead: char) -> Option<String> {
    let mut edit = Edit::new(text);
    // The name in `name=DB_PASSWORD,value=x`.
    let mut names_secret = false;
    for (at, separator) in text.match_indices(['=', ':']) {
        if at < edit.done {
            continue;
        }
        let named = part(text, 0, at).trim_end_matches(['"', '\'', '\\']);
        let quoted_name = named.len() < at;
        let before = named.trim_end_matches(is_name);
        let name = named.get(before.len()..).unwrap_or_default();
        let mut begin = at + 1;
        let rest = tail(text, begin);
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        // The second character of `:=` and `==`.
        if name.is_empty() || rest.starts_with("//") && separator == ":" {
            continue;
        }
        if separator == ":" {
            begin += blanks;
        }
        begin += usize::from(rest.starts_with('='));
        let value = tail(text, begin);
        let previous = before.chars().next_back().unwrap_or('\0');
        if separator == ":" && previous == '/' {
            continue;
        }
        if value.starts_with('{') && previous != ';' {
            continue;
        }
        if is_one_of(name, NAMES) {
            let named = value.trim_start_matches(['"', '\'', '\\']);
            let end = until(named, |c| matches!(c, ',' | ';' | '"' | '\'' | '\\' | ':' | '='));
            names_secret = hides(part(named, 0, end), "");
        }
        let is_value = names_secret && is_one_of(name, VALUES);
        // Searching the end of each value would take quadratic time.
        if !is_value && !is_secret(name, "x", previous) {
            continue;
        }
        let end = value_end(text, begin, Pair { previous, lead, quoted_name, separator, blanks });
        let size = end.saturating_sub(begin);
        let shown = part(value, 0, size);
        if !is_value && !is_secret(name, shown, previous) || shown.is_empty() {
            continue;
        }
        let Some(masked) = mask::secret(shown, shell) else { continue };
        edit.replace(begin, end, &masked);
    }
    edit.finish()
}

fn is_one_of(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.eq_ignore_ascii_case(word))
}

fn is_secret(name: &str, value: &str, previous: char) -> bool {
    let bare = value.trim_start_matches(['"', '\'', '\\']);
    // The shell's `PWD` is a path; `PWD` in a connection string is a password.
    let pwd = name.eq_ignore_ascii_case("pwd") && !bare.starts_with(['/', '$']);
    let query = matches!(previous, '&' | '?') && is_one_of(name, QUERY);
    let json = previous == '"' && is_one_of(name, &["auth", "pw"]);
    pwd || query || json || hides(name, bare)
}

struct Pair<'a> {
    /// The character before the name. NUL: the name is at the start of the text.
    previous: char,
    lead: char,
    quoted_name: bool,
    separator: &'a str,
    blanks: usize,
}

/// End of the value that starts at `begin`. The separator before the pair also ends its value.
fn value_end(text: &str, begin: usize, pair: Pair<'_>) -> usize {
    let value = tail(text, begin);
    let up_to = |set: &[char]| value.find(set).map_or(text.len(), |end| begin + end);
    if value.trim_start_matches('\\').starts_with(['"', '\'']) {
        return begin + quoted_end(value);
    }
    if pair.separator == ":" && value.starts_with('[') {
        return value.find(']').map_or(text.len(), |end| begin + end + 1);
    }
    if pair.separator == ":" && value.starts_with(['|', '>']) && pair.blanks > 0 {
        return text.len();
    }
    if pair.quoted_name {
        return up_to(&[',', '}', ']', '\n']);
    }
    let previous = if pair.previous == '\0' { pair.lead } else { pair.previous };
    let in_braces = || {
        let before = part(text, 0, begin);
        before.rfind('{') > before.rfind('}')
    };
    match previous {
        '\0' | '\n' if pair.separator == ":" => up_to(&['\n']),
        '\0' if pair.separator == "=" => text.len(),
        '\n' => up_to(&['\n']),
        ';' if value.starts_with('{') => value.find('}').map_or(text.len(), |end| begin + end + 1),
        ';' => separated(text, begin, ';'),
        ',' if in_braces() => up_to(&[',', '}']),
        ',' => separated(text, begin, ','),
        '&' | '?' => up_to(&['&', '#', ' ', '\t', '\n', '"', '\'', '<', '>']),
        '=' if pair.separator == "=" => text.len(),
        ' ' | '\t' if pair.separator == "=" => begin + until(value, char::is_whitespace),
        _ => {
            let ends = |c: char| c.is_whitespace() || "&;,\"'}])".contains(c);
            begin + until(value, ends)
        }
    }
}

/// End of a quoted text, including the closing quote. Within quotes, `\"` opens and closes.
pub(crate) fn quoted_end(text: &str) -> usize {
    let open = text.len() - text.trim_start_matches('\\').len();
    let quote = text.get(open..).and_then(|rest| rest.bytes().next()).unwrap_or(b'"');
    let mut backslashes = 0;
    for (at, byte) in text.bytes().enumerate().skip(open + 1) {
        if byte == quote && (backslashes == open || backslashes % 2 == 0 && open == 0) {
            return at + 1;
        }
        backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
    }
    text.len()
}

/// Offset of the next separator from `from` on that is not escaped, or the end of the text.
pub(crate) fn separated(text: &str, from: usize, separator: char) -> usize {
    let mut at = from;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(separator)) {
        let here = at + found;
        if !text.get(..here).is_some_and(|before| before.ends_with('\\')) {
            return here;
        }
        at = here + separator.len_utf8();
    }
    text.len()
}
