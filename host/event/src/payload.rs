//! The payload of an event, as one enum for every stage after `enrich`.

/// Payload of an event. Generic over the state of its texts, so that an event type is added only here: `F` is a file, `N`
/// a name, `C` a command line.
///
/// [`EnrichedWhat`](super::EnrichedWhat) holds texts as the kernel gave them, [`RedactedWhat`](super::RedactedWhat) holds
/// redacted ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<F, N, C> {
    /// A file was opened.
    FileOpen {
        /// The file.
        file: F,
        /// Open flags as the caller gave them.
        flags: u32,
    },
    /// A library's code was mapped.
    LibLoad {
        /// The file.
        file: F,
        /// Its name without version, as in `libssl`.
        library_name: N,
    },
    /// The process executed a program.
    Exec {
        /// The command line.
        arguments: C,
    },
    /// The process ended.
    Exit {
        /// Exit status; 128 + N if signal N killed the process.
        exit_code: i32,
        /// The signal that killed the process.
        signal: Option<u8>,
    },
}

/// A set of event types. Forks are never printed, but processes are followed by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKinds {
    /// File opens.
    pub open: bool,
    /// Library loads.
    pub load: bool,
    /// Execs.
    pub exec: bool,
    /// Process exits.
    pub exit: bool,
    /// Forks.
    pub fork: bool,
}

impl EventKinds {
    /// No events.
    pub const NONE: EventKinds =
        EventKinds { open: false, load: false, exec: false, exit: false, fork: false };
    /// All events.
    pub const ALL: EventKinds =
        EventKinds { open: true, load: true, exec: true, exit: true, fork: true };

    /// Whether an event type is in both sets.
    pub fn intersects(self, other: EventKinds) -> bool {
        self.open && other.open
            || self.load && other.load
            || self.exec && other.exec
            || self.exit && other.exit
            || self.fork && other.fork
    }

    /// Whether the set has the type of this event.
    pub fn contains<F, N, C>(self, event: &Payload<F, N, C>) -> bool {
        match event {
            Payload::FileOpen { .. } => self.open,
            Payload::LibLoad { .. } => self.load,
            Payload::Exec { .. } => self.exec,
            Payload::Exit { .. } => self.exit,
        }
    }
}

impl<F, N, C> Payload<F, N, C> {
    /// The documented name of this event type.
    pub fn event_type(&self) -> &'static str {
        match self {
            Payload::FileOpen { .. } => "file_open",
            Payload::LibLoad { .. } => "lib_load",
            Payload::Exec { .. } => "process_exec",
            Payload::Exit { .. } => "process_exit",
        }
    }

    /// The file that was opened or mapped.
    pub fn file(&self) -> Option<&F> {
        match self {
            Payload::FileOpen { file, .. } | Payload::LibLoad { file, .. } => Some(file),
            Payload::Exec { .. } | Payload::Exit { .. } => None,
        }
    }
}
