//! Masks values by their form.

use crate::edit::{Edit, part};
use crate::forms::Form;
use crate::names::hides;
use crate::pairs::separated;
use crate::{generic, mask};

/// Masks the text after the first separator.
fn after(text: &str, separator: char, shell: bool) -> Option<String> {
    mask::from_offset(text, text.find(separator)? + separator.len_utf8(), shell)
}

/// The value masked by its form. None: nothing is masked.
pub(crate) fn by_form(form: Form, value: &str, shell: bool) -> Option<String> {
    match form {
        Form::Secret | Form::Optional | Form::Glued | Form::Two | Form::Second | Form::Rest => {
            mask::secret(value, shell)
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
        Form::Cookie => value.contains('=').then(|| mask::secret(value, shell)).flatten(),
        Form::Keyed => keyed(value, shell),
        Form::Auth => {
            let sources = ["session:", "file:", "pcr:"];
            let source = sources.iter().any(|source| value.starts_with(source));
            if source { None } else { mask::secret(value, shell) }
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
            b':' => return mask::from_offset(value, at + 1, shell),
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
    mask::between(value, from, to, shell)
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
    mask::between(value, from, to, shell)
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
    if secret { mask::from_offset(value, at + 1, shell) } else { None }
}

/// `a=1,password=b,c=2`: a value extends to the next separator that is not escaped.
fn pairs(text: &str, separator: char, shell: bool, also: impl Fn(&str) -> bool) -> Option<String> {
    let mut edit = Edit::new(text);
    let mut from = 0;
    while from < text.len() {
        let to = separated(text, from, separator);
        let pair = part(text, from, to);
        if let Some((name, value)) = pair.split_once(['=', ':']) {
            let bare = name.trim_matches(|c: char| !crate::names::is_name(c));
            let begin = to - value.len();
            let masked = if hides(bare, value) || also(bare) {
                mask::secret(value, shell)
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
