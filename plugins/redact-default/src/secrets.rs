//! Masks secrets in command lines: determines for each argument the program that it belongs to.

use std::borrow::Cow;

use crate::current_program::{CurrentProgram, Place};
use crate::edit::{part, tail};
use crate::forms::{Form, FormMatch};
use crate::mask::{self, MASK};
use crate::names::{
    NameKind, asks, is_assignment, is_option, is_path, is_secret_setting, is_short_option, kind,
};
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

/// State of a command after the words so far.
#[derive(Debug, Default)]
struct ProgramCall {
    current: CurrentProgram,
    /// The program that runs this one and takes over again after `;` or `+`: `find -exec`.
    starter: Option<Program>,
    /// The program of `--entrypoint`: it gets the arguments after the image.
    entry: Option<Program>,
    expects: Option<Expects>,
    /// Meaning of the argument after the next one.
    later: Option<Form>,
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
    /// Nesting of the shell code that contains the command.
    depth: u8,
}

impl ProgramCall {
    fn new(depth: u8, shell: bool) -> ProgramCall {
        ProgramCall { shell, depth, ..ProgramCall::default() }
    }

    /// The masked argument. None: it is unchanged.
    fn argument(&mut self, argument: &str) -> Option<String> {
        if mask::has_private_key(argument) {
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
            self.current.enter(starter);
            return None;
        }
        if self.joins && matches!(argument, ";" | "&&" | "||" | "|" | "&") {
            *self = ProgramCall { joins: true, ..ProgramCall::new(self.depth, true) };
            return None;
        }
        if let Some(masked) = self.option(argument) {
            return masked;
        }
        if argument == "--" && !self.current.no_options {
            self.current.no_options = true;
            if self.current.place == Place::Arguments {
                self.current.place = Place::Weak;
            }
            return None;
        }
        match self.current.place {
            Place::Program | Place::Weak
                if is_assignment(argument) && !self.current.is_code(argument) =>
            {
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
            Form::Code if self.current.place == Place::Arguments && is_short_option(argument) => {
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
    #[expect(clippy::option_option, reason = "whether it is an option, and its masked form")]
    fn option(&mut self, word: &str) -> Option<Option<String>> {
        if self.current.no_options && word.starts_with('-')
            || word.is_empty()
            || word == "--" && !self.current.has_option("--")
        {
            return None;
        }
        if let Some(found) = self.current.find(word) {
            return Some(self.found(found, word));
        }
        if !word.starts_with('-') {
            return None;
        }
        if word.ends_with(":env") || word.ends_with(":file") {
            // keytool `-storepass:env NAME`: the next word says where the secret is.
            self.expects = Some(Expects::Form(Form::Plain));
            return Some(None);
        }
        if word.bytes().any(|byte| matches!(byte, b'=' | b':' | b' ')) {
            return Some(self.text(word));
        }
        let kind = kind(word);
        if kind != NameKind::Other && !asks(word) {
            self.expects = Some(Expects::Named(kind));
        }
        // A token may start with any character, including a dash.
        Some(if word.len() > 16 { self.text(word) } else { None })
    }

    /// Masks the value of an option, or expects it as the next word.
    fn found(&mut self, found: FormMatch, word: &str) -> Option<String> {
        self.current.advance(found.shifts);
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
                self.starter = self.current.program;
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

    /// A word at the position of a program.
    fn program(&mut self, word: &str) -> Option<String> {
        let joins = self.current.argument() == b"code";
        if self.current.is_code(word) {
            self.current.advance(1);
            return self.code(word);
        }
        self.joins |= joins;
        self.shell |= joins;
        if self.current.program.is_none() && !self.shell && word.contains(' ') {
            // A program's name contains no space. This is the output of an earlier redactor, or a process title.
            self.current.place = Place::Arguments;
            return self.text(word);
        }
        if let Some(entry) = self.entry.take() {
            self.current.enter(entry);
            return self.text(word);
        }
        match programs::program(word) {
            Some(program) => self.current.enter(program),
            None if self.current.place == Place::Weak => {
                if self.current.has_subcommands() {
                    self.current.place = Place::Arguments;
                    return self.position(word);
                }
                self.current.advance(1);
            }
            None => self.current.enter_unknown(),
        }
        self.text(word)
    }

    /// An argument that belongs to no option.
    fn position(&mut self, argument: &str) -> Option<String> {
        if self.feeds {
            let format = self.current.positions == 0 && argument.contains('%');
            self.current.advance(1);
            return if format { None } else { mask::secret(argument, self.shell) };
        }
        if self.current.program.is_none() {
            return self.text(argument);
        }
        if self.current.enter_subcommand(argument) {
            return None;
        }
        let meaning = self.current.argument();
        if self.current.advance_to_program()
            && let Some(entry) = self.entry.take()
        {
            self.current.enter(entry);
            return self.text(argument);
        }
        match meaning {
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
        let current = &self.current;
        current.place == Place::Program && current.program.is_none() && self.expects.is_none()
    }

    fn reads_code(&self) -> bool {
        self.current.reads_code()
    }

    fn set_feeds(&mut self, feeds: bool) {
        self.feeds = feeds;
    }

    fn word(&mut self, word: &str, expands: bool) -> Option<String> {
        self.shell = expands;
        self.argument(word)
    }
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
