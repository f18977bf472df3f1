//! Hides the names of users in the paths of a text.

use std::borrow::Cow;

use crate::edit::{Edit, part, tail, until};
use crate::homes::{Homes, USER, resolved};

/// Hides names in a text that is one path. None: nothing was hidden.
pub(crate) fn path(homes: &Homes, text: &str) -> Option<String> {
    let shown = if let Some(rest) = text.strip_prefix("…/") {
        without_beginning(homes, rest)
    } else if text.starts_with('/') {
        let mut components = resolved(text);
        homes.hide(&mut components);
        format!("/{}{}", components.join("/"), trailing(text))
    } else {
        return in_text(homes, text);
    };
    (shown != text).then_some(shown)
}

/// Hides names in a path whose start is missing. `rest`: the path after `…/`.
fn without_beginning(homes: &Homes, rest: &str) -> String {
    let mut components = resolved(rest);
    homes.hide_without_beginning(&mut components);
    let trailing = if components.is_empty() { "" } else { trailing(rest) };
    format!("…/{}{trailing}", components.join("/"))
}

/// The slash at the end of a path, if there is one.
fn trailing(text: &str) -> &'static str {
    if text.len() > 1 && text.ends_with('/') { "/" } else { "" }
}

/// Hides names in every path of a text, such as an argument or a label. None: nothing was changed.
///
/// A path that is the whole text, or the whole value of an option, is resolved.
pub(crate) fn in_text(homes: &Homes, text: &str) -> Option<String> {
    // Most arguments contain no path, not even an escaped one.
    if !text.bytes().any(|byte| matches!(byte, b'/' | b'~' | b'%')) {
        return None;
    }
    let text = unescaped(homes, text);
    let mut edit = Edit::new(&text);
    let mut at = 0;
    while let Some((start, end)) = next_path(&text, at) {
        let rest = tail(&text, end);
        let found = part(&text, start, end);
        // `/home/Jane Doe` as a whole argument: a name that contains a space.
        let is_home =
            start == 0 && found.starts_with('/') && is_rest_of_name(rest) && homes.is_home(found);
        let whole = is_home || end == text.len() && is_value(part(&text, 0, start));
        let shown = one(homes, edit.before(start), found, whole);
        if is_home {
            return Some(shown.into_owned());
        }
        if shown != found {
            edit.replace(start, end, &shown);
        }
        at = end;
        if found.starts_with('/') && found.ends_with('/') && homes.is_parent(found) {
            let name = spelled_name(rest);
            if name > 0 {
                at += name;
                edit.replace(end, at, USER);
            }
        }
    }
    let shown = edit.finish();
    shown.or(match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    })
}

/// Whether the text continues a name that contains spaces.
fn is_rest_of_name(rest: &str) -> bool {
    rest.starts_with(' ')
        && rest.chars().all(|c| c == ' ' || c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Bytes of a name that a shell expands: `{alice,bob}`, `"alice"`, `[ab]lice`, `*ice`. 0: there is no name.
fn spelled_name(rest: &str) -> usize {
    let mut chars = rest.chars();
    let (first, second) = (chars.next(), chars.next());
    let inside = match first {
        Some('{') => rest.find('}').unwrap_or(rest.len()),
        Some('[') => rest.find(']').unwrap_or(rest.len()),
        Some('"' | '\'' | '*' | '?' | '\\' | '!' | '#' | '@')
            if second.is_some_and(|c| c.is_alphanumeric() || c == '_') =>
        {
            0
        }
        _ => return 0,
    };
    let after = rest.get(inside..).unwrap_or_default();
    inside + after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len())
}

/// Whether a single value follows: nothing precedes it, or an option or variable with `=` does.
fn is_value(before: &str) -> bool {
    let name = before.strip_suffix('=').unwrap_or(before);
    before.is_empty() || before.ends_with('=') && !name.contains([' ', '\t', '\n', ',', '='])
}

/// Programs decode `%2F` and `\/` to slashes. The text changes only if that reveals a home.
fn unescaped<'a>(homes: &Homes, text: &'a str) -> Cow<'a, str> {
    if !text.contains("%2F") && !text.contains("%2f") && !text.contains("\\/") {
        return text.into();
    }
    let plain = text.replace("%2F", "/").replace("%2f", "/").replace("\\/", "/");
    let plain = plain.replace("%3A", ":").replace("%3a", ":");
    let path = |home: &Vec<String>| home.iter().fold(String::new(), |path, name| path + "/" + name);
    if homes.all().any(|home| plain.contains(&path(home))) { plain.into() } else { text.into() }
}

/// Ends a word in shell code, lists, URLs, JSON.
fn separates(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
        || matches!(c, '{' | '}' | '[' | ']' | ',' | ':' | '=' | '@' | '?' | '#' | '!' | '*' | '\\')
}

/// Start and end of the next path in `text` from `at` on: a word that contains a slash or starts with `~`.
fn next_path(text: &str, at: usize) -> Option<(usize, usize)> {
    let mut start = at;
    let mut from = at;
    loop {
        let rest = text.get(from..)?;
        let here = from + until(rest, |c| separates(c) || c == '/' || c == '~');
        match text.get(here..)?.chars().next()? {
            '/' => {
                // `-I/home/…`, `$X/home/…`: the path starts at the slash.
                let before = text.get(start..here).unwrap_or_default();
                let absolute = before.starts_with(['-', '+', '$', '%', '^']);
                let start = if absolute { here } else { start };
                return Some((start, path_end(text, start, here)));
            }
            '~' if here == start => return Some((here, path_end(text, here, here))),
            '~' => from = here + 1,
            separator => {
                from = here + separator.len_utf8();
                start = from;
            }
        }
    }
}

/// End of the path that starts at `start` and has its first slash at `slash`.
fn path_end(text: &str, start: usize, slash: usize) -> usize {
    let before = text.get(..start).unwrap_or_default();
    let rest = text.get(slash..).unwrap_or_default();
    if is_value(before) && rest.starts_with('/') && !rest.contains(char::is_whitespace) {
        // Names may contain any character: `:` ends a path only in a list like $PATH, `,` only in JSON and similar.
        let list = rest.find([':', ',', '"', '\'', ';', '|', '&']);
        return list.map_or(text.len(), |offset| slash + offset);
    }
    let mut from = slash;
    while let Some(rest) = text.get(from..) {
        let here = from + until(rest, separates);
        let after = text.get(here..).unwrap_or_default();
        // `/home/Jane Doe/x`: the space belongs to a name, because the next word contains a slash.
        let blank = after.strip_prefix(' ').filter(|word| {
            let end = word.find(|c| separates(c) || c == '/').unwrap_or(word.len());
            end > 0
                && word.get(end..).is_some_and(|rest| rest.starts_with('/'))
                && !word.starts_with(['-', '~', '.', '$'])
        });
        if blank.is_none() {
            return here;
        }
        from = here + 1;
    }
    text.len()
}

/// One path of a text. `before`: the text before it. `whole`: the path is resolved even if nothing was hidden.
fn one<'a>(homes: &Homes, before: &str, found: &'a str, whole: bool) -> Cow<'a, str> {
    if let Some(rest) = found.strip_prefix('~') {
        let end = rest.find('/').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let shown = match name {
            "" | "USER" | "ROOT" | "+" | "-" => return found.into(),
            "root" => "ROOT",
            _ => USER,
        };
        return format!("~{shown}{rest}").into();
    }
    if let Some(rest) = found.strip_prefix("…/") {
        return without_beginning(homes, rest).into();
    }
    if before.ends_with(':') && found.starts_with("//") {
        let web = before.ends_with("http:") || before.ends_with("https:");
        return if web { found.into() } else { after_scheme(homes, found) };
    }
    if found.starts_with("//") {
        return homes.hide_in_place(found);
    }
    if let Some((scheme, after)) = url_before(before) {
        let in_host = !after.contains(['/', '?', '#']) && !found.starts_with('/');
        let web = scheme.ends_with("http") || scheme.ends_with("https");
        return match found.split_once('/') {
            Some(_) if in_host && web => found.into(),
            // `host/PATH` after a user, `22/PATH` after a host.
            Some((host, path)) if in_host => {
                let path_from_root = found.get(host.len()..).unwrap_or(path);
                format!("{host}{}", homes.hide_in_place(path_from_root)).into()
            }
            _ => homes.hide_in_place(found),
        };
    }
    if found.starts_with('/') {
        return absolute(homes, found, whole);
    }
    relative(homes, found)
}

/// `//HOST/PATH` of a URL, or `///PATH`. A host may have the name of a directory of homes.
fn after_scheme<'a>(homes: &Homes, found: &'a str) -> Cow<'a, str> {
    let hidden = homes.hide_in_place(found);
    let after = found.strip_prefix("//").unwrap_or(found);
    if hidden != found || after.starts_with('/') {
        return hidden;
    }
    let (host, path) = after.split_at(after.find('/').unwrap_or(after.len()));
    match homes.hide_in_place(path) {
        Cow::Borrowed(_) => found.into(),
        Cow::Owned(path) => format!("//{host}{path}").into(),
    }
}

/// Scheme and the text after `://` of a URL that extends beyond the end of `before`.
fn url_before(before: &str) -> Option<(&str, &str)> {
    // Each path of a text searches backwards, so the distance is bounded. Beyond it, a path counts as having no scheme.
    const LOOK_BACK: usize = 512;
    let from = before.len().saturating_sub(LOOK_BACK);
    let before = (from..=from + 3).find_map(|from| before.get(from..))?;
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '|' | ';');
    before.rsplit(ends).next()?.split_once("://")
}

/// An absolute path. Resolved if a name is hidden, if the path contains `..`, or if it is `whole`.
fn absolute<'a>(homes: &Homes, found: &'a str, whole: bool) -> Cow<'a, str> {
    let mut components = resolved(found);
    // A name before a `..` is still part of the text.
    let is_resolved = |name: &str| name != ".." && (!whole || !matches!(name, "" | "."));
    let mut names = found.strip_suffix('/').unwrap_or(found).split('/').skip(1);
    if !homes.hide(&mut components) && names.all(is_resolved) {
        return found.into();
    }
    format!("/{}{}", components.join("/"), trailing(found)).into()
}

/// Converts a relative path that leads through the root to an absolute one.
fn relative<'a>(homes: &Homes, found: &'a str) -> Cow<'a, str> {
    let mut ups = 0;
    let mut led_up = false;
    let mut components: Vec<Cow<'_, str>> = Vec::new();
    for component in found.split('/') {
        match component {
            "" | "." => {}
            ".." if components.pop().is_none() => ups += 1,
            ".." => led_up = true,
            name => components.push(name.into()),
        }
    }
    // `root/x` and `media/x` may be any directory, unless the path leads through the root.
    let first = components.first().map(|first| &**first);
    let ambiguous = matches!(first, Some("root" | "media" | "run" | "var"));
    let hidden = (!ambiguous || ups > 0) && homes.hide_at(&mut components, 0);
    if !hidden && !led_up {
        return found.into();
    }
    format!("{}{}{}", "../".repeat(ups), components.join("/"), trailing(found)).into()
}
