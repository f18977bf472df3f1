//! The program that the words of a command belong to, and the position of the next word.

use crate::edit::until;
use crate::forms::{self, Form, FormMatch, Rules};
use crate::programs::{self, Program};

/// Position of the next word in a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the program.
    #[default]
    Program,
    /// At a program or an argument.
    Weak,
    /// After the program.
    Arguments,
}

/// The program of a command, and the position of the next word.
#[derive(Debug, Default)]
pub(crate) struct CurrentProgram {
    pub(crate) place: Place,
    /// None: the program is unknown.
    pub(crate) program: Option<Program>,
    /// The options of the program that the subcommand belongs to.
    outer: Rules,
    /// Meaning of its arguments: see [`argument_at`].
    arguments: Option<&'static [u8]>,
    /// Number of arguments so far that belong to no option.
    pub(crate) positions: u8,
    /// `--` precedes the next word.
    pub(crate) no_options: bool,
}

impl CurrentProgram {
    /// The options of the program; empty if it is unknown.
    fn rules(&self) -> Rules {
        self.program.map_or(Rules::default(), |program| program.rules)
    }

    /// Whether the program reads shell code from standard input.
    pub(crate) fn reads_code(&self) -> bool {
        let rules = self.rules();
        rules.of(Form::Code).is_some_and(|text| text.starts_with(b"-c"))
            || self.arguments.is_some_and(|text| text.ends_with(b"code"))
    }

    /// Whether the first argument of the program may be a subcommand.
    pub(crate) fn has_subcommands(&self) -> bool {
        self.program.is_some_and(|program| forms::has(program.rules, Form::Sub))
    }

    /// Meaning of a word as an option of the program, or of the program that the subcommand belongs to.
    pub(crate) fn find(&self, word: &str) -> Option<FormMatch> {
        forms::find(self.rules(), word).or_else(|| forms::find(self.outer, word))
    }

    /// Whether the program itself has this option.
    pub(crate) fn has_option(&self, word: &str) -> bool {
        forms::find(self.rules(), word).is_some()
    }

    /// The next words are options and arguments of this program.
    pub(crate) fn enter(&mut self, program: Program) {
        self.program = Some(program);
        self.arguments = program.rules.of(Form::Args);
        self.outer = Rules::default();
        self.positions = 0;
        self.place = self.next_place();
        self.no_options = false;
    }

    /// If this first argument is a subcommand, the next words are its arguments.
    pub(crate) fn enter_subcommand(&mut self, argument: &str) -> bool {
        if self.positions == 0
            && let Some(program) = self.program
            && forms::has(program.rules, Form::Sub)
            && let Some(subcommand) = programs::subcommand(program, argument)
        {
            let outer = if self.outer.is_empty() { program.rules } else { self.outer };
            self.enter(subcommand);
            self.outer = outer;
            return true;
        }
        false
    }

    /// The next words are arguments of an unknown program.
    pub(crate) fn enter_unknown(&mut self) {
        self.program = None;
        self.arguments = None;
        self.outer = Rules::default();
        self.place = Place::Arguments;
    }

    /// Position of the next word, according to the number of arguments so far.
    fn next_place(&self) -> Place {
        match self.argument() {
            b"command" | b"code" => Place::Program,
            b"weak" => Place::Weak,
            _ => Place::Arguments,
        }
    }

    /// Meaning of the next argument: see [`argument_at`].
    pub(crate) fn argument(&self) -> &'static [u8] {
        argument_at(self.arguments, self.positions)
    }

    /// Counts arguments.
    pub(crate) fn advance(&mut self, arguments: u8) {
        self.positions = self.positions.saturating_add(arguments);
    }

    /// Counts an argument. Returns whether the next word may be a program.
    pub(crate) fn advance_to_program(&mut self) -> bool {
        self.advance(1);
        let place = self.next_place();
        if place == Place::Arguments {
            return false;
        }
        self.place = place;
        true
    }

    /// Whether this argument is shell code of several words.
    pub(crate) fn is_code(&self, word: &str) -> bool {
        self.argument() == b"code" && until(word, |c| " \t\n;|&(`'\"".contains(c)) < word.len()
    }
}

/// Meaning of the argument at this position: `-` none, `secret`, `command`, `name` and `value`, …; the last word
/// applies to all further arguments, `*` repeats the two before it.
fn argument_at(arguments: Option<&'static [u8]>, position: u8) -> &'static [u8] {
    let Some(text) = arguments else { return b"-" };
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
