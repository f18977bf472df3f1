//! Text that may be shown: it went through a redactor, or the operator said that nothing is to be hidden.

use std::borrow::Cow;

use super::{Arguments, KernelPath};

/// Stands where the beginning of a path is missing.
pub(super) const MISSING: &str = "…";

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
    /// The name of a process.
    Process,
    /// Path of a control group.
    Cgroup,
    /// Name of the host.
    Hostname,
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
            Field::Process => "process".into(),
            Field::Cgroup => "cgroup".into(),
            Field::Hostname => "hostname".into(),
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
    /// One outside of the process's root begins at its mount's root, which may be `/home` or somebody's home directory.
    /// A redactor that got `/alice/key.pem` would take it for a system path, so it sees `…/alice/key.pem`: a path
    /// whose beginning is missing.
    pub fn of_path(redact: &mut dyn Redact, field: Field<'_>, path: &KernelPath) -> RedactedText {
        let value = String::from_utf8_lossy(&path.bytes);
        match path.marked() {
            None => Self::of_text(redact, field, value, &[]),
            Some(marked) => {
                Self::of_marked(redact, field, value, &String::from_utf8_lossy(&marked))
            }
        }
    }

    /// Redacts what a plugin says of a file. Where it names the file's path, the same holds as for the path.
    pub fn of_label(
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

    /// Asks about `marked`, and shows `value` where nothing has to be hidden of it.
    fn of_marked(
        redact: &mut dyn Redact,
        field: Field<'_>,
        value: Cow<'_, str>,
        marked: &str,
    ) -> RedactedText {
        match redact.redact(field, marked, &[]) {
            Some(text) if text != marked => {
                // The mark was for the redactor; that the path is no whole one is told by `unreachable`.
                let text = match text.strip_prefix(MISSING) {
                    Some(rest) if rest.starts_with('/') => rest.to_owned(),
                    _ => text,
                };
                RedactedText { hidden: true, text }
            }
            _ => RedactedText { text: value.into_owned(), hidden: false },
        }
    }

    /// Redacts a command line: its arguments, joined by spaces.
    pub fn of_command_line(
        redact: &mut dyn Redact,
        arguments: &[String],
        truncated: bool,
    ) -> RedactedText {
        let mut shown =
            Self::of_text(redact, Field::Cmdline, arguments.join(" ").into(), arguments);
        if truncated {
            shown.text.push_str(" …");
        }
        shown
    }

    /// Redacts a command line as the kernel keeps it.
    pub fn of_arguments(redact: &mut dyn Redact, arguments: &Arguments) -> RedactedText {
        let words: Vec<String> =
            arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        RedactedText::of_command_line(redact, &words, arguments.truncated)
    }

    fn of_text(
        redact: &mut dyn Redact,
        field: Field<'_>,
        value: Cow<'_, str>,
        arguments: &[String],
    ) -> RedactedText {
        match redact.redact(field, &value, arguments) {
            Some(text) => RedactedText { hidden: text != value, text },
            None => RedactedText { text: value.into_owned(), hidden: false },
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

impl serde::Serialize for RedactedText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what it is asked, and hides what it is told to.
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
    fn a_path_from_its_mounts_root_is_marked_for_the_redactor_only() {
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
    fn a_label_that_names_such_a_path_is_marked_as_well() {
        let mut redact = ScriptedRedactor(Vec::new(), None);
        let value = "owner of /alice/k.pem";
        let shown =
            RedactedText::of_label(&mut redact, Field::Label("x"), value, Some(&unreachable()));
        assert_eq!((redact.0, shown.as_str()), (vec!["owner of …/alice/k.pem".to_owned()], value));
    }

    #[test]
    fn redactors_are_told_the_documented_names() {
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
    fn what_was_changed_is_known_as_hidden_and_what_was_not_is_not() {
        for (answer, shown, hidden) in
            [(None, "/a", false), (Some("/a"), "/a", false), (Some("/USER"), "/USER", true)]
        {
            let found =
                RedactedText::of(&mut ScriptedRedactor(Vec::new(), answer), Field::Exe, b"/a");
            assert_eq!((found.as_str(), found.hidden()), (shown, hidden));
            assert_eq!(serde_json::to_string(&found).unwrap(), format!("{shown:?}"));
        }
    }

    /// The redactor gets the words one by one as well: it cannot know where a space was one of an argument's own.
    #[test]
    fn a_command_line_is_its_words_and_says_when_there_were_more() {
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
    fn the_mark_is_taken_off_only_where_a_path_stands_behind_it() {
        for (answer, shown) in [("…x", "…x"), ("…/USER/k.pem", "/USER/k.pem"), ("/x", "/x")] {
            let mut redact = ScriptedRedactor(Vec::new(), Some(answer));
            let found = RedactedText::of_path(&mut redact, Field::File, &unreachable());
            assert_eq!((found.as_str(), found.hidden()), (shown, true));
        }
    }
}
