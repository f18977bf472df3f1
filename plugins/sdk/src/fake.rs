//! The resources of the contract outside of WebAssembly: values that `testing` makes, with the methods of the contract.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// A file that a process opened. Tests make one with [`testing::File`](crate::testing::File).
#[derive(Clone, Debug)]
pub struct File {
    pub(crate) path: Vec<u8>,
    pub(crate) size: Option<u64>,
    pub(crate) head: Vec<u8>,
    pub(crate) stat: BTreeMap<String, u64>,
    pub(crate) filesystem: Option<String>,
    pub(crate) blocks: Vec<PemBlock>,
    pub(crate) skipped: Cell<bool>,
}

/// A block of a PEM file, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemBlock {
    /// The label of its BEGIN line, for example `CERTIFICATE`.
    pub label: String,
    /// Whether it is an encrypted private key. None when it is not a private key, and when its form does not tell.
    pub encrypted: Option<bool>,
}

impl File {
    /// Absolute path relative to the process's root directory, with symbolic links resolved, before redaction. U+FFFD
    /// replaces bytes that are not valid UTF-8.
    pub fn path(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    /// The same path as raw bytes.
    pub fn path_bytes(&self) -> Vec<u8> {
        self.path.clone()
    }

    /// Size in bytes when the host inspected the file. None when the file no longer exists or was replaced.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Up to `max` bytes from the start of the file, at most 65536, without secrets. Empty when the file cannot be read. A
    /// plugin that calls this needs the grant `file-head`.
    pub fn head(&self, max: u32) -> Vec<u8> {
        const MOST: u32 = 65_536;
        self.head.iter().take(max.min(MOST) as usize).copied().collect()
    }

    /// A fact about the file by its name: `inode`, `device`, `changed`, `size`, and those that the host learns when it inspects
    /// the file: `uid`, `gid`, `mode`, `links`, `modified`. None for another name, and where the file cannot be inspected.
    pub fn stat(&self, name: &str) -> Option<u64> {
        self.stat.get(name).copied()
    }

    /// Type of the file system, for example `ext4`. None when it is not known.
    pub fn filesystem(&self) -> Option<String> {
        self.filesystem.clone()
    }

    /// The PEM blocks that begin in the first 1 MiB of the file, in its order, at most 256. A plugin that calls this needs the
    /// grant `file-head`.
    pub fn blocks(&self) -> Vec<PemBlock> {
        self.blocks.clone()
    }

    /// This file is not this classifier's to report. The host ignores the answer of the call. It shows no event of the file if
    /// every classifier whose interest has it skips it and none gives it a type.
    pub fn skip(&self) {
        self.skipped.set(true);
    }
}

/// An event of any type, before redaction. Tests make one with [`testing::Event`](crate::testing::Event).
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) event_type: String,
    pub(crate) timestamp: u64,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) process: String,
    pub(crate) exe: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) start: u64,
    pub(crate) numbers: BTreeMap<String, i64>,
    pub(crate) ancestors: Vec<Ancestor>,
    pub(crate) removed: RefCell<BTreeSet<String>>,
}

/// An ancestor of the process of an event.
#[derive(Clone, Debug)]
pub(crate) struct Ancestor {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) process: String,
    pub(crate) exe: Option<String>,
    pub(crate) start: u64,
}

impl Event {
    /// `file_open`, `lib_load`, `process_exec`, `process_exit`; later versions may add types.
    pub fn event_type(&self) -> String {
        self.event_type.clone()
    }

    /// Microseconds since 1970, UTC.
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Process id (thread group id) of the process that caused the event.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// User id of the process.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The name (`comm`) of the thread group's leader.
    pub fn process(&self) -> String {
        self.process.clone()
    }

    /// The executable's path. None when it could not be determined.
    pub fn exe(&self) -> Option<String> {
        self.exe.clone()
    }

    /// Container id from the cgroup. None for a process outside a container.
    pub fn container(&self) -> Option<String> {
        self.container.clone()
    }

    /// A field by its documented name, as text: `file`, `file_type`, `flags`, `library`, `library_name`, `cmdline`, `ppid`,
    /// `exit_code`, or `labels.NAME`. None when this event has no such field.
    pub fn field(&self, name: &str) -> Option<String> {
        let label = name.strip_prefix("labels.");
        if label.is_some_and(|label| self.removed.borrow().contains(label)) {
            return None;
        }
        self.fields.get(name).cloned()
    }

    /// A fact of an ancestor of the process. `level`: 1 is the parent, 2 is its parent, and so on, at most 32. `name`: `pid`,
    /// `uid`, `process`, `exe`, `start` or `key`. None for another name, when the fact is not known, and when there is no such
    /// ancestor or the host does not know it. [`ancestors`](Event::ancestors) iterates over them.
    pub fn ancestor(&self, level: u32, name: &str) -> Option<String> {
        const MOST: u32 = 32;
        let at = level.checked_sub(1).filter(|&at| at < MOST)?;
        let ancestor = self.ancestors.get(at as usize)?;
        match name {
            "pid" => Some(ancestor.pid.to_string()),
            "uid" => Some(ancestor.uid.to_string()),
            "process" => Some(ancestor.process.clone()),
            "exe" => ancestor.exe.clone(),
            "start" => Some(ancestor.start.to_string()),
            "key" => Some(format!("{}:{}", ancestor.pid, ancestor.start)),
            _ => None,
        }
    }

    /// Identifies the process, also when its pid is used again: the pid, a colon and the start time in clock ticks.
    pub fn process_key(&self) -> String {
        format!("{}:{}", self.pid, self.start)
    }

    /// A numeric field by its documented name: `timestamp`, `pid`, `tid`, `ppid`, `uid`, `mount_ns`; of a file or library
    /// `inode`; of a `process_exit` `exit_code` and `signal`; and `start`, the start time of the process in clock ticks. None
    /// when this event has no such field.
    pub fn number(&self, name: &str) -> Option<i64> {
        match name {
            "timestamp" => self.timestamp.try_into().ok(),
            "pid" => Some(self.pid.into()),
            "uid" => Some(self.uid.into()),
            "start" => self.start.try_into().ok(),
            "ppid" | "exit_code" => self.fields.get(name)?.parse().ok(),
            _ => self.numbers.get(name).copied(),
        }
    }

    /// Removes a label that a classifier gave, so that it is not shown. From now on, neither this filter nor a later one sees
    /// it, and each may add a label of that name. Other names are ignored.
    pub fn remove_label(&self, name: &str) {
        if self.fields.contains_key(&format!("labels.{name}")) {
            self.removed.borrow_mut().insert(name.to_owned());
        }
    }
}

/// A text that a redactor can replace. Tests make one with [`testing::Text`](crate::testing::Text).
#[derive(Clone, Debug)]
pub struct Text {
    pub(crate) field: String,
    pub(crate) value: String,
    pub(crate) arguments: Vec<String>,
}

impl Text {
    /// The output field that contains the text: `file`, `library`, `exe`, `cmdline`, `process`, `cgroup`, `hostname` or
    /// `labels.NAME`. Later versions may add names.
    pub fn field(&self) -> String {
        self.field.clone()
    }

    /// The text.
    pub fn value(&self) -> String {
        self.value.clone()
    }

    /// For `cmdline`: the list of arguments. Empty for every other field, and after an earlier redactor changed the text.
    pub fn arguments(&self) -> Vec<String> {
        self.arguments.clone()
    }
}

/// The files and libraries that a classifier is interested in. Tests make one with
/// [`testing::Interest`](crate::testing::Interest).
///
/// The tracer does not start when an entry is outside its bounds, or when all classifiers together add more than 64 suffixes,
/// 256 names, 16 prefixes or 64 libraries. Suffixes ignore ASCII case.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    pub(crate) added: RefCell<Vec<(&'static str, String)>>,
}

impl Interest {
    fn add(&self, what: &'static str, text: &str) {
        self.added.borrow_mut().push((what, text.to_owned()));
    }

    /// Adds files whose name ends with `suffix`, for example `.pem`. ASCII, 3 to 15 bytes.
    pub fn file_suffix(&self, suffix: &str) {
        self.add("file-suffix", suffix);
    }

    /// Adds files with exactly this name, for example `id_rsa`. 1 to 31 bytes.
    pub fn file_name(&self, name: &str) {
        self.add("file-name", name);
    }

    /// Adds files whose name begins with `prefix`, for example `id_rsa`. 3 to 15 bytes.
    pub fn file_prefix(&self, prefix: &str) {
        self.add("file-prefix", prefix);
    }

    /// Adds libraries whose file name is `name`, or `name` followed by `.so`, `-` or `.`; for example `libssl`. 3 to 31 bytes.
    pub fn library(&self, name: &str) {
        self.add("library", name);
    }
}
