//! From what was redacted to what is printed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    At, Device, EventsLost, Exe, FileOpen, FileOpenMore, Labels, LibLoad, LibLoadMore, Object,
    PathMore, PluginFailed, ProcessContext, ProcessExec, ProcessExecMore, ProcessExit,
    ProcessExitMore, StatusNow, Thread,
};
use crypto_tracer_event::{
    Facts, FileLocation, FileType, Notice, OpenFlags, RedactedEvent, RedactedWhat,
};

impl<'a> Object<'a> {
    /// `extended`: with the fields of `--extended`.
    pub(crate) fn of_event(event: &'a RedactedEvent, timestamp: &'a str, extended: bool) -> Self {
        let facts = event.process();
        let (pid, process) = (facts.pid, &facts.name);
        let labels = Labels(event.labels());
        match event.what() {
            RedactedWhat::FileOpen { file, file_type, flags, classifier, head, place } => {
                let more = extended.then(|| FileOpenMore {
                    tid: facts.tid,
                    ppid: facts.ppid,
                    exe: exe(facts),
                    place: at(place),
                    context: context(facts),
                    classifier: classifier.as_deref(),
                    head: *head,
                    path: path(place),
                });
                let (uid, flags) = (facts.uid, OpenFlags(*flags));
                let file_type = FileType::as_str(file_type);
                Object::FileOpen(FileOpen {
                    timestamp,
                    pid,
                    uid,
                    process,
                    file,
                    file_type,
                    flags,
                    more,
                    labels,
                })
            }
            RedactedWhat::LibLoad { library, library_name, place } => {
                let more = extended.then(|| load_more(facts, place));
                Object::LibLoad(LibLoad {
                    timestamp,
                    pid,
                    process,
                    library,
                    library_name,
                    more,
                    labels,
                })
            }
            RedactedWhat::Exec { cmdline } => {
                let ppid = facts.ppid;
                let more = extended.then(|| exec_more(facts));
                Object::ProcessExec(ProcessExec {
                    timestamp,
                    pid,
                    ppid,
                    process,
                    cmdline,
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
            Notice::Status(_, status) => Object::Status(StatusNow { timestamp, status }),
        }
    }
}

fn load_more<'a>(process: &'a Facts, place: &FileLocation) -> LibLoadMore<'a> {
    LibLoadMore {
        thread: thread(process),
        ppid: process.ppid,
        exe: exe(process),
        place: at(place),
        context: context(process),
        path: path(place),
    }
}

fn exec_more(process: &Facts) -> ProcessExecMore<'_> {
    ProcessExecMore { thread: thread(process), exe: exe(process), context: context(process) }
}

fn exit_more(process: &Facts, signal: Option<u8>) -> ProcessExitMore<'_> {
    ProcessExitMore {
        thread: thread(process),
        ppid: process.ppid,
        exe: exe(process),
        signal,
        context: context(process),
    }
}

fn thread(process: &Facts) -> Thread {
    Thread { tid: process.tid, uid: process.uid }
}

fn exe(process: &Facts) -> Exe<'_> {
    Exe { exe: process.exe.as_ref() }
}

fn at(place: &FileLocation) -> At {
    At { dev: Device(place.dev), inode: place.inode }
}

fn context(process: &Facts) -> ProcessContext<'_> {
    ProcessContext {
        mount_ns: process.mount_ns,
        container: process.container.as_deref(),
        cgroup: process.cgroup.as_ref(),
    }
}

fn path(place: &FileLocation) -> PathMore {
    PathMore {
        unreachable: place.unreachable,
        file_bytes: place.file_bytes.as_ref().map(|bytes| STANDARD.encode(bytes)),
    }
}
