//! Finds paths in a text, and user names in the paths.

/// Marks a path whose beginning is missing.
const ELLIPSIS: &str = "…";

/// Directories that contain home directories, each as its components.
pub struct Homes(Vec<Vec<String>>);

impl Homes {
    /// # Errors
    /// A path is not absolute, or is the root, below which every directory would count as a home directory.
    pub fn new(paths: &[String]) -> Result<Homes, String> {
        let homes = paths.iter().map(|path| {
            let components: Vec<String> = resolved(path).into_iter().map(str::to_owned).collect();
            let right = path.starts_with('/') && !components.is_empty();
            right
                .then_some(components)
                .ok_or_else(|| format!("the home {path:?} is not an absolute path of a directory"))
        });
        homes.collect::<Result<_, _>>().map(Homes)
    }

    /// Replaces names in a text that is one path. `named` returns the replacement.
    pub fn in_path(&self, text: &str, named: &impl Fn(&str) -> String) -> String {
        if text.starts_with(['/', '…']) {
            self.one(text, named)
        } else {
            self.in_text(text, named)
        }
    }

    /// Replaces names in any text. `named` returns the replacement.
    pub fn in_text(&self, text: &str, named: &impl Fn(&str) -> String) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some((start, end)) = next_path(text, at) {
            let before = text.get(..start).unwrap_or_default();
            let found = text.get(start..end).unwrap_or_default();
            out.push_str(text.get(at..start).unwrap_or_default());
            let (host, path) = host_and_path(before, found);
            out.push_str(host);
            at = end;
            let rest = text.get(end..).unwrap_or_default();
            let expanded_len = if path.ends_with('/') { shell_expanded_len(rest) } else { 0 };
            let components = resolved(path);
            if expanded_len > 0 && self.name_at(&components) == Some(components.len()) {
                out.push('~');
                out.push_str(&named(rest.get(..expanded_len).unwrap_or_default()));
                at += expanded_len;
            } else {
                out.push_str(&self.one(path, named));
            }
        }
        out + text.get(at..).unwrap_or_default()
    }

    fn one(&self, found: &str, named: &impl Fn(&str) -> String) -> String {
        if let Some(rest) = found.strip_prefix('~') {
            let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            // `~u-…` is a pseudonym of this plugin. The shell expands `~`, `~+` and `~-` without a user name.
            let unnamed = name.is_empty() || name == "+" || name == "-" || is_pseudonym(name);
            return if unnamed { found.to_owned() } else { format!("~{}{rest}", named(name)) };
        }
        if let Some(rest) = found.strip_prefix(ELLIPSIS) {
            return self.without_beginning(found, rest, named);
        }
        let ups = ups(found);
        let components = resolved(found);
        let trailing = if found.len() > 1 && found.ends_with('/') { "/" } else { "" };
        match self.name_at(&components).filter(|&at| at < components.len()) {
            Some(at) => {
                let name = components.get(at).copied().unwrap_or_default();
                let after = components.get(at + 1..).unwrap_or_default();
                let before = components.get(..root_in_proc(&components)).unwrap_or_default();
                let before: String = before.iter().map(|name| format!("/{name}")).collect();
                let slash = if before.is_empty() { "" } else { "/" };
                let after: String = after.iter().map(|name| format!("/{name}")).collect();
                format!("{before}{slash}~{}{after}{trailing}", named(name))
            }
            // A component that `..` removes may still be a name, so the resolved path replaces the text.
            _ if found.split('/').any(|name| name == "..") => {
                let root = if found.starts_with('/') { "/" } else { "" };
                format!("{root}{}{}{trailing}", "../".repeat(ups), components.join("/"))
            }
            _ => found.to_owned(),
        }
    }

    /// A path whose beginning is missing may begin anywhere, even inside a home directory's path.
    fn without_beginning(
        &self,
        found: &str,
        rest: &str,
        named: &impl Fn(&str) -> String,
    ) -> String {
        let components = resolved(rest);
        let name = (0..components.len()).find_map(|at| {
            let after = components.get(at..)?;
            let name = self.0.iter().filter_map(|home| {
                let cuts = if at == 0 { 0..home.len() } else { 0..1 };
                let mut tails = cuts.filter_map(|cut| home.get(cut..));
                tails.find(|tail| begins(after, tail)).map(|tail| at + tail.len())
            });
            name.max().filter(|&name| name < components.len())
        });
        if let Some(at) = name {
            let after = components.get(at + 1..).unwrap_or_default();
            let after: String = after.iter().map(|name| format!("/{name}")).collect();
            let name = components.get(at).copied().unwrap_or_default();
            return format!("{ELLIPSIS}/~{}{after}", named(name));
        }
        match components.split_first() {
            // The first component may be a name.
            Some((first, after)) if !after.is_empty() && !is_pseudonym(first) => {
                format!("{ELLIPSIS}/{}", after.join("/"))
            }
            _ => found.to_owned(),
        }
    }

    /// The index of the user name in the components of an absolute path. May be one past the end.
    fn name_at(&self, components: &[&str]) -> Option<usize> {
        let root = root_in_proc(components);
        let below = components.get(root..)?;
        let homes = self.0.iter().filter(|home| begins(below, home));
        // The deepest match: its entries are the user names.
        homes.map(|home| root + home.len()).max()
    }
}

fn begins(components: &[&str], with: &[String]) -> bool {
    components.len() >= with.len() && components.iter().zip(with).all(|(a, b)| a == b)
}

/// Whether the name is a pseudonym such as `~u-fdbf8b1cacd3`, with or without the tilde.
fn is_pseudonym(name: &str) -> bool {
    let name = name.strip_prefix('~').unwrap_or(name);
    let hash = name.strip_prefix("u-");
    hash.is_some_and(|hash| hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The index of the first component after `/proc/PID/root`, which is itself a root; several may follow each other.
fn root_in_proc(components: &[&str]) -> usize {
    let mut at = 0;
    loop {
        let is = |offset: usize, name: &str| components.get(at + offset) == Some(&name);
        at += match () {
            () if is(0, "proc") && is(2, "root") => 3,
            () if is(0, "proc") && is(2, "task") && is(4, "root") => 5,
            () => return at,
        };
    }
}

/// The components of a path, with `.`, `..` and empty components resolved.
fn resolved(path: &str) -> Vec<&str> {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components
}

/// Size in bytes of a name that the shell would expand: `{alice,bob}`, `"alice"`, `[ab]lice`, `*ice`. 0 if there is none.
fn shell_expanded_len(rest: &str) -> usize {
    let mut chars = rest.chars();
    let named = match (chars.next(), chars.next()) {
        (Some('{' | '['), _) => true,
        (Some('"' | '\'' | '*' | '?' | '\\' | '!' | '#' | '@'), Some(c)) => {
            c.is_alphanumeric() || c == '_'
        }
        _ => false,
    };
    let end = rest.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(rest.len());
    if named { end } else { 0 }
}

/// The number of levels that a relative path leads up.
fn ups(path: &str) -> usize {
    if path.starts_with('/') {
        return 0;
    }
    let (mut ups, mut depth) = (0, 0_usize);
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." if depth == 0 => ups += 1,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    ups
}

/// Splits `sftp://host/home/alice` into host and path. The path of a web page is not a home directory.
fn host_and_path<'a>(before: &str, found: &'a str) -> (&'a str, &'a str) {
    let Some(after) = found.strip_prefix("//").filter(|_| before.ends_with(':')) else {
        return ("", found);
    };
    if before.ends_with("http:") || before.ends_with("https:") {
        return (found, "");
    }
    found.split_at(2 + after.find('/').unwrap_or(after.len()))
}

/// Whether the character ends a word in shell code, lists, URLs or JSON.
fn separates(c: char) -> bool {
    c.is_whitespace() || "\"'`;&|<>(){}[],:=@?#!*\\".contains(c)
}

/// Start and end of the next path at or after `at`: a word that contains a slash, or begins with `~`.
fn next_path(text: &str, at: usize) -> Option<(usize, usize)> {
    let (mut start, mut from) = (at, at);
    loop {
        let rest = text.get(from..)?;
        let (offset, found) =
            rest.char_indices().find(|&(_, c)| separates(c) || c == '/' || c == '~')?;
        let here = from + offset;
        match found {
            '/' => {
                // `-I/home/…`, `$X/home/…`: the path begins at the slash.
                let before = text.get(start..here).unwrap_or_default();
                let option = before.starts_with(['-', '+', '$', '%', '^']);
                let start = if option { here } else { start };
                return Some((start, end_of(text, start, here)));
            }
            '~' if here == start => return Some((here, end_of(text, here, here))),
            '~' => from = here + 1,
            separator => {
                from = here + separator.len_utf8();
                start = from;
            }
        }
    }
}

/// The end of the path that begins at `start` and continues at `slash`.
fn end_of(text: &str, start: usize, slash: usize) -> usize {
    let before = text.get(..start).unwrap_or_default();
    if let Some(quote) = before.chars().next_back().filter(|c| matches!(c, '"' | '\'')) {
        let rest = text.get(slash..).unwrap_or_default();
        if let Some(len) = rest.find(quote).filter(|&len| len > 0) {
            return slash + len;
        }
    }
    let absolute = text.get(start..).is_some_and(|found| found.starts_with('/'));
    let mut from = slash;
    loop {
        let rest = text.get(from..).unwrap_or_default();
        let Some(offset) = rest.find(separates) else { return text.len() };
        let here = from + offset;
        let after = text.get(here..).unwrap_or_default();
        let Some(word) = after.strip_prefix(' ').filter(|_| absolute) else {
            return here;
        };
        // `/home/Jane Doe/x`, or an argument `/home/Jane Doe`: the space belongs to the name.
        let len = word.find(|c| separates(c) || c == '/').unwrap_or(word.len());
        let slash_follows = word.get(len..).is_some_and(|rest| rest.starts_with('/'));
        let name = len > 0 && !word.starts_with(['-', '~', '.', '$']);
        if name && slash_follows {
            from = here + 1;
        } else if name && start == 0 && word.chars().all(|c| c == ' ' || is_in_name(c)) {
            return text.len();
        } else {
            return here;
        }
    }
}

fn is_in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}
