//! What a look into a running process shows, as the events that led to it, for the same plugins.

use super::heads::BatchHeads;
use super::{HeadReader, judge};
use crate::enrich::library_name;
use crypto_tracer_event::{
    ClassifiedEvent, Comm, EnrichedEvent, EnrichedWhat, KernelPath, OpenedFile, ProcessFacts,
    ProcessKey, Timestamp,
};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_reader::ProcessDetails;

/// A load for each library that it has mapped, an open for each file that it holds open, judged by the plugins as such.
pub fn judge_existing(
    process: &ProcessDetails,
    at: Timestamp,
    heads: &mut dyn HeadReader,
    plugins: &mut Plugins,
) -> Vec<ClassifiedEvent> {
    let events = events(process, at);
    let mut heads = BatchHeads::fetch(heads, plugins, &events);
    let judged = events.into_iter().enumerate();
    judged.filter_map(|(place, event)| judge(plugins, event, &mut heads, place)).collect()
}

fn events(process: &ProcessDetails, at: Timestamp) -> Vec<EnrichedEvent> {
    let facts = details_facts(process);
    let libraries = process.libraries.iter().map(|file| EnrichedWhat::LibLoad {
        library_name: library_name(path(&file.path).file_name()).to_vec(),
        file: OpenedFile {
            path: path(&file.path),
            dev: file.dev,
            inode: file.inode,
            ..OpenedFile::default()
        },
    });
    let files = process.files.iter().map(|file| EnrichedWhat::FileOpen {
        flags: file.flags,
        file: OpenedFile {
            path: KernelPath {
                deleted: file.deleted,
                unreachable: file.unreachable,
                ..path(&file.path)
            },
            dev: file.dev,
            inode: file.inode,
            size: file.size,
            ctime_ns: file.ctime_ns,
            sb_magic: file.sb_magic,
            // Nobody looks at a file that is said to be somebody else's.
            foreign_user_ns: file.remote,
            created: false,
        },
    });
    let whats = libraries.chain(files);
    whats.map(|what| EnrichedEvent { timestamp: at, process: facts.clone(), what }).collect()
}

fn path(bytes: &[u8]) -> KernelPath {
    KernelPath { bytes: bytes.to_vec(), ..KernelPath::default() }
}

/// Who the process is. What only the kernel tells is zero.
pub fn details_facts(process: &ProcessDetails) -> ProcessFacts {
    let mut comm = [0; 16];
    comm.iter_mut().zip(process.comm.iter().take(15)).for_each(|(to, from)| *to = *from);
    ProcessFacts {
        key: ProcessKey { tgid: process.pid, start_ns: process.start_ns },
        exec_id: 0,
        tid: process.pid,
        ppid: process.ppid,
        uid: process.uid,
        comm: Comm::new(comm),
        exe: process.exe.as_deref().map(Into::into),
        mount_ns: 0,
        root: (0, 0),
        cgroup_id: 0,
        cgroup: None,
        container: None,
    }
}
