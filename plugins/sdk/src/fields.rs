//! Fields of events and facts about files by their documented names.

use crate::{Event, File};

impl File {
    /// User id of the owner. None as for [`File::stat`].
    pub fn owner(&self) -> Option<u32> {
        self.stat("uid")?.try_into().ok()
    }

    /// Group id. None as for [`File::stat`].
    pub fn group(&self) -> Option<u32> {
        self.stat("gid")?.try_into().ok()
    }

    /// Permissions, for example `0o640`, with the bits for setuid, setgid and sticky, without the type of the file. None as
    /// for [`File::stat`].
    pub fn permissions(&self) -> Option<u32> {
        const TYPE: u64 = 0o170_000;
        (self.stat("mode")? & !TYPE).try_into().ok()
    }
}

impl Event {
    /// Path of the file or library that the event is about.
    pub fn file(&self) -> Option<String> {
        self.field("file").or_else(|| self.field("library"))
    }

    /// Type of an opened file, for example `private_key`.
    pub fn file_type(&self) -> Option<String> {
        self.field("file_type")
    }

    /// Flags of an open as events show them, for example `O_RDWR|O_CREAT`.
    pub fn flags(&self) -> Option<String> {
        self.field("flags")
    }

    /// Whether an open allows writing. False for an event of another type.
    pub fn writes(&self) -> bool {
        self.flags().is_some_and(|flags| !flags.starts_with("O_RDONLY"))
    }

    /// Name of a loaded library without its version, for example `libssl`.
    pub fn library_name(&self) -> Option<String> {
        self.field("library_name")
    }

    /// Command line of an executed program.
    pub fn cmdline(&self) -> Option<String> {
        self.field("cmdline")
    }

    /// Process id of the parent.
    pub fn ppid(&self) -> Option<u32> {
        self.field("ppid")?.parse().ok()
    }

    /// Exit code of a process that ended by itself.
    pub fn exit_code(&self) -> Option<i32> {
        self.field("exit_code")?.parse().ok()
    }

    /// A label that a classifier or an earlier filter added.
    pub fn label(&self, name: &str) -> Option<String> {
        self.field(&["labels.", name].concat())
    }
}
