//! Masks secrets in command lines: determines for each argument the program that it belongs to.

use std::borrow::Cow;

use crate::edit::{part, tail, until};
use crate::forms::{self, Form, FormMatch, Rules};
use crate::mask::{self, MASK};
use crate::names::{NameKind, asks, hides, is_name, is_option, is_path, kind};
use crate::programs::{self, Program};
use crate::shell::{self, Command, MAX_DEPTH};
use crate::{generic, values};

/// Meaning of the next word according to the words before it.
#[derive(Clone, Copy, Debug)]
enum Expects {
    /// The value of an option of this program.
    Form(Form),
    /// The value of an unknown option with the name of a secret. It may also have no value.
    Named(NameKind),
}

/// Position of the next word in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The program.
    Program,
    /// A program or an argument.
    Weak,
    /// After the program.
    Arguments,
}

/// State of a command after the words so far.
#[derive(Debug)]
struct ProgramCall {
    place: Place,
    current: Option<Program>,
    /// The options of the program that the subcommand belongs to.
    outer: Rules,
    /// The program that started this one and gets the arguments after `;`: find.
    starter: Option<Program>,
    /// The program that represents the one of the image.
    entry: Option<Program>,
    expects: Option<Expects>,
    /// Meaning of the argument after the next one.
    later: Option<Form>,
    positions: u8,
    no_options: bool,
    /// The preceding name of a setting is that of a secret.
    named: bool,
    /// A flag makes every setting a secret.
    all_named: bool,
    /// Its words are from shell code.
    shell: bool,
    /// Its arguments are a secret for another program: `echo x | sudo -S`.
    feeds: bool,
    /// The program joins its words to shell code: `&&` may be an argument.
    joins: bool,
    rest_is_secret: bool,
    depth: u8,
}

impl ProgramCall {
    fn new(depth: u8, shell: bool) -> ProgramCall {
        ProgramCall {
            place: Place::Program,
            current: None,
            outer: Rules::default(),
            starter: None,
            entry: None,
            expects: None,
            later: None,
            positions: 0,
            no_options: false,
            named: false,
            all_named: false,
            shell,
            feeds: false,
            joins: false,
            rest_is_secret: false,
            depth,
        }
    }

    fn rules(&self) -> Rules {
        self.current.map_or(Rules::default(), |program| program.rules)
    }

    /// The masked argument. None: it is unchanged.
    fn argument(&mut self, argument: &str) -> Option<String> {
        if argument.contains("PRIVATE KEY-----") {
            self.expects = None;
            return Some(MASK.to_owned());
        }
        match self.expects.take() {
            Some(Expects::Form(form)) => return self.expected(form, argument),
            Some(Expects::Named(kind)) if !is_option(argument) => {
                return self.of_kind(kind, argument);
            }
            _ => {}
        }
        if self.rest_is_secret {
            return mask::secret(argument, self.shell);
        }
        if let ";" | "\\;" | "+" = argument
            && let Some(starter) = self.starter.take()
        {
            self.enter(starter);
            return None;
        }
        if self.joins && matches!(argument, ";" | "&&" | "||" | "|" | "&") {
            *self = ProgramCall { joins: true, ..ProgramCall::new(self.depth, true) };
            return None;
        }
        if let Some(masked) = self.option(argument) {
            return masked;
        }
        if argument == "--" && !self.no_options {
            self.no_options = true;
            if self.place == Place::Arguments {
                self.place = Place::Weak;
            }
            return None;
        }
        match self.place {
            Place::Program | Place::Weak if is_assignment(argument) && !self.is_code(argument) => {
                self.text(argument)
            }
            Place::Program | Place::Weak => self.program(argument),
            Place::Arguments => self.position(argument),
        }
    }

    fn text(&self, text: &str) -> Option<String> {
        match generic::code(text) {
            Some(at) => {
                let code = self.code(tail(text, at))?;
                Some([part(text, 0, at), &code].concat())
            }
            None => generic::text(text, self.shell),
        }
    }

    fn code(&self, code: &str) -> Option<String> {
        if self.depth >= MAX_DEPTH {
            mask::secret(code, false)
        } else {
            shell::code::<ProgramCall>(code, self.depth + 1)
        }
    }

    /// The value of an option whose form is known.
    fn expected(&mut self, form: Form, argument: &str) -> Option<String> {
        match form {
            Form::Optional if is_option(argument) => return self.argument(argument),
            // `bash -c -e code`: an option may precede the code.
            Form::Code if self.place == Place::Arguments && is_short_option(argument) => {
                self.expects = Some(Expects::Form(form));
                return None;
            }
            Form::Two if argument.starts_with("--") => return self.argument(argument),
            Form::Two => self.expects = Some(Expects::Form(Form::Optional)),
            Form::Second => {
                self.expects = Some(Expects::Form(Form::Pair));
                self.later = Some(Form::Secret);
                return self.expected_later();
            }
            _ => {
                if let Some(later) = self.later.take() {
                    self.expects = Some(Expects::Form(later));
                }
            }
        }
        self.value(form, argument)
    }

    /// The argument before the secret is not masked.
    fn expected_later(&mut self) -> Option<String> {
        self.expects = self.later.take().map(Expects::Form);
        None
    }

    fn of_kind(&mut self, kind: NameKind, value: &str) -> Option<String> {
        match kind {
            NameKind::Code => self.code(value),
            NameKind::Key if is_path(value) => None,
            NameKind::Secret | NameKind::Key => mask::secret(value, self.shell),
            NameKind::Count if value.bytes().all(|b| b.is_ascii_digit()) => None,
            NameKind::Count => mask::secret(value, self.shell),
            NameKind::Pair => values::by_form(Form::Pair, value, self.shell),
            NameKind::Other => self.text(value),
        }
    }

    fn value(&mut self, form: Form, value: &str) -> Option<String> {
        match form {
            Form::Code => self.code(value),
            Form::Takes => self.text(value),
            Form::Entry => {
                self.entry = programs::program(value);
                None
            }
            Form::Name => {
                self.named = is_secret_setting(value);
                None
            }
            Form::Value if self.named => mask::secret(value, self.shell),
            Form::Value => self.text(value),
            _ => values::by_form(form, value, self.shell),
        }
    }

    /// Some: the word is an option, or the value of one.
    #[expect(clippy::option_option, reason = "whether it was one, and what then to show")]
    fn option(&mut self, word: &str) -> Option<Option<String>> {
        if self.no_options && word.starts_with('-')
            || word.is_empty()
            || word == "--" && !self.knows("--")
        {
            return None;
        }
        let found = forms::find(self.rules(), word).or_else(|| forms::find(self.outer, word));
        if let Some(found) = found {
            return Some(self.found(found, word));
        }
        if !word.starts_with('-') {
            return None;
        }
        if word.ends_with(":env") || word.ends_with(":file") {
            // Java's tools: the source of the secret.
            self.expects = Some(Expects::Form(Form::Plain));
            return Some(None);
        }
        if word.contains(['=', ':', ' ']) {
            return Some(self.text(word));
        }
        let kind = kind(word);
        if kind != NameKind::Other && !asks(word) {
            self.expects = Some(Expects::Named(kind));
        }
        // A token may start with any character, including a dash.
        Some(if word.len() > 16 { self.text(word) } else { None })
    }

    fn knows(&self, word: &str) -> bool {
        forms::find(self.rules(), word).is_some()
    }

    fn found(&mut self, found: FormMatch, word: &str) -> Option<String> {
        self.positions = self.positions.saturating_add(found.shifts);
        let form = found.form;
        match (form, found.value) {
            (Form::Flag | Form::Shift | Form::Switch | Form::Glued, None) => None,
            (Form::Named, _) => {
                self.all_named = true;
                None
            }
            (Form::Rest, _) => {
                self.rest_is_secret = true;
                None
            }
            (Form::Command, None) => {
                self.starter = self.current;
                self.restart();
                None
            }
            (Form::Flag | Form::Switch, Some(at)) => {
                let masked = generic::always(tail(word, at))?;
                Some([part(word, 0, at), &masked].concat())
            }
            (_, None) => {
                self.expects = Some(Expects::Form(form));
                None
            }
            (Form::Takes, Some(at)) => {
                let name = part(word, 0, at);
                let value = tail(word, at);
                let masked = match kind(name.trim_end_matches('=')) {
                    NameKind::Other => self.text(value),
                    _ => self.text(word).map(|masked| masked.get(at..).unwrap_or(MASK).to_owned()),
                };
                masked.map(|masked| [name, &masked].concat())
            }
            (form, Some(at)) => {
                let form = if form == Form::Command { Form::Code } else { form };
                let masked = self.value(form, tail(word, at))?;
                Some([part(word, 0, at), &masked].concat())
            }
        }
    }

    /// The next word may be a program.
    fn restart(&mut self) {
        let kept = ProgramCall {
            starter: self.starter,
            joins: self.joins,
            ..ProgramCall::new(self.depth, self.shell)
        };
        *self = kept;
    }

    fn enter(&mut self, program: Program) {
        self.current = Some(program);
        self.outer = Rules::default();
        self.place = self.place_of(0);
        self.positions = 0;
        self.no_options = false;
    }

    /// Position of the next word.
    fn place_of(&self, position: u8) -> Place {
        match argument_at(self.rules(), position) {
            b"command" | b"code" => Place::Program,
            b"weak" => Place::Weak,
            _ => Place::Arguments,
        }
    }

    /// Whether this argument is shell code of several words.
    fn is_code(&self, word: &str) -> bool {
        argument_at(self.rules(), self.positions) == b"code"
            && until(word, |c| " \t\n;|&(`'\"".contains(c)) < word.len()
    }

    /// A word at the position of a program.
    fn program(&mut self, word: &str) -> Option<String> {
        let joins = argument_at(self.rules(), self.positions) == b"code";
        if self.is_code(word) {
            self.positions = self.positions.saturating_add(1);
            return self.code(word);
        }
        self.joins |= joins;
        self.shell |= joins;
        if self.current.is_none() && !self.shell && word.contains(' ') {
            // A program's name contains no space. This is the output of an earlier redactor, or a process title.
            self.place = Place::Arguments;
            return self.text(word);
        }
        if let Some(entry) = self.entry.take() {
            self.enter(entry);
            return self.text(word);
        }
        match programs::program(word) {
            Some(program) => self.enter(program),
            None if self.place == Place::Weak => {
                let sub = self.current.filter(|program| forms::has(program.rules, Form::Sub));
                if sub.is_some() {
                    self.place = Place::Arguments;
                    return self.position(word);
                }
                self.positions = self.positions.saturating_add(1);
            }
            None => {
                self.current = None;
                self.outer = Rules::default();
                self.place = Place::Arguments;
            }
        }
        self.text(word)
    }

    /// An argument that belongs to no option.
    fn position(&mut self, argument: &str) -> Option<String> {
        if self.feeds {
            let format = self.positions == 0 && argument.contains('%');
            self.positions = self.positions.saturating_add(1);
            return if format { None } else { mask::secret(argument, self.shell) };
        }
        let Some(program) = self.current else { return self.text(argument) };
        if self.positions == 0
            && forms::has(program.rules, Form::Sub)
            && let Some(sub) = programs::subcommand(program, argument)
        {
            let outer = if self.outer.is_empty() { program.rules } else { self.outer };
            self.enter(sub);
            self.outer = outer;
            return None;
        }
        let what = argument_at(program.rules, self.positions);
        self.positions = self.positions.saturating_add(1);
        let place = self.place_of(self.positions);
        if place != Place::Arguments {
            self.place = place;
            if let Some(entry) = self.entry.take() {
                self.enter(entry);
                return self.text(argument);
            }
        }
        match what {
            b"secret" => mask::secret(argument, self.shell),
            b"token" if !argument.contains('=') => mask::secret(argument, self.shell),
            b"pair" => self.value(Form::Pair, argument),
            b"login" => self.value(Form::Login, argument),
            b"authority" => self.value(Form::Authority, argument),
            b"conninfo" => self.value(Form::Conninfo, argument),
            b"percona" => self.value(Form::Percona, argument),
            b"literal" => self.value(Form::Literal, argument),
            b"name" => {
                self.named = is_secret_setting(argument);
                self.text(argument)
            }
            b"value" if self.named || self.all_named => mask::secret(argument, self.shell),
            _ => self.text(argument),
        }
    }
}

impl Command for ProgramCall {
    fn begin(depth: u8) -> ProgramCall {
        ProgramCall::new(depth, true)
    }

    fn is_at_program(&self) -> bool {
        self.place == Place::Program && self.current.is_none() && self.expects.is_none()
    }

    fn reads_code(&self) -> bool {
        let rules = self.rules();
        rules.of(Form::Code).is_some_and(|text| text.starts_with(b"-c"))
            || rules.of(Form::Args).is_some_and(|text| text.ends_with(b"code"))
    }

    fn set_feeds(&mut self, feeds: bool) {
        self.feeds = feeds;
    }

    fn word(&mut self, word: &str, expands: bool) -> Option<String> {
        self.shell = expands;
        self.argument(word)
    }
}

/// Meaning of the argument at this position: `-` none, `secret`, `command`, `name` and `value`, …; the last word
/// applies to all further arguments, `*` repeats the two before it.
fn argument_at(rules: Rules, position: u8) -> &'static [u8] {
    let Some(text) = rules.of(Form::Args) else { return b"-" };
    let mut at = usize::from(position);
    if text.ends_with(b"*") {
        let fixed = forms::words(text).count().saturating_sub(3);
        if at >= fixed {
            at = fixed + (at - fixed) % 2;
        }
    }
    match forms::words(text).nth(at) {
        Some(word) => word,
        None => match forms::words(text).last() {
            Some(last @ (b"command" | b"code" | b"weak" | b"literal" | b"percona")) => last,
            _ => b"-",
        },
    }
}

/// `NAME=…`, a shell's assignment.
fn is_assignment(word: &str) -> bool {
    let name = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    name.is_some_and(|end| end > 0 && word.get(end..).is_some_and(|rest| rest.starts_with('=')))
}

fn is_short_option(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    (1..=3).contains(&letters.len()) && letters.bytes().all(|b| b.is_ascii_alphabetic())
}

/// `auth.token`, `//registry/:_authToken`, `http-basic.name`: any part of the name may be that of a secret.
fn is_secret_setting(name: &str) -> bool {
    let secret = |part: &str| hides(part, "") || part.eq_ignore_ascii_case("extraheader");
    name.split(|c| !is_name(c) || c == '.').any(|part| secret(part) || part == "http-basic")
        || name.starts_with("pypi-token")
        || name.contains("-oauth.")
}

/// Masks the secrets of a command line. `each` gets each argument in order, and its masked form.
/// `cut`: the last argument is truncated.
pub(crate) fn command_line<'a>(
    arguments: &'a [String],
    cut: bool,
    mut each: impl FnMut(&'a str, Option<String>),
) {
    let mut command = ProgramCall::new(0, false);
    for (at, argument) in arguments.iter().enumerate() {
        let masked = command.argument(argument);
        if !cut || at + 1 < arguments.len() {
            each(argument, masked);
            continue;
        }
        let shown: Cow<'_, str> = masked.map_or(Cow::Borrowed(argument), Cow::Owned);
        let hidden = generic::unfinished(&shown);
        each(
            argument,
            hidden.or(match shown {
                Cow::Owned(masked) => Some(masked),
                Cow::Borrowed(_) => None,
            }),
        );
    }
}

#[cfg(test)]
mod tests;
