//! The rules for each field. Uses no bindings, so native tests can run it.

use crate::mask::{self, MASK};
use crate::{generic, json, paths, secrets};

pub use crate::homes::Homes;

/// Reads `{"homes": ["/srv/people"], "users": ["/data/alice"], "roots": ["/var/roothome"]}`: parents of homes,
/// home directories, and home directories of root.
///
/// # Errors
/// The text is not such an object, a key is unknown, or a path is not absolute.
pub fn configure(config: &str) -> Result<Homes, String> {
    let (mut homes, mut users, mut roots) = (Vec::new(), Vec::new(), Vec::new());
    for (key, mut paths) in json::lists_of_strings(config)? {
        match key.as_str() {
            "homes" => homes.append(&mut paths),
            "users" => users.append(&mut paths),
            "roots" => roots.append(&mut paths),
            _ => {
                let known = "there are \"homes\", \"users\" and \"roots\"";
                return Err(format!("unknown key `{key}`: {known}"));
            }
        }
    }
    Homes::new(&homes, &users, &roots)
}

/// The redacted text. None: the text is unchanged.
pub fn redact(homes: &Homes, field: &str, value: &str, arguments: &[String]) -> Option<String> {
    match field {
        "file" | "library" | "exe" => paths::path(homes, value),
        // An earlier redactor changed the text, so only its words are known.
        "cmdline" if arguments.is_empty() => {
            let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
            command_line(homes, &words)
        }
        "cmdline" => command_line(homes, arguments),
        // Names that programs and machines give themselves. They contain no home, and users need them unchanged.
        "process" | "cgroup" | "hostname" => None,
        _ => {
            let masked = if mask::has_private_key(value) {
                Some(MASK.to_owned())
            } else {
                generic::text(value, false)
            };
            let hidden = paths::in_text(homes, masked.as_deref().unwrap_or(value));
            hidden.or(masked)
        }
    }
}

/// Maximum bytes of arguments that the kernel reports, with a separator byte after each.
const MOST_ARGUMENTS: usize = 4096;

fn command_line(homes: &Homes, arguments: &[String]) -> Option<String> {
    let mut changed = false;
    let size = arguments.iter().map(|argument| argument.len() + 1).sum::<usize>();
    let mut out = String::with_capacity(size + 8);
    // A truncated command line has this many bytes, or more if some were not UTF-8.
    let cut = size >= MOST_ARGUMENTS;
    let mut first = true;
    secrets::command_line(arguments, cut, |argument, masked| {
        if !std::mem::take(&mut first) {
            out.push(' ');
        }
        let text = masked.as_deref().unwrap_or(argument);
        let hidden = paths::in_text(homes, text);
        changed |= masked.is_some() || hidden.is_some();
        out.push_str(hidden.as_deref().unwrap_or(text));
    });
    changed.then_some(out)
}

#[cfg(test)]
mod tests;
