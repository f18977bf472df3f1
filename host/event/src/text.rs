//! Redacted text: the only text that may leave the program.

use std::borrow::Cow;

use super::{Arguments, KernelPath};

/// Marks a path whose beginning is missing.
pub(super) const MISSING: &str = "…";

/// The output field of a text. Redactors receive its name.
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
    /// Name of a process.
    Process,
    /// Path of a cgroup.
    Cgroup,
    /// Name of the host.
    Hostname,
    /// Value of the label with this name.
    Label(&'a str),
}

impl Field<'_> {
    /// Returns the documented name; `labels.NAME` for a label.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Field::File => "file".into(),
            Field::Library => "library".into(),
            Field::Exe => "exe".into(),
            Field::Cmdline => "cmdline".into(),
            Field::Process => "process".into(),
            Field::Cgroup => "cgroup".into(),
            Field::Hostname => "hostname".into(),
            Field::Label(name) => format!("labels.{name}").into(),
        }
    }
}

/// Replaces private parts of a text.
pub trait Redact {
    /// Returns the text to show instead of `value`; `None` if `value` is shown unchanged.
    ///
    /// `arguments`: the separate arguments of a command line; empty for every other field.
    fn redact(&mut self, field: Field<'_>, value: &str, arguments: &[String]) -> Option<String>;

    /// Like [`Redact::redact`], but writes the text to `out`, which is empty. Returns false, and writes nothing, if `value` is
    /// shown unchanged.
    fn redact_into(
        &mut self,
        field: Field<'_>,
        value: &str,
        arguments: &[String],
        out: &mut String,
    ) -> bool {
        match self.redact(field, value, arguments) {
            Some(text) => {
                *out = text;
                true
            }
            None => false,
        }
    }

    /// Returns an empty string, if possible with the memory of a text that is no longer used.
    fn buffer(&mut self) -> String {
        String::new()
    }
}

/// Text after redaction. Every constructor passes the text to a [`Redact`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedText {
    text: String,
    hidden: bool,
}

impl RedactedText {
    /// Redacts one text.
    pub fn of(redact: &mut dyn Redact, field: Field<'_>, value: &[u8]) -> RedactedText {
        Self::of_text(redact, field, String::from_utf8_lossy(value), &[])
    }

    /// Redacts the path of a file.
    ///
    /// A path outside the process's root begins at its mount's root, which may be `/home` or a home directory. A
    /// redactor would treat `/alice/key.pem` as a system path. It therefore receives `…/alice/key.pem`: a path whose
    /// beginning is missing.
    pub(crate) fn of_path(
        redact: &mut dyn Redact,
        field: Field<'_>,
        path: &KernelPath,
    ) -> RedactedText {
        let value = String::from_utf8_lossy(&path.bytes);
        match path.marked() {
            None => Self::of_text(redact, field, value, &[]),
            Some(marked) => {
                Self::of_marked(redact, field, value, &String::from_utf8_lossy(&marked))
            }
        }
    }

    /// Redacts the value of a label. If the value contains the file's path, the path is marked as in
    /// [`RedactedText::of_path`].
    pub(crate) fn of_label(
        redact: &mut dyn Redact,
        field: Field<'_>,
        value: &str,
        path: Option<&KernelPath>,
    ) -> RedactedText {
        if let Some(path) = path
            && let Some(marked) = path.marked()
        {
            let path = String::from_utf8_lossy(&path.bytes);
            let marked = value.replace(&*path, &String::from_utf8_lossy(&marked));
            return Self::of_marked(redact, field, value.into(), &marked);
        }
        Self::of_text(redact, field, value.into(), &[])
    }

    /// Passes `marked` to the redactor; returns `value` if the redactor hides nothing.
    fn of_marked(
        redact: &mut dyn Redact,
        field: Field<'_>,
        value: Cow<'_, str>,
        marked: &str,
    ) -> RedactedText {
        match redact.redact(field, marked, &[]) {
            Some(text) if text != marked => {
                // The mark is for the redactor only: in the output, `unreachable` reports such a path.
                let text = match text.strip_prefix(MISSING) {
                    Some(rest) if rest.starts_with('/') => rest.to_owned(),
                    _ => text,
                };
                RedactedText { hidden: true, text }
            }
            _ => RedactedText { text: value.into_owned(), hidden: false },
        }
    }

    /// Redacts a command line: its arguments, joined by spaces, and ` …` if it is truncated.
    pub(crate) fn of_arguments(redact: &mut dyn Redact, arguments: &Arguments) -> RedactedText {
        let mut words = Vec::with_capacity(arguments.iter().count());
        words.extend(arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()));
        let mut shown = Self::of_text(redact, Field::Cmdline, words.join(" ").into(), &words);
        if arguments.truncated {
            shown.text.push_str(" …");
        }
        shown
    }

    fn of_text(
        redact: &mut dyn Redact,
        field: Field<'_>,
        value: Cow<'_, str>,
        arguments: &[String],
    ) -> RedactedText {
        let mut text = redact.buffer();
        if redact.redact_into(field, &value, arguments, &mut text) {
            return RedactedText { hidden: text != value, text };
        }
        text.push_str(&value);
        RedactedText { text, hidden: false }
    }

    /// Returns the memory of the text.
    pub(crate) fn into_buffer(self) -> String {
        self.text
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether redaction changed the text.
    pub fn hidden(&self) -> bool {
        self.hidden
    }
}

impl serde::Serialize for RedactedText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records the values it receives, and returns a fixed answer.
    struct ScriptedRedactor(Vec<String>, Option<&'static str>);

    impl Redact for ScriptedRedactor {
        fn redact(&mut self, _: Field<'_>, value: &str, _: &[String]) -> Option<String> {
            self.0.push(value.to_owned());
            self.1.map(str::to_owned)
        }
    }

    fn unreachable() -> KernelPath {
        KernelPath { bytes: b"/alice/k.pem".to_vec(), unreachable: true, ..KernelPath::default() }
    }

    #[test]
    fn only_the_redactor_sees_the_mark_of_an_unreachable_path() {
        for (answer, shown, hidden) in [
            (None, "/alice/k.pem", false),
            (Some("…/alice/k.pem"), "/alice/k.pem", false),
            (Some("…/…/k.pem"), "/…/k.pem", true),
            (Some("[REDACTED]"), "[REDACTED]", true),
        ] {
            let mut redact = ScriptedRedactor(Vec::new(), answer);
            let found = RedactedText::of_path(&mut redact, Field::File, &unreachable());
            assert_eq!((found.as_str(), found.hidden()), (shown, hidden));
            assert_eq!(redact.0, ["…/alice/k.pem"]);
        }
        let mut redact = ScriptedRedactor(Vec::new(), None);
        let path = KernelPath { unreachable: false, ..unreachable() };
        RedactedText::of_path(&mut redact, Field::File, &path);
        assert_eq!(redact.0, ["/alice/k.pem"]);
    }

    #[test]
    fn a_label_with_an_unreachable_path_is_marked_too() {
        let mut redact = ScriptedRedactor(Vec::new(), None);
        let value = "owner of /alice/k.pem";
        let shown =
            RedactedText::of_label(&mut redact, Field::Label("x"), value, Some(&unreachable()));
        assert_eq!((redact.0, shown.as_str()), (vec!["owner of …/alice/k.pem".to_owned()], value));
    }

    #[test]
    fn fields_have_their_documented_names() {
        let names = [
            Field::File,
            Field::Library,
            Field::Exe,
            Field::Cmdline,
            Field::Process,
            Field::Cgroup,
            Field::Hostname,
            Field::Label("owner"),
        ];
        assert_eq!(
            names.map(|field| field.name().into_owned()),
            ["file", "library", "exe", "cmdline", "process", "cgroup", "hostname", "labels.owner"]
        );
    }

    #[test]
    fn only_changed_text_counts_as_hidden() {
        for (answer, shown, hidden) in
            [(None, "/a", false), (Some("/a"), "/a", false), (Some("/USER"), "/USER", true)]
        {
            let found =
                RedactedText::of(&mut ScriptedRedactor(Vec::new(), answer), Field::Exe, b"/a");
            assert_eq!((found.as_str(), found.hidden()), (shown, hidden));
            assert_eq!(serde_json::to_string(&found).unwrap(), format!("{shown:?}"));
        }
    }

    /// The redactor also receives the separate arguments: an argument may contain spaces itself.
    #[test]
    fn a_command_line_is_joined_and_marked_if_truncated() {
        struct Words(Vec<String>);
        impl Redact for Words {
            fn redact(&mut self, _: Field<'_>, _: &str, words: &[String]) -> Option<String> {
                self.0 = words.to_vec();
                None
            }
        }
        for (truncated, text) in [(false, "a b c"), (true, "a b c …")] {
            let mut redact = Words(Vec::new());
            let arguments = Arguments { bytes: b"a\0b c\0".to_vec(), truncated };
            let shown = RedactedText::of_arguments(&mut redact, &arguments);
            assert_eq!(
                (shown.as_str(), &redact.0[..]),
                (text, &["a".to_owned(), "b c".to_owned()][..])
            );
        }
    }

    #[test]
    fn the_mark_is_removed_only_in_front_of_a_path() {
        for (answer, shown) in [("…x", "…x"), ("…/USER/k.pem", "/USER/k.pem"), ("/x", "/x")] {
            let mut redact = ScriptedRedactor(Vec::new(), Some(answer));
            let found = RedactedText::of_path(&mut redact, Field::File, &unreachable());
            assert_eq!((found.as_str(), found.hidden()), (shown, true));
        }
    }
}
