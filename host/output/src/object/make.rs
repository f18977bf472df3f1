//! Conversion of redacted events and notices to the serialised types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Device, EventsLost, Exe, FileLocation, FileOpen, FileOpenMore, Labels, LibLoad, LibLoadMore,
    Object, PathMore, PluginFailed, ProcessContext, ProcessExec, ProcessExecMore, ProcessExit,
    ProcessExitMore, RunStatus, Thread,
};
use crypto_tracer_event::{
    Notice, OpenFlags, RedactedEvent, RedactedFacts, RedactedFile, RedactedWhat,
};

impl<'a> Object<'a> {
    /// Converts an event. `extended`: with the fields of `--extended`.
    pub(crate) fn of_event(event: &'a RedactedEvent, timestamp: &'a str, extended: bool) -> Self {
        let facts = event.process();
        let (pid, process) = (facts.pid, &facts.name);
        let labels = Labels(event.labels());
        match event.what() {
            RedactedWhat::FileOpen { file, flags } => {
                let verdict = event.verdict();
                let more = extended.then(|| FileOpenMore {
                    tid: facts.tid,
                    ppid: facts.ppid,
                    exe: exe(facts),
                    location: location(file),
                    context: ProcessContext::of(facts),
                    classifier: verdict.classifier.as_deref(),
                    head: verdict.head,
                    path: path(file),
                });
                let (uid, flags) = (facts.uid, OpenFlags(*flags));
                let file_type = verdict.file_type.as_str();
                Object::FileOpen(FileOpen {
                    timestamp,
                    pid,
                    uid,
                    process,
                    file: &file.path,
                    file_type,
                    flags,
                    more,
                    labels,
                })
            }
            RedactedWhat::LibLoad { file, library_name } => {
                let more = extended.then(|| load_more(facts, file));
                Object::LibLoad(LibLoad {
                    timestamp,
                    pid,
                    process,
                    library: &file.path,
                    library_name,
                    more,
                    labels,
                })
            }
            RedactedWhat::Exec { arguments } => {
                let ppid = facts.ppid;
                let more = extended.then(|| exec_more(facts));
                Object::ProcessExec(ProcessExec {
                    timestamp,
                    pid,
                    ppid,
                    process,
                    cmdline: arguments,
                    more,
                    labels,
                })
            }
            RedactedWhat::Exit { exit_code, signal } => {
                let exit_code = *exit_code;
                let more = extended.then(|| exit_more(facts, *signal));
                Object::ProcessExit(ProcessExit {
                    timestamp,
                    pid,
                    process,
                    exit_code,
                    more,
                    labels,
                })
            }
        }
    }

    /// Converts a notice.
    pub(crate) fn of_notice(notice: &'a Notice, timestamp: &'a str) -> Self {
        match notice {
            Notice::EventsLost(_, loss) => Object::EventsLost(EventsLost {
                timestamp,
                count: loss.count,
                cause: &loss.cause,
                exact: loss.exact,
            }),
            Notice::PluginFailed(_, failure) => Object::PluginFailed(PluginFailed {
                timestamp,
                plugin: &failure.plugin,
                kind: failure.kind.as_str(),
                cause: &failure.cause,
                count: failure.count,
                action: failure.action,
            }),
            Notice::Status(_, status) => Object::Status(RunStatus { timestamp, status }),
        }
    }
}

fn load_more<'a>(process: &'a RedactedFacts, file: &RedactedFile) -> LibLoadMore<'a> {
    LibLoadMore {
        thread: thread(process),
        ppid: process.ppid,
        exe: exe(process),
        location: location(file),
        context: ProcessContext::of(process),
        path: path(file),
    }
}

fn exec_more(process: &RedactedFacts) -> ProcessExecMore<'_> {
    ProcessExecMore {
        thread: thread(process),
        exe: exe(process),
        context: ProcessContext::of(process),
    }
}

fn exit_more(process: &RedactedFacts, signal: Option<u8>) -> ProcessExitMore<'_> {
    ProcessExitMore {
        thread: thread(process),
        ppid: process.ppid,
        exe: exe(process),
        signal,
        context: ProcessContext::of(process),
    }
}

fn thread(process: &RedactedFacts) -> Thread {
    Thread { tid: process.tid, uid: process.uid }
}

fn exe(process: &RedactedFacts) -> Exe<'_> {
    Exe { exe: process.exe.as_ref() }
}

fn location(file: &RedactedFile) -> FileLocation {
    FileLocation { dev: Device(file.dev), inode: file.inode }
}

fn path(file: &RedactedFile) -> PathMore {
    PathMore {
        unreachable: file.unreachable,
        file_bytes: file.path_bytes.as_ref().map(|bytes| STANDARD.encode(bytes)),
    }
}
