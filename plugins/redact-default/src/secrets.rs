//! Masks secrets in command lines. It looks at names, not at values: a secret looks like anything.

use std::borrow::Cow;

use crate::names::{Gives, ProgramOptions, TOKENS, asks, is_name, is_option, is_secret, program};

/// Stands for a secret.
const MASK: &str = "***";

/// How often code may hold quoted code that is looked into.
const MOST_DEPTH: u8 = 4;

/// What the words before say of the next one.
#[derive(Default)]
struct Context {
    /// The last word was an option whose value comes now.
    expects: Option<Gives>,
    /// Options of the programs that were named: a later word may only look like one (`-o net`).
    programs: Vec<ProgramOptions>,
}

/// The arguments with their secrets masked; None where nothing was.
pub(crate) fn mask_arguments(arguments: &[String]) -> Vec<Option<String>> {
    let mut context = Context::default();
    arguments.iter().map(|argument| mask_argument(&mut context, argument)).collect()
}

/// A text that is no command line, or only part of one, with its secrets masked.
pub(crate) fn mask_text(text: &str) -> Option<String> {
    mask_argument(&mut Context::default(), text)
}

fn mask_argument(context: &mut Context, argument: &str) -> Option<String> {
    match mask_headers(argument) {
        Some(masked) => mask_parts(context, &masked).or(Some(masked)),
        None => mask_parts(context, argument),
    }
}

/// `Authorization: …` and `Cookie: …` wherever they are: all that follows is the secret, up to a quote or a line's end.
fn mask_headers(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut at = 0;
    while let Some(rest) = lower.get(at..) {
        let found = ["authorization:", "cookie:"]
            .into_iter()
            .filter_map(|name| rest.find(name).map(|found| at + found + name.len()))
            .min();
        let Some(from) = found else { break };
        let value = text.get(from..).unwrap_or_default();
        let end = value.find(['"', '\'', '\n', '\r']).unwrap_or(value.len());
        out.push_str(text.get(at..from).unwrap_or_default());
        if !value.get(..end).unwrap_or_default().trim().is_empty() {
            out.push(' ');
            out.push_str(MASK);
        }
        at = from + end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (at > 0 && out != text).then_some(out)
}

fn mask_parts(context: &mut Context, argument: &str) -> Option<String> {
    if argument.contains("PRIVATE KEY-----") {
        context.expects = None;
        return Some(MASK.to_owned());
    }
    let is_code = argument.trim().contains(char::is_whitespace);
    if let Some(shown) = expected(context, argument).or_else(|| whole_value(argument)) {
        return (shown != argument).then_some(shown);
    }
    if !is_code {
        return mask_word(context, argument);
    }
    let mut inner = Context { expects: None, programs: context.programs.clone() };
    mask_code(&mut inner, argument, 0)
}

/// Shell code, a connection string, JSON: its words are arguments of their own.
fn mask_code(context: &mut Context, code: &str, depth: u8) -> Option<String> {
    let mut out = String::with_capacity(code.len());
    for word in words(code) {
        match mask_quoted(context, word, depth) {
            Some(masked) => out.push_str(&masked),
            None => out.push_str(word),
        }
    }
    (out != code).then_some(out)
}

/// The value of the option before; None when none was expected or this is another option.
fn expected(context: &mut Context, argument: &str) -> Option<String> {
    let gives = context.expects.take()?;
    if is_option(argument) {
        return None;
    }
    Some(match gives {
        Gives::UserAnd(separator) => {
            mask_behind(argument, separator).unwrap_or_else(|| argument.to_owned())
        }
        Gives::Value | Gives::Glued => mask_value(argument),
    })
}

/// `NAME=value` and `Name: value` where the value is all that follows, blanks and all.
fn whole_value(argument: &str) -> Option<String> {
    let end = argument.find(|c: char| !is_name(c))?;
    let (name, rest) = argument.split_at(end);
    let value = rest.strip_prefix('=').or_else(|| rest.strip_prefix(": "))?;
    let dashed = name.starts_with('-');
    if value.is_empty() || !is_secret(name) || dashed && asks(name) {
        return None;
    }
    let kept = argument.len() - value.len();
    Some(format!("{}{}", argument.get(..kept)?, mask_value(value)))
}

/// Words and the blanks between them; what is in quotes is one word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quote, mut blank) = (0, None, None);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\\' => escaped = true,
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {
                let separates = c.is_whitespace() || matches!(c, ';' | '|' | '(' | ')');
                if blank.is_some_and(|was| was != separates) {
                    words.push(text.get(start..at).unwrap_or_default());
                    start = at;
                }
                blank = Some(separates);
                continue;
            }
        }
        if blank == Some(true) {
            words.push(text.get(start..at).unwrap_or_default());
            start = at;
        }
        blank = Some(false);
    }
    words.push(text.get(start..).unwrap_or_default());
    words
}

/// A word of shell code: blanks are passed over, quotes are not part of it.
fn mask_quoted(context: &mut Context, word: &str, depth: u8) -> Option<String> {
    if word.trim().is_empty() || word.chars().all(|c| matches!(c, ';' | '|' | '(' | ')' | ' ')) {
        return None;
    }
    let bare = ['"', '\'']
        .into_iter()
        .find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(word);
    if bare.is_empty() {
        return None;
    }
    let from = word.find(bare)?;
    let masked = expected(context, bare).or_else(|| whole_value(bare)).or_else(|| {
        if bare.contains(char::is_whitespace) && depth < MOST_DEPTH {
            return mask_code(context, bare, depth + 1);
        }
        note_header(context, bare);
        mask_word(context, bare)
    })?;
    Some(format!("{}{masked}{}", word.get(..from)?, word.get(from + bare.len()..)?))
}

/// `"password": "x"` in JSON, `Cookie: x` within a text: the value is the next word.
fn note_header(context: &mut Context, word: &str) {
    let name = word.strip_suffix(':').unwrap_or_default().trim_matches(|c: char| !is_name(c));
    if is_secret(name) {
        context.expects = Some(Gives::Value);
    }
}

/// An argument without blanks that is not the value of an option before.
fn mask_word(context: &mut Context, word: &str) -> Option<String> {
    if let Some(program) = program(word) {
        if !context.programs.contains(&program) {
            context.programs.push(program);
        }
        return None;
    }
    if let Some(masked) = mask_program_option(context, word) {
        return masked;
    }
    if is_option(word) && !word.contains('=') {
        if is_secret(word) && !asks(word) {
            context.expects = Some(Gives::Value);
        }
        return None;
    }
    if let Some(secret) = word.strip_prefix("pass:") {
        return (!secret.is_empty()).then(|| format!("pass:{MASK}"));
    }
    let mut out = Cow::Borrowed(word);
    for mask in [mask_url, mask_assignments, mask_token] {
        if let Some(masked) = mask(&out) {
            out = masked.into();
        }
    }
    (out != word).then(|| out.into_owned())
}

/// The options that only certain programs have. Some(None): it is one, with nothing to hide in this word.
#[expect(clippy::option_option, reason = "whether it was one, and what then to show")]
fn mask_program_option(context: &mut Context, word: &str) -> Option<Option<String>> {
    let Context { programs, expects } = context;
    programs.iter().find_map(|options| mask_option_of(options, expects, word))
}

#[expect(clippy::option_option, reason = "as above")]
fn mask_option_of(
    options: ProgramOptions,
    expects: &mut Option<Gives>,
    word: &str,
) -> Option<Option<String>> {
    for &(option, gives) in options {
        if word == option || is_last_of_cluster(option, gives, word) {
            *expects = (gives != Gives::Glued).then_some(gives);
            return Some(None);
        }
        if let (Gives::UserAnd(separator), Some(value)) =
            (gives, word.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')))
        {
            return Some(mask_behind(value, separator).map(|masked| format!("{option}={masked}")));
        }
        let short = option.len() == 2 || option.ends_with(':');
        if let Some(glued) = word.strip_prefix(option).filter(|_| short && !word.starts_with("--"))
        {
            // OpenSSL's options are words with one dash: `-key` is no `-k`.
            if options.iter().any(|&(other, _)| other == "-hmac") {
                continue;
            }
            return Some(match gives {
                Gives::UserAnd(separator) => {
                    mask_behind(glued, separator).map(|m| format!("{option}{m}"))
                }
                Gives::Value | Gives::Glued => Some(format!("{option}{MASK}")),
            });
        }
    }
    None
}

/// `-su user:secret`: letters without a value may stand before the one that has it.
fn is_last_of_cluster(option: &str, gives: Gives, word: &str) -> bool {
    let letter = option.strip_prefix('-').filter(|letter| letter.len() == 1);
    let cluster = word.strip_prefix('-').filter(|cluster| cluster.len() > 1);
    matches!(gives, Gives::UserAnd(_))
        && cluster.is_some_and(|cluster| {
            cluster.chars().all(|c| c.is_ascii_alphabetic())
                && letter.is_some_and(|letter| cluster.ends_with(letter))
        })
}

/// `file:`, `env:`, `fd:` and `stdin` say where OpenSSL finds the secret, and are none.
fn mask_value(value: &str) -> String {
    let place = ["file:", "env:", "fd:"].iter().any(|place| value.starts_with(place));
    if place || value == "stdin" || value == "-" {
        return value.to_owned();
    }
    if value.starts_with("pass:") { format!("pass:{MASK}") } else { MASK.to_owned() }
}

fn mask_behind(text: &str, separator: char) -> Option<String> {
    let at = text.find(separator)? + separator.len_utf8();
    (at < text.len()).then(|| format!("{}{MASK}", text.get(..at).unwrap_or_default()))
}

/// `scheme://user:secret@host`; for the web also `https://token@host`.
fn mask_url(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(colon) = rest.find("://") {
        let (scheme, behind) = rest.split_at(colon + 3);
        out.push_str(scheme);
        let word_end = behind
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'))
            .unwrap_or(behind.len());
        let end = behind.find(['/', '?', '#']).unwrap_or(word_end).min(word_end);
        let authority = behind.get(..end).unwrap_or_default();
        let port = authority.rsplit(':').next().unwrap_or_default();
        // A password with a slash in it: no port, and the `@` comes later.
        let odd = authority.contains(':') && port.chars().any(|c| !c.is_ascii_digit() && c != ']');
        let within = if odd { behind.get(..word_end).unwrap_or_default() } else { authority };
        rest = behind;
        let Some(at) = within.rfind('@') else { continue };
        let user = within.get(..at).unwrap_or_default();
        let web = scheme.ends_with("http://") || scheme.ends_with("https://");
        match user.find(':') {
            Some(colon) if colon + 1 < user.len() => {
                out.push_str(user.get(..=colon).unwrap_or_default());
                out.push_str(MASK);
            }
            None if web => out.push_str(MASK),
            _ => out.push_str(user),
        }
        rest = behind.get(at..).unwrap_or_default();
    }
    out.push_str(rest);
    (out != text).then_some(out)
}

/// Every `name=value`, `"name":"value"`, `name:value` within a text, where the name is a secret's.
fn mask_assignments(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, behind) = rest.split_at(at + 1);
        out.push_str(before);
        rest = behind;
        let named = before.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', '\\']);
        let start = named.rfind(|c| !is_name(c)).map_or(0, |i| {
            i + named.get(i..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
        });
        let in_path = named.get(..start).is_some_and(|before| before.ends_with('/'));
        let name = named.get(start..).unwrap_or_default();
        // The shell's `PWD` is a path; that of a connection string is none.
        let pwd = name.eq_ignore_ascii_case("pwd")
            && !behind.trim_start_matches(['"', '\'', '\\']).starts_with(['/', '$']);
        if !(pwd || is_secret(name)) || behind.starts_with("//") || in_path && before.ends_with(':')
        {
            continue;
        }
        let quoted = behind.trim_start_matches('\\').starts_with(['"', '\'']);
        let end = if quoted { quoted_end(behind) } else { plain_end(behind) };
        if end > 0 {
            out.push_str(&mask_value(behind.get(..end).unwrap_or_default()));
        }
        rest = behind.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    (out != text).then_some(out)
}

fn quoted_end(text: &str) -> usize {
    let open = text.len() - text.trim_start_matches('\\').len();
    let quote = text.get(open..).and_then(|rest| rest.chars().next()).unwrap_or('"');
    let body = text.get(open + 1..).unwrap_or_default();
    body.find(quote).map_or(text.len(), |close| open + 1 + close + 1)
}

fn plain_end(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, '&' | ';' | ',' | '"' | '\'' | '}'))
        .unwrap_or(text.len())
}

/// A token that begins like those of a well-known service, and web tokens.
fn mask_token(text: &str) -> Option<String> {
    let begins = |word: &str| {
        let lower = word.get(..word.len().min(16)).unwrap_or_default().to_ascii_lowercase();
        let web_token = word.starts_with("eyJ") && word.matches('.').count() == 2;
        word.len() >= 16 && (web_token || TOKENS.iter().any(|token| lower.starts_with(token)))
    };
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !is_name(c)) {
        let end = word.trim_end_matches(|c: char| !is_name(c)).len();
        let (body, separator) = word.split_at(end);
        out.push_str(if begins(body) { MASK } else { body });
        out.push_str(separator);
    }
    (out != text).then_some(out)
}
