//! Stage `select`: the host's own filters. They are the event types of the command, `--pid`, `--name`, `--library` and
//! `--file`, and test real paths and names, before plugins and before redaction.

mod unsatisfiable;

use crate::family::Family;
use crate::glob::Glob;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{EnrichedEvent, EnrichedWhat, EventKinds, ProcessFacts};

/// Maximum length of a process name (`comm`) in bytes.
pub const COMM_BYTES: usize = 15;

/// Filters. An event passes if all of them match.
#[derive(Clone, Debug)]
pub struct Select {
    /// Event types that are printed.
    pub kinds: EventKinds,
    /// `--pid`: the process id equals each of these.
    pub pids: Vec<u32>,
    /// `--follow-children` of a replay: the process is a member.
    pub family: Family,
    /// `--name`: the process name contains each of these.
    pub names: Vec<Vec<u8>>,
    /// `--library`: the path of the library contains each of these.
    pub libraries: Vec<Vec<u8>>,
    /// `--file`: the path of the file matches each of these.
    pub files: Vec<Glob>,
}

impl Default for Select {
    fn default() -> Self {
        Select {
            kinds: EventKinds::ALL,
            pids: Vec::new(),
            family: Family::default(),
            names: Vec::new(),
            libraries: Vec::new(),
            files: Vec::new(),
        }
    }
}

impl Select {
    /// Returns whether the event passes. `interest` is the exact test, which the kernel's tables approximate.
    pub fn keeps(&self, event: &EnrichedEvent, interest: &Interest) -> bool {
        self.family.has(event.process.key.tgid)
            && self.kind_passes(event, interest)
            && self.wants_process(&event.process)
            && self.path_passes(event)
    }

    /// Returns whether events of this process can pass.
    pub(crate) fn wants_process(&self, process: &ProcessFacts) -> bool {
        self.pids.iter().all(|&pid| process.key.tgid == pid)
            && self.names.iter().all(|text| name_contains(process, text))
    }

    fn kind_passes(&self, event: &EnrichedEvent, interest: &Interest) -> bool {
        self.kinds.contains(&event.what)
            && match &event.what {
                EnrichedWhat::FileOpen { file, .. } => interest.wants_file(file.path.file_name()),
                EnrichedWhat::LibLoad { file, .. } => interest.wants_library(file.path.file_name()),
                _ => true,
            }
    }

    /// A filter does not match an event without the field that it tests.
    fn path_passes(&self, event: &EnrichedEvent) -> bool {
        let (file, library) = match &event.what {
            EnrichedWhat::FileOpen { file, .. } => (Some(&file.path.bytes), None),
            EnrichedWhat::LibLoad { file, .. } => (None, Some(&file.path.bytes)),
            _ => (None, None),
        };
        self.libraries.iter().all(|text| library.is_some_and(|path| contains(path, text)))
            && self.files.iter().all(|glob| file.is_some_and(|path| glob.matches(path)))
    }
}

/// A text longer than a `comm` is searched in the file name of the executable.
fn name_contains(process: &ProcessFacts, text: &[u8]) -> bool {
    if text.len() <= COMM_BYTES {
        return contains(process.comm.as_bytes(), text);
    }
    let exe = process.exe.as_deref().unwrap_or_default();
    contains(exe.rsplit(|&byte| byte == b'/').next().unwrap_or_default(), text)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_event::testkit::{enriched, executes, loads, opens, process};

    fn event(what: EnrichedWhat) -> EnrichedEvent {
        let exe = Some((*b"/usr/sbin/nginx-with-a-long-name").into());
        enriched(0, ProcessFacts { exe, ..process(7, "nginx") }, what)
    }

    fn open(path: &str) -> EnrichedEvent {
        event(opens(path, 0))
    }

    fn load(path: &str) -> EnrichedEvent {
        event(loads(path))
    }

    fn exec() -> EnrichedEvent {
        event(executes("nginx"))
    }

    fn interest() -> Interest {
        let mut interest = Interest::default();
        interest.add_suffix(".pem").unwrap();
        interest.add_library("libssl").unwrap();
        interest
    }

    #[test]
    fn without_filters_every_event_of_interest_passes() {
        let select = Select::default();
        for kept in [open("/a/b.pem"), load("/lib/libssl.so.3"), exec()] {
            assert!(select.keeps(&kept, &interest()));
        }
        assert!(
            !select.keeps(&open("/a/b.txt"), &interest()),
            "the kernel's tables are a superset"
        );
        assert!(!select.keeps(&load("/lib/libsslx.so"), &interest()));
    }

    #[test]
    fn event_types_that_a_command_does_not_print() {
        let kinds = EventKinds { open: true, ..EventKinds::NONE };
        let files = Select { kinds, ..Select::default() };
        assert!(files.keeps(&open("/b.pem"), &interest()));
        assert!(
            !files.keeps(&load("/libssl.so"), &interest()) && !files.keeps(&exec(), &interest())
        );
    }

    #[test]
    fn each_filter_alone_and_combined() {
        let keeps = |select: &Select, event| select.keeps(&event, &interest());
        let by_pid = Select { pids: vec![7], ..Select::default() };
        assert!(keeps(&by_pid, exec()));
        assert!(!keeps(&Select { pids: vec![7, 8], ..Select::default() }, exec()));
        let name = |text: &str| Select { names: vec![text.into()], ..Select::default() };
        assert!(keeps(&name("gin"), exec()) && !keeps(&name("Gin"), exec()));
        assert!(
            keeps(&name("with-a-long-name"), exec()) && !keeps(&name("with-another-name"), exec())
        );
        let library = Select { libraries: vec![b"lib/libs".to_vec()], ..Select::default() };
        assert!(
            keeps(&library, load("/lib/libssl.so.3")) && !keeps(&library, open("/lib/libs.pem"))
        );
        assert!(!keeps(&library, load("/usr/libssl.so.3")) && !keeps(&library, exec()));
        let files = Select { files: vec![Glob::new("/etc/*").unwrap()], ..Select::default() };
        assert!(keeps(&files, open("/etc/x/a.pem")) && !keeps(&files, open("/opt/a.pem")));
        assert!(!keeps(&files, load("/etc/libssl.so")) && !keeps(&files, exec()));
        let both = Select { pids: vec![8], ..files };
        assert!(!keeps(&both, open("/etc/x/a.pem")));
    }
}
