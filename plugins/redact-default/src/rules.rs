//! What is hidden in which field. No bindings, so testable anywhere.

use crate::{generic, json, paths, secrets, values};

pub use crate::paths::Homes;

/// Reads `{"homes": ["/srv/people"], "users": ["/data/alice"], "roots": ["/var/roothome"]}`: directories of home
/// directories, home directories, and home directories of root.
///
/// # Errors
/// No such object, another key, or a path that is not absolute.
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

/// The text to show instead; None: show it as it is.
pub fn redact(homes: &Homes, field: &str, value: &str, arguments: &[String]) -> Option<String> {
    match field {
        "file" | "library" | "exe" => paths::path(homes, value),
        // An earlier redactor changed the text: its words have to do.
        "cmdline" if arguments.is_empty() => {
            let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
            command_line(homes, &words)
        }
        "cmdline" => command_line(homes, arguments),
        // Names that programs and machines give themselves. None is a path in a home, and all are needed as they are.
        "process" | "cgroup" | "hostname" => None,
        _ => {
            let masked = if value.contains("PRIVATE KEY-----") {
                Some(values::MASK.to_owned())
            } else {
                generic::text(value, false)
            };
            let hidden = paths::in_text(homes, masked.as_deref().unwrap_or(value));
            hidden.or(masked)
        }
    }
}

/// Bytes of arguments that the kernel hands over at most, with a byte behind each.
const MOST_ARGUMENTS: usize = 4096;

fn command_line(homes: &Homes, arguments: &[String]) -> Option<String> {
    let mut changed = false;
    let size = arguments.iter().map(|argument| argument.len() + 1).sum::<usize>();
    let mut out = String::with_capacity(size + 8);
    // What is cut has as many bytes, or more where some were not UTF-8.
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
