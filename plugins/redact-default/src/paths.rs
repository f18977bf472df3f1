//! Hides the user names in paths of home directories.

use std::borrow::Cow;

/// Replaces a part of a path that may be private.
const ELLIPSIS: &str = "…";
const USER: &str = "USER";
/// Directories below the root in which a `home` belongs to a program and never contains home directories.
const SYSTEM: &[&str] =
    &["bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "sys", "usr"];

/// Directories below the root whose entries have users' names: removable media, and mailboxes.
const NAMED: &[&[&str]] =
    &[&["media"], &["run", "media"], &["var", "mail"], &["var", "spool", "mail"]];

/// Locations of home directories, in addition to `/home` and `/root`.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    /// Directories whose entries are home directories, split into components.
    parents: Vec<Vec<String>>,
    /// Home directories, split into components.
    users: Vec<Vec<String>>,
    /// Home directories of root, split into components.
    roots: Vec<Vec<String>>,
}

/// Position of the name in the path of a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// The last component is a name.
    InName,
    /// The last components, this many, are the home of root.
    InRoot(usize),
}

impl Homes {
    /// `parents`: directories of home directories, like `/home`. `users`: home directories. `roots`: those of root.
    ///
    /// # Errors
    /// A path is not absolute, or is the root, which would make every path a home.
    pub fn new(parents: &[String], users: &[String], roots: &[String]) -> Result<Homes, String> {
        let mut homes = Homes {
            parents: vec![vec!["home".to_owned()]],
            users: Vec::new(),
            roots: vec![vec!["root".to_owned()]],
        };
        let named = NAMED.iter().map(|path| path.iter().map(|&name| name.to_owned()).collect());
        homes.parents.extend(named);
        for (paths, into) in
            [(parents, &mut homes.parents), (users, &mut homes.users), (roots, &mut homes.roots)]
        {
            for path in paths {
                into.push(configured(path)?);
            }
        }
        Ok(homes)
    }

    /// All paths that lead to a home.
    fn all(&self) -> impl Iterator<Item = &Vec<String>> {
        self.parents.iter().chain(&self.users).chain(&self.roots)
    }

    /// Hides the names in the components of an absolute path. Returns whether one was hidden.
    fn hide(&self, components: &mut Vec<Cow<'_, str>>) -> bool {
        let mut hidden = self.hide_at(components, root_in_proc(components));
        // A backup, a container's root in the host's file system, or a home on another disk.
        if !hidden && components.first().is_some_and(|first| SYSTEM.contains(&&**first)) {
            return false;
        }
        let mut at = 1;
        while at + 2 < components.len() {
            let found = components.get(at).is_some_and(|name| name == "home");
            hidden |= found && replace(components, at + 1);
            at += if found { 2 } else { 1 };
        }
        hidden
    }

    /// Like [`Homes::hide`], for the path from the component `at` on.
    fn hide_at(&self, components: &mut Vec<Cow<'_, str>>, at: usize) -> bool {
        let below = |prefix: &&Vec<String>| begins(components.get(at..), prefix);
        let parent = self.parents.iter().filter(below).map(|parent| at + parent.len()).max();
        let users = self.users.iter().filter(below).map(|user| at + user.len() - 1);
        // The entries of the deepest parent are names. In nested homes, each level has one.
        let mut names: Vec<usize> =
            parent.into_iter().chain(users).filter(|&name| name < components.len()).collect();
        let root = self.roots.iter().filter(below).map(Vec::len).max();
        names.retain(|&name| root.is_none_or(|len| name >= at + len));
        for &name in &names {
            replace(components, name);
        }
        let Some(len) = root else { return !names.is_empty() };
        components.splice(at..at + len, ["home".into(), "ROOT".into()]);
        true
    }

    /// Meaning of the last component of an absolute path.
    fn ends(&self, components: &[&str]) -> Option<Ends> {
        let same = |home: &Vec<String>, path: &[&str]| path.iter().eq(home.iter());
        let path = components.get(root_in_proc(components)..).unwrap_or_default();
        if let Some(root) = self.roots.iter().find(|root| same(root, path)) {
            return Some(Ends::InRoot(root.len()));
        }
        let (_, above) = path.split_last()?;
        let below_parent = self.parents.iter().any(|parent| same(parent, above));
        let named = below_parent || self.users.iter().any(|user| same(user, path));
        named.then_some(Ends::InName)
    }

    /// Hides the names in a path and changes nothing else: `//`, `.` and `..` remain, with the same meaning for the
    /// program that gets the path.
    fn hide_in_place<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let mut shown: Vec<Option<&str>> = path.split('/').map(Some).collect();
        // The resolved components so far, and their positions in the path.
        let (mut names, mut places): (Vec<&str>, Vec<usize>) = (Vec::new(), Vec::new());
        for (place, component) in path.split('/').enumerate() {
            match component {
                "" | "." => continue,
                ".." => {
                    names.pop();
                    places.pop();
                    continue;
                }
                name => (names.push(name), places.push(place)),
            };
            let mut put = |back: usize, text: Option<&'static str>| {
                let place = places.len().checked_sub(back).and_then(|at| places.get(at));
                let Some(shown) = place.and_then(|&place| shown.get_mut(place)) else { return };
                if !matches!(*shown, Some("ROOT")) {
                    *shown = text;
                }
            };
            match self.ends(&names) {
                Some(Ends::InName) => put(1, Some(USER)),
                Some(Ends::InRoot(len)) => {
                    (2..=len).for_each(|back| put(back, None));
                    put(1, Some("home/ROOT"));
                }
                None => {}
            }
            let system = names.first().is_some_and(|first| SYSTEM.contains(first));
            let above = names.len().checked_sub(3).filter(|&at| at > 0 && !system);
            if above.and_then(|at| names.get(at)) == Some(&"home") {
                put(2, Some(USER));
            }
        }
        if shown.iter().copied().eq(path.split('/').map(Some)) {
            return path.into();
        }
        shown.into_iter().flatten().collect::<Vec<_>>().join("/").into()
    }

    /// Whether the entries of this directory are home directories.
    fn is_parent(&self, path: &str) -> bool {
        let components = resolved(path);
        self.parents.iter().any(|parent| components.iter().eq(parent.iter()))
    }

    /// Whether this is exactly the path of a home directory.
    fn is_home(&self, path: &str) -> bool {
        let components = resolved(path);
        let above = components.split_last().map(|(_, above)| above);
        above.is_some_and(|above| self.parents.iter().any(|parent| above.iter().eq(parent.iter())))
    }

    /// Hides the names in the components of a path whose start is missing: it may start anywhere, even within the path
    /// of a home directory.
    fn hide_without_beginning(&self, components: &mut [Cow<'_, str>]) {
        let parents = self.parents.iter().flat_map(|parent| tails(parent, 1, parent.len()));
        let users = self.users.iter().chain(&self.roots).filter(|user| user.len() > 1);
        let users = users.flat_map(|user| tails(user, 0, user.len()));
        let mut whole = false;
        let names: Vec<usize> = parents
            .chain(users)
            .filter(|&(_, rest, name)| {
                // The output of an earlier run has USER in place of the name.
                let same = |at: usize| match (components.get(at), rest.get(at)) {
                    (Some(there), Some(wanted)) => there == wanted || at == name && there == USER,
                    _ => false,
                };
                (0..rest.len()).all(same)
            })
            .map(|(cut, _, name)| {
                whole |= cut == 0;
                name
            })
            .collect();
        for name in names {
            replace(components, name);
        }
        for at in 1..components.len().saturating_sub(2) {
            if components.get(at).is_some_and(|name| name == "home") {
                replace(components, at + 1);
            }
        }
        if components.len() > 1
            && !whole
            && let Some(first) = components.first_mut()
            && first != USER
        {
            *first = ELLIPSIS.into();
        }
    }
}

/// Whether the components start with those of `prefix`.
fn begins(components: Option<&[Cow<'_, str>]>, prefix: &[String]) -> bool {
    let there = components.and_then(|components| components.get(..prefix.len()));
    there.is_some_and(|there| there.iter().eq(prefix.iter()))
}

/// Position after `/proc/PID/root`, which is a root itself.
fn root_in_proc(components: &[impl AsRef<str>]) -> usize {
    let is = |at: usize, name: &str| components.get(at).is_some_and(|it| it.as_ref() == name);
    match () {
        () if !is(0, "proc") => 0,
        () if is(2, "root") => 3,
        () if is(2, "task") && is(4, "root") => 5,
        () => 0,
    }
}

/// A path without its first components: their number, the rest, and the position of the name in the rest.
fn tails(
    path: &[String],
    beyond: usize,
    len: usize,
) -> impl Iterator<Item = (usize, &[String], usize)> {
    (0..len).filter_map(move |cut| {
        let rest = path.get(cut..)?;
        Some((cut, rest, (rest.len() + beyond).saturating_sub(1)))
    })
}

fn replace(components: &mut [Cow<'_, str>], at: usize) -> bool {
    match components.get_mut(at) {
        // The output of an earlier run: `/root` is already hidden.
        Some(name) if name == "ROOT" => true,
        Some(name) => {
            *name = USER.into();
            true
        }
        None => false,
    }
}

fn configured(path: &str) -> Result<Vec<String>, String> {
    let components: Vec<String> = resolved(path).iter().map(|name| name.to_string()).collect();
    if !path.starts_with('/') || components.is_empty() {
        return Err(format!(
            "`{path}` is no directory of homes: an absolute path is right, not `/`"
        ));
    }
    Ok(components)
}

/// The components of an absolute path, with `.`, `..` and empty ones resolved.
fn resolved(path: &str) -> Vec<Cow<'_, str>> {
    let mut components: Vec<Cow<'_, str>> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name.into()),
        }
    }
    components
}

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

/// `rest` is what follows `…/`.
fn without_beginning(homes: &Homes, rest: &str) -> String {
    let mut components = resolved(rest);
    homes.hide_without_beginning(&mut components);
    let trailing = if components.is_empty() { "" } else { trailing(rest) };
    format!("…/{}{trailing}", components.join("/"))
}

fn trailing(text: &str) -> &'static str {
    if text.len() > 1 && text.ends_with('/') { "/" } else { "" }
}

/// Hides names in every path of a text, such as an argument or a label. None: nothing was changed.
///
/// A path that is the whole text, or the whole value of an option, is resolved.
pub(crate) fn in_text(homes: &Homes, text: &str) -> Option<String> {
    let text = unescaped(homes, text);
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    while let Some((start, end)) = next_path(&text, at) {
        out.push_str(text.get(at..start).unwrap_or_default());
        let rest = text.get(end..).unwrap_or_default();
        let found = text.get(start..end).unwrap_or_default();
        // `/home/Jane Doe` as a whole argument: a name that contains a space.
        if start == 0 && found.starts_with('/') && is_rest_of_name(rest) && homes.is_home(found) {
            out.push_str(&one(homes, &out, found, true));
            return Some(out);
        }
        let whole = end == text.len() && is_value(text.get(..start).unwrap_or_default());
        out.push_str(&one(homes, &out, found, whole));
        at = end;
        if found.starts_with('/') && found.ends_with('/') && homes.is_parent(found) {
            let name = spelled_name(rest);
            if name > 0 {
                out.push_str(USER);
                at += name;
            }
        }
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (matches!(text, Cow::Owned(_)) || out != *text).then_some(out)
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
    let behind = rest.get(inside..).unwrap_or_default();
    inside + behind.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(behind.len())
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
        let (offset, found) =
            rest.char_indices().find(|&(_, c)| separates(c) || c == '/' || c == '~')?;
        let here = from + offset;
        match found {
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
        let Some(offset) = rest.find(separates) else { return text.len() };
        let here = from + offset;
        let behind = text.get(here..).unwrap_or_default();
        // `/home/Jane Doe/x`: the space belongs to a name, because the next word contains a slash.
        let blank = behind.strip_prefix(' ').filter(|word| {
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
        return if web { found.into() } else { behind_host(homes, found) };
    }
    if found.starts_with("//") {
        return homes.hide_in_place(found);
    }
    if let Some((scheme, behind)) = url_before(before) {
        let in_host = !behind.contains(['/', '?', '#']) && !found.starts_with('/');
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
fn behind_host<'a>(homes: &Homes, found: &'a str) -> Cow<'a, str> {
    let hidden = homes.hide_in_place(found);
    let behind = found.strip_prefix("//").unwrap_or(found);
    if hidden != found || behind.starts_with('/') {
        return hidden;
    }
    let (host, path) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
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

fn absolute<'a>(homes: &Homes, found: &'a str, whole: bool) -> Cow<'a, str> {
    let mut components = resolved(found);
    // A name before a `..` is still part of the text.
    if !homes.hide(&mut components) && !whole && !found.split('/').any(|name| name == "..") {
        return found.into();
    }
    format!("/{}{}", components.join("/"), trailing(found)).into()
}

/// Converts a relative path that leads through the root to an absolute one.
fn relative<'a>(homes: &Homes, found: &'a str) -> Cow<'a, str> {
    let mut ups = 0;
    let mut led_out = false;
    let mut components: Vec<Cow<'_, str>> = Vec::new();
    for component in found.split('/') {
        match component {
            "" | "." => {}
            ".." if components.pop().is_none() => ups += 1,
            ".." => led_out = true,
            name => components.push(name.into()),
        }
    }
    // `root/x` and `media/x` may be any directories, unless the path leads through the root.
    let first = components.first().map(|first| &**first);
    let anybodys = matches!(first, Some("root" | "media" | "run" | "var"));
    let hidden = (!anybodys || ups > 0) && homes.hide_at(&mut components, 0);
    if !hidden && !led_out {
        return found.into();
    }
    format!("{}{}{}", "../".repeat(ups), components.join("/"), trailing(found)).into()
}
