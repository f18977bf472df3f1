//! Masks secrets in shell code. Splits it into words by the shell's rules and changes nothing else.

use std::borrow::Cow;

use crate::edit::{Edit, part, tail};
use crate::generic;
use crate::mask::MASK;

/// Maximum nesting of shell code. Deeper code is masked.
pub(crate) const MAX_DEPTH: u8 = 6;
/// Maximum distance to the program that reads the output of `echo`.
const AHEAD: usize = 256;
/// Words that are followed by a program.
const KEYWORDS: &[&str] = &[
    "if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "coproc", "}", "fi",
    "done", "esac",
];
/// Parts of the command lines of programs that read a secret from standard input.
const READERS: &[&str] = &[
    "sudo -S",
    "-stdin",
    "chpasswd",
    "passphrase-fd 0",
    "kinit",
    "smbpasswd",
    "fd:0",
    "with-token",
    "cryptsetup",
    "htpasswd -i",
    "sudo -kS",
];

/// A command of shell code. Gets its words in order.
pub(crate) trait Command {
    /// A command whose first word follows. `depth`: nesting of the code.
    fn begin(depth: u8) -> Self;
    /// Whether the next word is a keyword or a program.
    fn is_at_program(&self) -> bool;
    /// Whether the program reads shell code from standard input.
    fn reads_code(&self) -> bool;
    /// `feeds`: the arguments are a secret for another program, as in `echo x | sudo -S`.
    fn set_feeds(&mut self, feeds: bool);
    /// The masked word. None: it is unchanged. `expands`: the shell expands a `$` in it.
    fn word(&mut self, word: &str, expands: bool) -> Option<String>;
}

/// A part of shell code.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Blank,
    /// Ends a command.
    End,
    /// `<`, `>`, `2>&1`: a file follows, or nothing.
    Redirection,
    /// `<<`: the next word is the delimiter of the here-document that starts on the next line.
    Here,
    /// `<<<`: a text follows.
    HereString,
    Word,
    Comment,
}

/// The masked shell code. None: it is unchanged.
pub(crate) fn code<C: Command>(code: &str, depth: u8) -> Option<String> {
    let mut edit = Edit::new(code);
    let mut command = C::begin(depth);
    let mut reader = ShellReader { code, at: 0 };
    let mut next = Piece::Blank;
    let mut here: Vec<(String, bool)> = Vec::new();
    while let Some((piece, from)) = reader.piece() {
        let raw = part(code, from, reader.at);
        let masked = match piece {
            Piece::Blank => None,
            Piece::End => {
                let reads = command.reads_code();
                command = C::begin(depth);
                next = Piece::Blank;
                if raw.contains('\n') && !here.is_empty() {
                    let (delimiter, code_follows) = here.remove(0);
                    let body = reader.here(&delimiter);
                    let masked = if reads || code_follows {
                        self::code::<C>(body, depth + 1)
                    } else {
                        generic::text(body, true)
                    };
                    masked.map(|masked| [raw, &masked].concat())
                } else {
                    None
                }
            }
            Piece::Redirection | Piece::Here | Piece::HereString => {
                next = piece;
                None
            }
            Piece::Comment => generic::text(raw, true),
            Piece::Word => match std::mem::replace(&mut next, Piece::Blank) {
                Piece::Here => {
                    here.push((unquoted(raw).0.into_owned(), command.reads_code()));
                    None
                }
                Piece::Redirection | Piece::HereString => {
                    masked_word::<C>(raw, depth, generic::text)
                }
                _ => word(&mut command, raw, tail(code, reader.at), depth),
            },
        };
        if let Some(masked) = masked {
            edit.replace(from, reader.at, &masked);
        }
    }
    edit.finish()
}

/// A word of a command. `ahead`: the code after it.
fn word<C: Command>(command: &mut C, raw: &str, ahead: &str, depth: u8) -> Option<String> {
    if command.is_at_program() {
        if KEYWORDS.contains(&raw) {
            return None;
        }
        if matches!(raw, "echo" | "printf" | "/bin/echo") {
            command.set_feeds(feeds(ahead));
        }
    }
    masked_word::<C>(raw, depth, |word, expands| command.word(word, expands))
}

/// Whether the output is piped to a program that reads a secret.
fn feeds(ahead: &str) -> bool {
    let mut end = ahead.len().min(AHEAD);
    while !ahead.is_char_boundary(end) {
        end -= 1;
    }
    let line = part(ahead, 0, end).lines().next().unwrap_or_default();
    let Some((_, reader)) = line.split_once('|') else { return false };
    READERS.iter().any(|reads| reader.contains(reads))
}

/// Masks substitutions, then the word without its quotes. The result has the quotes of the word again.
fn masked_word<C: Command>(
    raw: &str,
    depth: u8,
    mask: impl FnOnce(&str, bool) -> Option<String>,
) -> Option<String> {
    let inner = substitutions::<C>(raw, depth);
    let raw = inner.as_deref().unwrap_or(raw);
    let (word, expands) = unquoted(raw);
    let Some(masked) = mask(&word, expands) else { return inner };
    let quote = ['"', '\''].into_iter().find(|&quote| {
        let bare = raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        bare.is_some_and(|bare| !bare.contains(quote))
    });
    Some(match quote {
        Some(quote) => {
            let mut out = String::from(quote);
            out.push_str(&masked);
            out.push(quote);
            out
        }
        None => masked,
    })
}

/// `$(…)` and backticks contain separate code.
fn substitutions<C: Command>(raw: &str, depth: u8) -> Option<String> {
    if !raw.contains("$(") && !raw.contains('`') {
        return None;
    }
    let mut edit = Edit::new(raw);
    let mut reader = ShellReader { code: raw, at: 0 };
    while let Some((from, to)) = reader.substitution() {
        let code = part(raw, from, to);
        let masked = if depth >= MAX_DEPTH {
            Some(MASK.to_owned())
        } else {
            self::code::<C>(code, depth + 1)
        };
        if let Some(masked) = masked {
            edit.replace(from, to, &masked);
        }
    }
    edit.finish()
}

/// A word without its quotes, and whether the shell expands a `$` in it.
fn unquoted(raw: &str) -> (Cow<'_, str>, bool) {
    if !raw.contains(['"', '\'', '\\']) {
        return (raw.into(), true);
    }
    let mut word = String::with_capacity(raw.len());
    let mut expands = true;
    let mut quote = None;
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (None, '$') if matches!(chars.peek(), Some('\'' | '"')) => {}
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => {
                expands &= c != '$';
                word.push(c);
            }
            (None, '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => {
                    expands &= escaped != '$';
                    word.push(escaped);
                }
            },
            (Some(_), '\\') => match chars.peek() {
                Some(&escaped @ ('"' | '\\' | '$' | '`')) => {
                    expands &= escaped != '$';
                    word.push(escaped);
                    chars.next();
                }
                _ => word.push('\\'),
            },
            (_, c) => word.push(c),
        }
    }
    (word.into(), expands)
}

struct ShellReader<'a> {
    code: &'a str,
    at: usize,
}

impl ShellReader<'_> {
    fn rest(&self) -> &str {
        self.code.get(self.at..).unwrap_or_default()
    }

    /// The next part and its start. It ends at the new position of the reader.
    fn piece(&mut self) -> Option<(Piece, usize)> {
        let from = self.at;
        let rest = self.rest();
        let first = rest.chars().next()?;
        let count = |set: &[char]| rest.len() - rest.trim_start_matches(set).len();
        let (piece, size) = match first {
            ' ' | '\t' | '\r' => (Piece::Blank, count(&[' ', '\t', '\r'])),
            '\\' if rest.starts_with("\\\n") => (Piece::Blank, 2),
            '\n' => (Piece::End, 1),
            '&' if rest.starts_with("&>") => (Piece::Redirection, 2),
            ';' | '|' | '&' | '(' | ')' => (Piece::End, count(&[';', '|', '&', '(', ')'])),
            '<' if rest.starts_with("<<<") => (Piece::HereString, 3),
            '<' if rest.starts_with("<<") => {
                (Piece::Here, 2 + usize::from(rest.starts_with("<<-")))
            }
            '<' | '>' if rest.get(1..2) == Some("(") => (Piece::End, 2),
            '<' | '>' => (Piece::Redirection, count(&['<', '>', '&', '|'])),
            '#' => (Piece::Comment, rest.find('\n').unwrap_or(rest.len())),
            _ => (Piece::Word, 0),
        };
        self.at += size;
        if piece == Piece::Word {
            self.word();
            // `2>`: the number belongs to the redirection.
            let digits = part(self.code, from, self.at);
            if digits.bytes().all(|b| b.is_ascii_digit()) && self.rest().starts_with(['<', '>']) {
                return self.piece().map(|(piece, _)| (piece, from));
            }
        }
        Some((piece, from))
    }

    /// To the end of a word.
    fn word(&mut self) {
        let mut quote = None;
        while let Some(c) = self.rest().chars().next() {
            match (quote, c) {
                (None, ' ' | '\t' | '\r' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>') => {
                    return;
                }
                (None | Some('"'), '`') | (None | Some('"'), '$')
                    if c == '`' || self.rest().starts_with("$(") =>
                {
                    self.skip_substitution();
                    continue;
                }
                (None, '$') if self.rest().starts_with("${") => {
                    let end = self.rest().find('}').map_or(self.rest().len(), |end| end + 1);
                    self.at += end;
                    continue;
                }
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None | Some('"'), '\\') => {
                    self.at += 1;
                    let escaped = self.rest().chars().next();
                    self.at += escaped.map_or(0, char::len_utf8);
                    continue;
                }
                _ => {}
            }
            self.at += c.len_utf8();
        }
    }

    fn skip_substitution(&mut self) {
        let (open, close) = if self.rest().starts_with('`') { (1, '`') } else { (2, ')') };
        self.at += open;
        let inner = self.inner_end(close);
        self.at = (inner + close.len_utf8()).min(self.code.len());
    }

    /// End of the current substitution.
    fn inner_end(&self, close: char) -> usize {
        let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
        for (at, c) in self.rest().char_indices() {
            if std::mem::take(&mut escaped) {
                continue;
            }
            match (quote, c) {
                (_, '\\') if quote != Some('\'') => escaped = true,
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, c) if c == close && depth == 0 => return self.at + at,
                (None, '"' | '\'') if close == ')' => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.code.len()
    }

    /// Start and end of the code of the next substitution.
    fn substitution(&mut self) -> Option<(usize, usize)> {
        let mut quoted = false;
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\'' if !quoted => {
                    let end = self.rest().get(1..).and_then(|rest| rest.find('\''));
                    self.at += end.map_or(self.rest().len(), |end| end + 2);
                    continue;
                }
                '"' => quoted = !quoted,
                '\\' => self.at += 1,
                '`' | '$' if c == '`' || self.rest().starts_with("$(") => {
                    let (open, close) = if c == '`' { (1, '`') } else { (2, ')') };
                    let from = self.at + open;
                    self.at = from;
                    let to = self.inner_end(close);
                    self.at = (to + 1).min(self.code.len());
                    return Some((from, to));
                }
                _ => {}
            }
            let c = self.rest().chars().next();
            self.at += c.map_or(0, char::len_utf8);
        }
        None
    }

    /// The text up to the line of the delimiter.
    fn here(&mut self, delimiter: &str) -> &str {
        let from = self.at;
        let mut at = from;
        let rest = self.rest();
        for line in rest.split_inclusive('\n') {
            at += line.len();
            if line.trim_end_matches(['\n', '\r']).trim_start_matches('\t') == delimiter {
                break;
            }
        }
        self.at = at;
        part(self.code, from, at)
    }
}
