//! Queries: calls of a plugin, made as in a run.

use crypto_tracer_event::{
    Asset, ClassifiedEvent, Field, FileStat, FileType, HeadOutcome, KernelPath, Label, OpenedFile,
    PemBlock, PluginKind, Redact,
};
use crypto_tracer_plugin::{Decision, HeadSource, Plugins};
use crypto_tracer_reader::{pem_blocks, public_content, public_head};

/// User id of each event.
const UID: u32 = 1000;

/// The input of a call.
#[derive(Clone, Debug)]
pub(super) enum Query {
    /// A file, for a classifier.
    File(FileQuery),
    /// A file, for an inspector.
    Content(FileQuery),
    /// A text, for a redactor.
    Text(TextQuery),
    /// An event, for a filter.
    Event(Box<ClassifiedEvent>),
}

impl Query {
    /// The kind of plugin that it is for.
    pub(super) fn kind(&self) -> PluginKind {
        match self {
            Query::File(_) => PluginKind::Classifier,
            Query::Content(_) => PluginKind::Inspector,
            Query::Text(_) => PluginKind::Redactor,
            Query::Event(_) => PluginKind::Filter,
        }
    }

    /// Calls the plugin.
    pub(super) fn run(&mut self, plugins: &mut Plugins) -> QueryAnswer {
        match self {
            Query::File(FileQuery { file, head }) => {
                let verdict = plugins.classify(UID, file, 0, &mut **head);
                if verdict.skipped {
                    return QueryAnswer::Skipped;
                }
                let known = verdict.classifier.is_some();
                let file_type = known.then_some(verdict.file_type);
                QueryAnswer::Verdict { file_type, labels: verdict.labels }
            }
            Query::Content(FileQuery { file, head }) => {
                let assets = plugins.inspect(UID, file, 0, &mut **head);
                QueryAnswer::Assets(assets.unwrap_or_default().to_vec())
            }
            Query::Text(text) => {
                let field = text.field().unwrap_or(Field::File);
                let redacted = plugins.redactor(UID).redact(field, &text.value, &text.arguments);
                QueryAnswer::Text(redacted.unwrap_or_else(|| text.value.clone()))
            }
            Query::Event(event) => QueryAnswer::Decision(plugins.decide(event)),
        }
    }
}

/// The answer of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueryAnswer {
    /// `file_type` is None if the classifier has no opinion.
    Verdict { file_type: Option<FileType>, labels: Vec<Label> },
    /// The file is not the classifier's to report.
    Skipped,
    /// What the file contains.
    Assets(Vec<Asset>),
    /// The redacted text.
    Text(String),
    /// The decision about the event.
    Decision(Decision),
}

/// A file that does not exist on disk.
#[derive(Clone, Debug)]
pub(super) struct FileQuery {
    file: OpenedFile,
    head: Box<QueryHead>,
}

#[derive(Clone, Debug)]
struct QueryHead {
    public: Vec<u8>,
    /// All that plugins may see.
    visible: Vec<u8>,
    size: Option<u64>,
    stat: Option<FileStat>,
    blocks: Vec<PemBlock>,
}

impl HeadSource for QueryHead {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        let outcome = if self.size.is_some() { HeadOutcome::Read } else { HeadOutcome::Gone };
        (&self.public, outcome)
    }

    fn visible(&mut self) -> (&[u8], HeadOutcome) {
        let (_, outcome) = self.head();
        (&self.visible, outcome)
    }

    fn size(&mut self) -> Option<u64> {
        self.size
    }

    fn stat(&mut self) -> (Option<FileStat>, HeadOutcome) {
        let (_, outcome) = self.head();
        (self.stat, outcome)
    }

    fn blocks(&mut self) -> (&[PemBlock], HeadOutcome) {
        let (_, outcome) = self.head();
        (&self.blocks, outcome)
    }
}

impl FileQuery {
    /// `size`: in bytes; None: the file no longer exists, so its head cannot be read.
    pub(super) fn new(path: Vec<u8>, content: &[u8], size: Option<u64>) -> FileQuery {
        let path = KernelPath { bytes: path, ..KernelPath::default() };
        let file = OpenedFile { path, size: size.unwrap_or(0), ..OpenedFile::default() };
        let content = if size.is_some() { content } else { &[] };
        let (public, visible) = (public_head(content), public_content(content));
        let head = QueryHead { public, visible, size, stat: None, blocks: pem_blocks(content) };
        FileQuery { file, head: Box::new(head) }
    }

    /// Sets what the host would find when it inspects the file, unless the file no longer exists, and what the kernel
    /// reports with the open.
    pub(super) fn with_facts(mut self, stat: FileStat, reported: OpenedFile) -> FileQuery {
        self.head.stat = self.head.size.map(|_| stat);
        let OpenedFile { path, size, sb_magic, .. } = self.file;
        self.file = OpenedFile { path, size, sb_magic, ..reported };
        self
    }

    /// Sets the type of the file system.
    pub(super) fn on(mut self, sb_magic: u32) -> FileQuery {
        self.file.sb_magic = sb_magic;
        self
    }
}

/// A text that may contain private data.
#[derive(Clone, Debug)]
pub(super) struct TextQuery {
    pub(super) field: String,
    pub(super) value: String,
    pub(super) arguments: Vec<String>,
}

impl TextQuery {
    /// A command line. Its value is the arguments joined by spaces, as in a run.
    pub(super) fn command_line(arguments: Vec<String>) -> TextQuery {
        TextQuery { field: "cmdline".to_owned(), value: arguments.join(" "), arguments }
    }

    /// None: the field is unknown.
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
