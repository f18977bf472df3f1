//! The document of `snapshot`: the running processes that have crypto libraries mapped or crypto files open.

use std::collections::HashMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Document, SharedPaths, SharedText, Stale, stale_text, text_of};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{
    PathIdentity, RedactedEvent, RedactedProcess, RedactedText, RedactedWhat, Timestamp, schema,
};

const VERSION: &str = "1.0";

/// The running processes that have crypto libraries mapped or crypto files open.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "crypto-tracer: snapshot", deny_unknown_fields)]
pub struct Snapshot {
    /// Version of this format.
    #[schemars(extend("const" = VERSION))]
    snapshot_version: &'static str,
    /// Time of the snapshot, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    generated_at: String,
    /// Name of the host.
    hostname: RedactedText,
    /// Release of the kernel.
    kernel: String,
    /// Processes with at least one library or file.
    processes: Vec<SnapshotProcess>,
    summary: SnapshotSummary,
    coverage: SnapshotCoverage,
}

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct SnapshotProcess {
    /// Process id.
    pid: u32,
    /// Name.
    name: RedactedText,
    /// Path of the executable; null if it could not be read.
    exe: Option<RedactedText>,
    /// Name of its user; `USER` for user ids of 1000 and above, unless redaction is off.
    running_as: String,
    /// Paths of its mapped crypto libraries.
    libraries: Vec<SharedText>,
    /// Paths of its open crypto files.
    open_crypto_files: Vec<SharedText>,
    /// Those of the libraries whose path is another file by now; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stale: Vec<StaleLibrary>,
    #[serde(skip)]
    library_identities: Vec<PathIdentity>,
}

/// A mapped library whose path is another file by now, or could not be looked at.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct StaleLibrary {
    /// Path of the library.
    library: SharedText,
    #[serde(flatten)]
    stale: Stale,
}

/// Number of distinct entries, by real path.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct SnapshotSummary {
    /// Number of listed processes.
    total_processes: usize,
    /// Number of distinct libraries.
    total_libraries: usize,
    /// Number of distinct files.
    total_files: usize,
}

/// Coverage of the system.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct SnapshotCoverage {
    /// Whether every process was inspected completely.
    pub complete: bool,
    /// Number of processes that could not be inspected completely.
    pub unreadable_processes: u64,
}

impl SnapshotCoverage {
    /// Returns a description of what is missing; `None` if the snapshot is complete.
    pub fn missing(&self) -> Option<String> {
        let missing = match self.unreadable_processes {
            // The walk over the processes was interrupted.
            0 => "not every process was inspected".to_owned(),
            many => format!("{} could not be inspected completely", counted(many, "process")),
        };
        (!self.complete).then_some(missing)
    }
}

/// A process, its mapped libraries and its open files.
#[derive(Debug)]
pub struct ProcessHoldings {
    /// The process.
    pub process: RedactedProcess,
    /// Name of its user, after redaction.
    pub running_as: String,
    /// A load for each mapped library, an open for each open file.
    pub holds: Vec<RedactedEvent>,
}

/// Builds a snapshot.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    processes: Vec<SnapshotProcess>,
    libraries: SharedPaths,
    files: SharedPaths,
}

impl SnapshotBuilder {
    /// Adds a process if it has a library or a file.
    pub fn add_process(&mut self, holdings: ProcessHoldings) {
        let ProcessHoldings { process, running_as, holds } = holdings;
        let (mut libraries, mut files) = (Vec::new(), Vec::new());
        let mut library_identities = Vec::new();
        for held in &holds {
            let (paths, list, file) = match held.what() {
                RedactedWhat::LibLoad { file, .. } => (&mut self.libraries, &mut libraries, file),
                RedactedWhat::FileOpen { file, .. } => (&mut self.files, &mut files, file),
                _ => continue,
            };
            let path = paths.share(file);
            // By identity: the keys of two users may both be shown as /home/USER/key.pem.
            if !list.iter().any(|listed: &SharedText| std::sync::Arc::ptr_eq(&listed.0, &path.0)) {
                list.push(path);
                if matches!(held.what(), RedactedWhat::LibLoad { .. }) {
                    library_identities.push(file.identity);
                }
            }
        }
        if libraries.is_empty() && files.is_empty() {
            return;
        }
        self.processes.push(SnapshotProcess {
            pid: process.pid,
            name: process.name,
            exe: process.exe,
            running_as,
            libraries,
            open_crypto_files: files,
            stale: Vec::new(),
            library_identities,
        });
    }

    /// Adds the libraries that are stale, or may be, by pid and path.
    pub fn add_stale(&mut self, stale: &HashMap<(u32, PathIdentity), Stale>) {
        for process in &mut self.processes {
            let libraries = process.library_identities.iter().zip(&process.libraries);
            process.stale = libraries
                .filter_map(|(identity, library)| {
                    let stale = *stale.get(&(process.pid, *identity))?;
                    Some(StaleLibrary { library: library.clone(), stale })
                })
                .collect();
        }
    }

    /// Returns the complete document.
    pub fn finish(
        self,
        at: Timestamp,
        (hostname, kernel): (RedactedText, String),
        coverage: SnapshotCoverage,
    ) -> Snapshot {
        let summary = SnapshotSummary {
            total_processes: self.processes.len(),
            total_libraries: self.libraries.len(),
            total_files: self.files.len(),
        };
        Snapshot {
            snapshot_version: VERSION,
            generated_at: text_of(at),
            hostname,
            kernel,
            processes: self.processes,
            summary,
            coverage,
        }
    }
}

impl Document for Snapshot {
    fn summary(&self) -> String {
        let SnapshotSummary { total_processes, total_libraries, total_files } = self.summary;
        let mut text = format!(
            "{} on {} (Linux {})\n{} with {} and {}\n",
            self.generated_at,
            printable(self.hostname.as_str()),
            printable(&self.kernel),
            counted(total_processes, "process"),
            counted(total_libraries, "crypto library"),
            counted(total_files, "open crypto file"),
        );
        if let Some(missing) = self.coverage.missing() {
            let _ = writeln!(text, "not complete: {missing}");
        }
        for process in &self.processes {
            let name = printable(process.name.as_str());
            let user = printable(&process.running_as);
            let _ = writeln!(text, "\n{name} (pid {}, {user})", process.pid);
            let libraries = process.libraries.iter().map(|path| ("library", path));
            let files = process.open_crypto_files.iter().map(|path| ("file   ", path));
            for (kind, path) in libraries.chain(files) {
                let stale =
                    process.stale.iter().find(|it| std::sync::Arc::ptr_eq(&it.library.0, &path.0));
                let stale = stale_text(stale.map(|it| it.stale));
                let _ = writeln!(text, "  {kind}  {}{stale}", printable(path.as_str()));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::test_events::{classified, load, open, redacted};
    use crypto_tracer_event::testkit::HideHomes;
    use crypto_tracer_event::{ClassifiedEvent, EnrichedWhat, Field, FileType, ProcessSummary};

    const COMPLETE: SnapshotCoverage = SnapshotCoverage { complete: true, unreadable_processes: 0 };

    fn process(pid: u32, holds: Vec<ClassifiedEvent>) -> ProcessHoldings {
        let summary = ProcessSummary {
            pid,
            start_ns: 0,
            start_time: Timestamp(0),
            name: b"nginx\x1b[2J".to_vec(),
            exe: Some(b"/home/alice/nginx".to_vec()),
            arguments: None,
            uid: 33,
            gid: None,
        };
        let process = RedactedProcess::new(summary, &mut HideHomes);
        let holds = holds.into_iter().map(redacted).collect();
        ProcessHoldings { process, running_as: "www-data".to_owned(), holds }
    }

    fn key(path: &str) -> ClassifiedEvent {
        open(0, path, 0, FileType::PrivateKey)
    }

    fn snapshot(processes: Vec<ProcessHoldings>, coverage: SnapshotCoverage) -> Snapshot {
        let mut builder = SnapshotBuilder::default();
        processes.into_iter().for_each(|process| builder.add_process(process));
        let hostname = RedactedText::of(&mut HideHomes, Field::Hostname, b"host");
        builder.finish(Timestamp(1_500_000), (hostname, "6.1.0\u{7}".to_owned()), coverage)
    }

    /// Files with the same redacted path are distinct. A file is counted once, no matter how many processes have it. A
    /// process without libraries and files is not listed.
    #[test]
    fn held_libraries_and_files_are_listed_and_counted() {
        let exit = classified(0, EnrichedWhat::Exit { exit_code: 0, signal: None }, None);
        let processes = vec![
            process(
                3,
                vec![
                    load(0, "/lib/libssl.so.3"),
                    key("/home/alice/a.key"),
                    key("/home/alice/a.key"),
                ],
            ),
            process(4, vec![exit]),
            process(5, vec![key("/home/bob/a.key"), key("/home/alice/a.key")]),
            process(6, vec![load(0, "/lib/libssl.so.3")]),
        ];
        let coverage = SnapshotCoverage { complete: false, unreadable_processes: 2 };
        let snapshot = snapshot(processes, coverage);
        insta::assert_json_snapshot!(snapshot);
        insta::assert_snapshot!(snapshot.summary());
    }

    #[test]
    fn the_summary_of_an_empty_snapshot() {
        let text = snapshot(Vec::new(), COMPLETE).summary();
        assert_eq!(
            text,
            "1970-01-01T00:00:01.500000Z on host (Linux 6.1.0\\u{7})\n\
             0 processes with 0 crypto libraries and 0 open crypto files\n"
        );
    }

    #[test]
    fn an_unreachable_path_is_distinct() {
        let mut unreachable = key("/a.key");
        if let EnrichedWhat::FileOpen { file, .. } = &mut unreachable.event.what {
            file.path.unreachable = true;
        }
        let snapshot = snapshot(vec![process(3, vec![key("/a.key"), unreachable])], COMPLETE);
        assert_eq!(snapshot.summary.total_files, 2);
        assert_eq!(snapshot.processes[0].open_crypto_files.len(), 2);
    }

    #[test]
    fn missing_describes_the_coverage() {
        let missing = |complete, unreadable_processes| {
            let coverage = SnapshotCoverage { complete, unreadable_processes };
            coverage.missing().unwrap_or_default()
        };
        assert_eq!(missing(true, 0), "");
        assert_eq!(missing(false, 0), "not every process was inspected");
        assert!(missing(false, 1).starts_with("1 process could not"));
        assert!(missing(false, 20).starts_with("20 processes could not"));
    }
}
