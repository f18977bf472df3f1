//! A question to a plugin, asked as the tracer asks it.

use crypto_tracer_event::{
    ClassifiedEvent, Field, FileType, HeadOutcome, KernelPath, Label, OpenedFile, PluginKind,
    Redact,
};
use crypto_tracer_plugin::{Decision, HeadSource, Plugins};
use crypto_tracer_reader::public_head;

/// Whose event it is.
const UID: u32 = 1000;

/// What a plugin is asked.
#[derive(Clone, Debug)]
pub(super) enum Query {
    /// A classifier: what is this file?
    File(FileQuery),
    /// A redactor: what must not be shown of this text?
    Text(TextQuery),
    /// A filter: is this event shown?
    Event(Box<ClassifiedEvent>),
}

impl Query {
    /// The kind of plugin that is asked.
    pub(super) fn kind(&self) -> PluginKind {
        match self {
            Query::File(_) => PluginKind::Classifier,
            Query::Text(_) => PluginKind::Redactor,
            Query::Event(_) => PluginKind::Filter,
        }
    }

    /// Asks.
    pub(super) fn ask(&mut self, plugins: &mut Plugins) -> QueryAnswer {
        match self {
            Query::File(FileQuery { file, head }) => {
                let verdict = plugins.classify(UID, file, 0, head);
                let known = verdict.classifier.is_some();
                let file_type = known.then_some(verdict.file_type);
                QueryAnswer::Verdict { file_type, labels: verdict.labels }
            }
            Query::Text(text) => {
                let field = text.field().unwrap_or(Field::File);
                let hidden = plugins.redactor(UID).redact(field, &text.value, &text.arguments);
                QueryAnswer::Text(hidden.unwrap_or_else(|| text.value.clone()))
            }
            Query::Event(event) => QueryAnswer::Decision(plugins.decide(event)),
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueryAnswer {
    /// None: no opinion about the type.
    Verdict { file_type: Option<FileType>, labels: Vec<Label> },
    /// The text as it is shown.
    Text(String),
    /// The event's fate.
    Decision(Decision),
}

/// A file that is only told of.
#[derive(Clone, Debug)]
pub(super) struct FileQuery {
    file: OpenedFile,
    head: GivenHead,
}

#[derive(Clone, Debug)]
struct GivenHead {
    visible: Vec<u8>,
    size: Option<u64>,
}

impl HeadSource for GivenHead {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        let outcome = if self.size.is_some() { HeadOutcome::Read } else { HeadOutcome::Gone };
        (&self.visible, outcome)
    }

    fn size(&mut self) -> Option<u64> {
        self.size
    }
}

impl FileQuery {
    /// `size`: in bytes; None when the file is gone, which leaves nothing to look at.
    pub(super) fn new(path: Vec<u8>, content: &[u8], size: Option<u64>) -> FileQuery {
        let path = KernelPath { bytes: path, ..KernelPath::default() };
        let file = OpenedFile { path, size: size.unwrap_or(0), ..OpenedFile::default() };
        let visible = if size.is_some() { public_head(content) } else { Vec::new() };
        FileQuery { file, head: GivenHead { visible, size } }
    }
}

/// A text that may have to be hidden.
#[derive(Clone, Debug)]
pub(super) struct TextQuery {
    pub(super) field: String,
    pub(super) value: String,
    pub(super) arguments: Vec<String>,
}

impl TextQuery {
    /// A command line, joined as the tracer joins it.
    pub(super) fn command_line(arguments: Vec<String>) -> TextQuery {
        TextQuery { field: "cmdline".to_owned(), value: arguments.join(" "), arguments }
    }

    /// None: there is no such field.
    pub(super) fn field(&self) -> Option<Field<'_>> {
        Some(match self.field.as_str() {
            "file" => Field::File,
            "library" => Field::Library,
            "exe" => Field::Exe,
            "cmdline" => Field::Cmdline,
            "process" => Field::Process,
            "cgroup" => Field::Cgroup,
            "hostname" => Field::Hostname,
            other => Field::Label(other.strip_prefix("labels.").filter(|name| !name.is_empty())?),
        })
    }
}
