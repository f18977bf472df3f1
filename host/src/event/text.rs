//! Text that may be shown: it went through a redactor, or the operator said that nothing is to be hidden.

use std::borrow::Cow;

use super::Arguments;

/// Which field a text goes into; redactors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field<'a> {
    /// Path of an opened file.
    File,
    /// Path of a library.
    Library,
    /// Path of an executable.
    Exe,
    /// A command line.
    Cmdline,
    /// The value of this label.
    Label(&'a str),
}

impl Field<'_> {
    /// The documented name: `labels.NAME` for a label.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Field::File => "file".into(),
            Field::Library => "library".into(),
            Field::Exe => "exe".into(),
            Field::Cmdline => "cmdline".into(),
            Field::Label(name) => format!("labels.{name}").into(),
        }
    }
}

/// Hides what must not be shown.
pub trait Redact {
    /// The text to show instead of `value`; None: show it as it is.
    ///
    /// `arguments` are those of a command line, one by one; empty for every other field.
    fn redact(&mut self, field: Field<'_>, value: &str, arguments: &[String]) -> Option<String>;
}

/// Text that was redacted. There is no other way to make one than through [`Redact`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    text: String,
    hidden: bool,
}

impl Shown {
    /// Redacts one text.
    pub fn of(redact: &mut dyn Redact, field: Field<'_>, value: &[u8]) -> Shown {
        Self::of_text(redact, field, String::from_utf8_lossy(value), &[])
    }

    /// Redacts a command line: its arguments, joined by spaces.
    pub fn of_command_line(
        redact: &mut dyn Redact,
        arguments: &[String],
        truncated: bool,
    ) -> Shown {
        let mut shown =
            Self::of_text(redact, Field::Cmdline, arguments.join(" ").into(), arguments);
        if truncated {
            shown.text.push_str(" …");
        }
        shown
    }

    /// Redacts a command line as the kernel keeps it.
    pub fn of_arguments(redact: &mut dyn Redact, arguments: &Arguments) -> Shown {
        let words: Vec<String> =
            arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Shown::of_command_line(redact, &words, arguments.truncated)
    }

    fn of_text(
        redact: &mut dyn Redact,
        field: Field<'_>,
        value: Cow<'_, str>,
        arguments: &[String],
    ) -> Shown {
        match redact.redact(field, &value, arguments) {
            Some(text) => Shown { hidden: text != value, text },
            None => Shown { text: value.into_owned(), hidden: false },
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether something was hidden.
    pub fn hidden(&self) -> bool {
        self.hidden
    }
}

impl serde::Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
