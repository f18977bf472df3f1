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

/// An ancestor of the process of an event. Its methods return none when the fact is not known.
#[derive(Clone, Copy, Debug)]
pub struct Ancestor<'a> {
    event: &'a Event,
    level: u32,
}

impl Ancestor<'_> {
    /// 1 is the parent, 2 is its parent, and so on.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Process id.
    pub fn pid(&self) -> Option<u32> {
        self.event.ancestor(self.level, "pid")?.parse().ok()
    }

    /// User id.
    pub fn uid(&self) -> Option<u32> {
        self.event.ancestor(self.level, "uid")?.parse().ok()
    }

    /// The name (`comm`) of the thread group's leader.
    pub fn process(&self) -> Option<String> {
        self.event.ancestor(self.level, "process")
    }

    /// The executable's path.
    pub fn exe(&self) -> Option<String> {
        self.event.ancestor(self.level, "exe")
    }

    /// Start time in clock ticks, 100 a second, since boot.
    pub fn start(&self) -> Option<u64> {
        self.event.ancestor(self.level, "start")?.parse().ok()
    }

    /// What [`Event::process_key`] returns for events of that process.
    pub fn key(&self) -> Option<String> {
        self.event.ancestor(self.level, "key")
    }
}

impl Event {
    /// The known ancestors of the process, its parent first. A plugin that calls this makes the tracer keep a table of all
    /// processes.
    pub fn ancestors(&self) -> impl Iterator<Item = Ancestor<'_>> {
        let ancestors = (1..).map(|level| Ancestor { event: self, level });
        ancestors.take_while(|ancestor| ancestor.pid().is_some())
    }

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

    /// A label that a classifier gave, unless a filter has removed it.
    pub fn label(&self, name: &str) -> Option<String> {
        self.field(&["labels.", name].concat())
    }
}
