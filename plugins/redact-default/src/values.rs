//! Masks values by their form.

use crate::edit::{Edit, part};
use crate::forms::Form;
use crate::generic;
use crate::names::hides;

/// Replaces a secret.
pub(crate) const MASK: &str = "***";

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

/// The masked secret. None: the value is not a secret. `file:`, `env:`, `fd:` and `stdin` are sources of OpenSSL;
/// `shell`: the shell expands variables.
pub(crate) fn secret(value: &str, shell: bool) -> Option<String> {
    let place = ["file:", "env:", "fd:"].iter().any(|place| value.starts_with(place));
    if value.is_empty() || place || matches!(value, "stdin" | "-" | MASK) {
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

/// Masks the text after its first `at` bytes.
pub(crate) fn behind(text: &str, at: usize, shell: bool) -> Option<String> {
    let (before, value) = text.split_at_checked(at)?;
    let masked = if shell && is_expanded(value) { None } else { plain(value) }?;
    Some([before, masked].concat())
}

fn plain(value: &str) -> Option<&'static str> {
    (!value.is_empty() && value != MASK).then_some(MASK)
}

/// Masks a part of a text.
pub(crate) fn between(text: &str, from: usize, to: usize, shell: bool) -> Option<String> {
    let masked = secret(text.get(from..to)?, shell)?;
    Some([text.get(..from)?, &masked, text.get(to..)?].concat())
}

fn after(text: &str, separator: char, shell: bool) -> Option<String> {
    behind(text, text.find(separator)? + separator.len_utf8(), shell)
}

/// The value masked by its form. None: nothing is masked.
pub(crate) fn by_form(form: Form, value: &str, shell: bool) -> Option<String> {
    match form {
        Form::Secret | Form::Optional | Form::Glued | Form::Two | Form::Second | Form::Rest => {
            secret(value, shell)
        }
        Form::Pair => after(value, ':', shell),
        Form::Percent => after(value, '%', shell),
        Form::Comma => after(value, ',', shell),
        Form::Literal => after(value, '=', shell),
        Form::Cert => certificate(value, shell),
        Form::Login => login(value, shell),
        Form::Authority => authority(value, shell),
        Form::List => pairs(value, ',', shell, |_| false),
        Form::Percona => pairs(value, ',', shell, |name| name == "p"),
        Form::Data if value.starts_with(['{', '[', '<', '@']) => generic::text(value, shell),
        Form::Data if !value.contains('=') => generic::text(value, shell),
        Form::Data => pairs(value, '&', shell, |_| false).or_else(|| generic::text(value, shell)),
        Form::Conninfo => generic::pairs_of_words(value, shell),
        Form::Cookie => value.contains('=').then(|| secret(value, shell)).flatten(),
        Form::Keyed => keyed(value, shell),
        Form::Auth => {
            let places = ["session:", "file:", "pcr:"];
            let place = places.iter().any(|place| value.starts_with(place));
            if place { None } else { secret(value, shell) }
        }
        Form::Plain => generic::always(value),
        _ => generic::text(value, shell),
    }
}

/// `client.pem:secret`. `\:` is a colon in the name of the file, and a PKCS #11 URI contains colons.
fn certificate(value: &str, shell: bool) -> Option<String> {
    if value.starts_with("pkcs11:") {
        return generic::text(value, shell);
    }
    let mut bytes = value.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            // `C:\client.pem`
            b':' if at == 1 && value.get(2..).is_some_and(|rest| rest.starts_with(['\\', '/'])) => {
            }
            b':' => return behind(value, at + 1, shell),
            _ => {}
        }
    }
    None
}

/// `user/secret@database`; without the database, the rest after the slash.
fn login(value: &str, shell: bool) -> Option<String> {
    let from = value.find('/')? + 1;
    if from == 1 || value.contains("://") {
        return generic::text(value, shell);
    }
    // A quoted secret may contain an `@`. An `@` before `//` starts the database.
    let rest = value.get(from..)?;
    let to = rest.find("@//").or_else(|| rest.rfind('@')).map_or(value.len(), |at| from + at);
    between(value, from, to, shell)
}

/// `user:secret@host`, `:pserver:user:secret@host`, `domain/user:secret@host`; with a scheme it is a URL.
fn authority(value: &str, shell: bool) -> Option<String> {
    if value.contains("://") {
        return generic::text(value, shell);
    }
    let to = value.rfind('@')?;
    let begin = match value.strip_prefix(':') {
        Some(rest) => rest.find(':')? + 2,
        None => 0,
    };
    let from = begin + value.get(begin..to)?.find(':')? + 1;
    between(value, from, to, shell)
}

/// `key:secret`, if the key is that of a secret.
fn keyed(value: &str, shell: bool) -> Option<String> {
    let at = value.find(':')?;
    let key = value.get(..at)?.to_ascii_lowercase();
    let secret = matches!(
        &*key,
        "key"
            | "hexkey"
            | "pass"
            | "hexpass"
            | "password"
            | "secret"
            | "hexsecret"
            | "hexpassword"
            | "seed"
            | "hexseed"
    );
    if secret { behind(value, at + 1, shell) } else { None }
}

/// `a=1,password=b,c=2`: a value extends to the next separator that is not escaped.
pub(crate) fn pairs(
    text: &str,
    separator: char,
    shell: bool,
    also: impl Fn(&str) -> bool,
) -> Option<String> {
    let mut edit = Edit::new(text);
    let mut from = 0;
    while from < text.len() {
        let to = separated(text, from, separator);
        let pair = part(text, from, to);
        if let Some((name, value)) = pair.split_once(['=', ':']) {
            let bare = name.trim_matches(|c: char| !crate::names::is_name(c));
            let begin = to - value.len();
            let masked = if hides(bare, value) || also(bare) {
                secret(value, shell)
            } else if matches!(bare, "user" | "username") && separator == ',' {
                after(value, ':', shell)
            } else {
                generic::text(value, shell)
            };
            if let Some(masked) = masked {
                edit.replace(begin, to, &masked);
            }
        }
        from = to + separator.len_utf8();
    }
    edit.finish()
}

/// Offset of the next separator, or the end of the text.
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
