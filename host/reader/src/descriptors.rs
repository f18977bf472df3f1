//! The descriptors of processes, read once for all files of a request that are searched in one process.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{Dir, Mode, OFlags, open, openat};

use super::inspect;
use super::mounts::Mounts;
use super::protocol::Wanted;
use super::statx::{cached, ctime_ns};
use crypto_tracer_system::fs_magic::OVERLAYFS;

/// Maximum number of descriptors: a process may have a million.
const MAX_DESCRIPTORS: usize = 65_536;

/// The descriptors of the processes that were searched for a request.
#[derive(Debug, Default)]
pub(super) struct Descriptors(Mutex<HashMap<u32, Option<Arc<DescriptorTable>>>>);

/// The descriptors of a process.
#[derive(Debug)]
pub(super) struct DescriptorTable {
    directory: OwnedFd,
    files: Vec<Descriptor>,
    by_inode: HashMap<u64, Vec<usize>>,
}

#[derive(Debug)]
struct Descriptor {
    name: CString,
    ctime_ns: i128,
}

impl Descriptors {
    /// Returns the descriptors of a process, those that could be read until `until`. `None`: it has none, or has exited.
    pub(super) fn of(&self, pid: u32, until: Instant) -> Option<Arc<DescriptorTable>> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = known().get(&pid) {
            return table.clone();
        }
        let table = DescriptorTable::read(pid, until).map(Arc::new);
        known().insert(pid, table.clone());
        table
    }
}

impl DescriptorTable {
    fn read(pid: u32, until: Instant) -> Option<DescriptorTable> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(format!("/proc/{pid}/fd"), flags, Mode::empty()).ok()?;
        let entries = Dir::read_from(&directory).ok()?;
        let mounts = Mounts::of(pid);
        let is_local = |name: &CStr| {
            // The resolution of a descriptor link may query a file server too.
            !mounts.has_remote()
                || inspect::flags_and_mount_id(pid, OsStr::from_bytes(name.to_bytes()))
                    .is_some_and(|(_, id)| mounts.kind(id).is_none_or(|(_, remote)| !remote))
        };
        let (mut files, mut by_inode) = (Vec::new(), HashMap::<u64, Vec<usize>>::new());
        let entries = entries.take(MAX_DESCRIPTORS).take_while(|_| Instant::now() < until);
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            if !is_local(name) {
                continue;
            }
            let Some(stat) = cached(&directory, name) else { continue };
            by_inode.entry(stat.stx_ino).or_default().push(files.len());
            files.push(Descriptor { name: name.to_owned(), ctime_ns: ctime_ns(&stat) });
        }
        Some(DescriptorTable { directory, files, by_inode })
    }

    /// Returns the descriptors that may be of this file.
    pub(super) fn candidates<'a>(
        &'a self,
        wanted: &'a Wanted,
    ) -> impl Iterator<Item = &'a CStr> + 'a {
        /// Maximum number of candidates: a process may have one file open many times.
        const MAX: usize = 16;
        // On overlayfs the inode number may differ; then the change time matches.
        let is_overlay = wanted.file.sb_magic == OVERLAYFS;
        let by_time = self.files.iter().enumerate().filter(move |(_, descriptor)| {
            is_overlay && descriptor.ctime_ns == wanted.file.ctime_ns
        });
        let by_inode = self.by_inode.get(&wanted.file.inode).into_iter().flatten().copied();
        let indices = by_inode.chain(by_time.map(|(index, _)| index)).take(MAX);
        indices
            .filter_map(|index| self.files.get(index))
            .map(|descriptor| descriptor.name.as_c_str())
    }

    /// Opens the file of a descriptor with `O_PATH`.
    pub(super) fn open(&self, name: &CStr) -> Option<OwnedFd> {
        openat(&self.directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::HeadRequest;

    fn wanted(file: &File, sb_magic: u32) -> Wanted {
        let stat = file.metadata().unwrap();
        let file = HeadRequest {
            pid: std::process::id(),
            nameless: true,
            mount_ns: 0,
            root: (0, 0),
            path: b"/gone.pem".to_vec(),
            dev: 0,
            inode: stat.ino(),
            ctime_ns: i128::from(stat.ctime()) * 1_000_000_000 + i128::from(stat.ctime_nsec()),
            sb_magic,
        };
        Wanted { file, uid: 0, size: 0, maybe_reader: None, blocks: false }
    }

    #[test]
    fn descriptors_are_found_by_inode_number_and_read_once() {
        let files: Vec<File> = (0..20).map(|_| tempfile::tempfile().unwrap()).collect();
        let (descriptors, later) =
            (Descriptors::default(), Instant::now() + Duration::from_secs(60));
        let own = std::process::id();
        let table = descriptors.of(own, later).unwrap();
        for file in &files {
            let name = file.as_raw_fd().to_string();
            let wanted = wanted(file, 0);
            let found: Vec<&CStr> = table.candidates(&wanted).collect();
            assert_eq!(found, [CString::new(name).unwrap().as_c_str()]);
            assert!(table.open(found[0]).is_some());
        }
        assert!(Arc::ptr_eq(&table, &descriptors.of(own, later).unwrap()));
        let other = Wanted {
            file: HeadRequest { inode: 1, ..wanted(&files[0], OVERLAYFS).file },
            ..wanted(&files[0], 0)
        };
        assert!(table.candidates(&other).count() >= 1, "by its change time");
        assert!(descriptors.of(u32::MAX, later).is_none());
    }

    #[test]
    fn the_search_is_bounded_in_time() {
        let none = DescriptorTable::read(std::process::id(), Instant::now()).unwrap();
        assert!(none.files.is_empty());
    }
}
